using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Cni;
using Calico.Actors.Dataplane;
using Calico.Core.Cni;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Microsoft.Win32.SafeHandles;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Cni;

/// <summary>An ADD of the interface plugin whose kernel is the test: this process' own namespace stands for the pod's.</summary>
[Layer("actor")]
public sealed class CniAddTests : CniFixture
{
    private readonly TestProbe _links;
    private readonly NetworkNamespace _pod = NetworkNamespace.OpenCurrent();

    public CniAddTests(ITestOutputHelper output)
        : base(output) => _links = CreateTestProbe("pairs");

    [Fact]
    public async Task An_ADD_that_is_given_up_does_not_go_on_waiting_for_its_policy()
    {
        using var call = new CancellationTokenSource();
        var handler = HandlerOf(Services with { Links = _links });
        var adding = CallAsync(handler, Add with { Config = WithTimeout }, OpenPod(), call.Token);
        await _links.ExpectMsgAsync<LinkProtocol.Wire>(Patience);
        var address = await _links.ExpectMsgAsync<LinkProtocol.Address>(Patience);
        _links.Reply(new LinkProtocol.Wired(address.RequestId, 7, MacAddress.WorkloadHostSide));

        await call.CancelAsync();

        var abandon = await _links.ExpectMsgAsync<LinkProtocol.Abandon>(Patience);
        _links.Reply(new LinkProtocol.Abandoned(abandon.RequestId));
        var unwire = await _links.ExpectMsgAsync<LinkProtocol.Unwire>(Patience);
        _links.Reply(new LinkProtocol.Unwired(unwire.RequestId, true));
        Assert.Equal(11, ErrorOf(await adding.WaitAsync(Patience)).Code);
        Assert.Empty(Lease.Handles);
    }

    [Fact]
    public async Task A_pod_s_further_interface_is_refused_where_Kubernetes_is_the_datastore()
    {
        var request = Add with { InterfaceName = "net1", Args = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web" };

        var (code, message) = ErrorOf(await CallAsync(HandlerOf(Services with { Links = _links }), request, OpenPod(), CancellationToken.None));

        Assert.Equal(7, code);
        Assert.Contains("CNI_IFNAME is net1", message, StringComparison.Ordinal);
    }

    protected override void AfterAll()
    {
        base.AfterAll();
        _pod.Dispose();
    }

    private static CniRequest Add => Request(CniCommand.Add) with { Plugin = CniPlugin.Interface };

    private static ReadOnlyMemory<byte> WithTimeout => Request(CniCommand.Add, more: ", \"policy_setup_timeout_seconds\": 3600").Config;

    private static SafeFileHandle OpenPod() => File.OpenHandle("/proc/self/ns/net");
}
