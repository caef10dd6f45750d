using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Dataplane;

[Layer("actor")]
public class LinkWriterActorTests : NodeActorFixture
{
    private readonly FakeNetworkNamespace _pod;
    private readonly IActorRef _writer;
    private readonly List<string> _operations = [];
    private int _busy;

    public LinkWriterActorTests(ITestOutputHelper output) : base(output)
    {
        _pod = Kernel.CreateNamespace("pod");
        _writer = Sys.ActorOf(LinkWriterActor.Props(Host));
    }

    private void Record(Func<string, string, Errno> refuse) => Kernel.Refuse = (operation, subject) =>
    {
        lock (_operations)
            _operations.Add(operation);
        return refuse(operation, subject);
    };

    private async Task<LinkProtocol.Wired> WireAsync(string name, string inside, params ImmutableArray<IpAddr> addresses)
    {
        _writer.Tell(new LinkProtocol.Wire(1, new WiringRequest(name, inside), _pod), TestActor);
        _writer.Tell(new LinkProtocol.Address(1, addresses), TestActor);
        return await ExpectMsgAsync<LinkProtocol.Wired>();
    }

    /// <summary>Has the writer busy with another link while these requests arrive.</summary>
    private async Task TellAtOnceAsync(params IEnumerable<object> requests)
    {
        using var gate = new ManualResetEventSlim();
        Record((operation, _) =>
        {
            if (operation == "change link" && !gate.IsSet)
                gate.Wait();
            return Errno.None;
        });
        _writer.Tell(new LinkProtocol.Activate(9, "busy", _busy, Ipv6: false), TestActor);
        foreach (var request in requests)
            _writer.Tell(request, TestActor);
        gate.Set();
        await ExpectMsgAsync<LinkProtocol.Activated>();
    }

    [Fact]
    public async Task A_pair_is_made_addressed_and_opened()
    {
        var wired = await WireAsync("cali1", "eth0", IpAddr.Parse("10.65.1.7"));
        Assert.False(Links.Find("cali1")!.Up);

        _writer.Tell(new LinkProtocol.Activate(3, "cali1", wired.HostIndex, Ipv6: false), TestActor);
        await ExpectMsgAsync<LinkProtocol.Activated>();

        Assert.True(Links.Find("cali1")!.Up);
        Assert.Equal("1", Host.OpenSysctl().Read("ipv4/conf/cali1/proxy_arp"));
        Assert.Contains("10.65.1.7/32", _pod.OpenLinks().DumpAddresses().Select(a => a.Address.ToString()));
    }

    [Fact]
    public async Task The_nodes_peering_address_is_on_the_links_that_want_it_and_on_no_other()
    {
        IEnumerable<string> On(string name) => Links.DumpAddresses(Links.Find(name)!.Index).Where(a => a.Address.IsHost).Select(a => $"{a.Address} {a.Scope}").Order();
        void Assign(params (string, string)[] wanted) =>
            _writer.Tell(new LinkProtocol.AssignPeering([.. wanted.Select(w => (w.Item1, IpAddr.Parse(w.Item2)))], "cali"), TestActor);
        async Task Done()
        {
            _writer.Tell(new LinkProtocol.GetStatus(), TestActor);
            await ExpectMsgAsync<LinkProtocol.Status>();
        }
        await WireAsync("cali1", "eth0");
        var cali2 = await WireAsync("cali2", "eth1");
        await WireAsync("other", "eth2");
        // Of an earlier life, and one that is nobody's business.
        Links.AddAddress(new LinkAddress(cali2.HostIndex, Cidr.Parse("169.254.1.8/32")));
        Links.AddAddress(new LinkAddress(Links.Find("other")!.Index, Cidr.Parse("169.254.1.8/32")));

        Assign(("cali1", "169.254.1.9"), ("cali1", "fd00::9"), ("cali3", "169.254.1.9"));
        await Done();
        Assert.Equal(["169.254.1.9/32 Link", "fd00::9/128 Universe"], On("cali1"));
        Assert.Empty(On("cali2"));
        Assert.Single(On("other"));

        // One that comes later.
        var cali3 = await WireAsync("cali3", "eth3");
        _writer.Tell(new LinkProtocol.Activate(3, "cali3", cali3.HostIndex, Ipv6: false), TestActor);
        await ExpectMsgAsync<LinkProtocol.Activated>();
        Assert.Equal(["169.254.1.9/32 Link"], On("cali3"));

        Assign(("cali3", "169.254.1.10"));
        await Done();
        Assert.Empty(On("cali1"));
        Assert.Equal(["169.254.1.10/32 Link"], On("cali3"));
        var writes = Links.WriteCount;
        Assign(("cali3", "169.254.1.10"));
        await Done();
        Assert.Equal(writes, Links.WriteCount);
    }

    [Fact]
    public async Task What_is_to_go_while_the_writer_is_busy_goes_in_one_request()
    {
        _busy = (await WireAsync("busy", "eth0")).HostIndex;
        for (var i = 0; i < 20; i++)
            await WireAsync($"cali{i}", $"eth{i + 1}");
        var before = Links.Dump().Length;

        await TellAtOnceAsync([.. Enumerable.Range(0, 20).Select(i => new LinkProtocol.Unwire(100 + i, $"cali{i}")), new LinkProtocol.Unwire(120, "never")]);

        var answers = new Dictionary<long, bool>();
        for (var i = 0; i < 21; i++)
        {
            var unwired = await ExpectMsgAsync<LinkProtocol.Unwired>();
            answers.Add(unwired.RequestId, unwired.WasThere);
        }
        Assert.Equal([120], answers.Where(a => !a.Value).Select(a => a.Key));
        Assert.Equal(before - 20, Links.Dump().Length);
        // The fake asks for each device of the one request; single removals would be "delete link".
        Assert.DoesNotContain("delete link", _operations);
    }

    [Fact]
    public async Task A_name_that_is_wired_again_before_its_removal_keeps_its_new_link()
    {
        _busy = (await WireAsync("busy", "eth0")).HostIndex;
        var old = await WireAsync("cali1", "eth1");
        await TellAtOnceAsync(new LinkProtocol.Unwire(10, "cali1"), new LinkProtocol.Wire(11, new WiringRequest("cali1", "eth1"), _pod),
            new LinkProtocol.Address(11, []));

        var wired = await ExpectMsgAsync<LinkProtocol.Wired>();
        Assert.Equal(10, (await ExpectMsgAsync<LinkProtocol.Unwired>()).RequestId);
        Assert.NotEqual(old.HostIndex, wired.HostIndex);
        Assert.Equal(wired.HostIndex, Links.Find("cali1")!.Index);
    }

    [Fact]
    public async Task A_kernel_that_refuses_is_quoted_and_the_next_request_is_served()
    {
        await WireAsync("cali1", "eth0");
        Record((operation, _) => operation == "delete links" ? Errno.EBUSY : Errno.None);

        _writer.Tell(new LinkProtocol.Unwire(10, "cali1"), TestActor);
        var refused = await ExpectMsgAsync<LinkProtocol.Refused>();
        Kernel.Refuse = null;
        _writer.Tell(new LinkProtocol.Unwire(11, "cali1"), TestActor);

        Assert.Equal(10, refused.RequestId);
        Assert.Contains("delete links", refused.Reason, StringComparison.Ordinal);
        Assert.True((await ExpectMsgAsync<LinkProtocol.Unwired>()).WasThere);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_pod_that_has_an_interface_of_that_name_already_is_told_so(bool isLeftOver)
    {
        using (var links = _pod.OpenLinks())
            links.CreateBridge("eth0");
        if (isLeftOver)
            Links.CreateBridge("cali1");

        _writer.Tell(new LinkProtocol.Wire(1, new WiringRequest("cali1", "eth0"), _pod), TestActor);
        _writer.Tell(new LinkProtocol.Address(1, []), TestActor);

        Assert.Contains("the pod's namespace already has an interface eth0", (await ExpectMsgAsync<LinkProtocol.Refused>()).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pair_that_cannot_be_made_leaves_nothing_behind()
    {
        Record((operation, subject) => operation == "change link" && subject == "eth0" ? Errno.ENOMEM : Errno.None);

        _writer.Tell(new LinkProtocol.Wire(1, new WiringRequest("cali1", "eth0"), _pod), TestActor);
        _writer.Tell(new LinkProtocol.Address(1, []), TestActor);

        Assert.Contains("eth0", (await ExpectMsgAsync<LinkProtocol.Refused>()).Reason, StringComparison.Ordinal);
        Assert.Null(Links.Find("cali1"));
    }

    [Fact]
    public async Task The_routes_of_a_link_are_asked_for_in_the_name_of_whoever_opens_it()
    {
        var wired = await WireAsync("cali1", "eth0");
        var change = new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [], [], 5);
        var routes = CreateTestProbe();

        _writer.Tell(new LinkProtocol.Activate(3, "cali1", wired.HostIndex, Ipv6: false) { Routes = (routes.Ref, change) }, TestActor);

        Assert.Same(change, await routes.ExpectMsgAsync<RouteProtocol.ChangeRoutes>());
        Assert.True(Links.Find("cali1")!.Up);
        routes.Reply("written");
        await ExpectMsgAsync("written");
    }

    [Fact]
    public async Task Who_gives_a_pair_up_hears_when_the_writer_is_done_with_the_pod()
    {
        _writer.Tell(new LinkProtocol.Wire(1, new WiringRequest("cali1", "eth0"), _pod), TestActor);
        _writer.Tell(new LinkProtocol.Abandon(1), TestActor);
        await ExpectMsgAsync<LinkProtocol.Abandoned>();
        _writer.Tell(new LinkProtocol.Address(1, []), TestActor);

        await ExpectMsgAsync<LinkProtocol.Refused>();
        Assert.NotNull(Links.Find("cali1"));
    }
}
