using Calico.Actors.Cni;
using Calico.Actors.Endpoints;
using Calico.Core.Cni;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;
using Microsoft.Extensions.Time.Testing;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Cni;

[Layer("actor")]
public sealed class CniVanishedTests(ITestOutputHelper output) : CniFixture(output)
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task A_pod_that_vanished_before_the_watch_began_is_removed()
    {
        await RecordAsync(Pod("a"));

        await using var vanished = Start(Host);

        await SoonAsync(async () => Assert.Empty(await WorkloadsAsync()));
        Assert.Empty(Lease.Handles);
    }

    [Fact]
    public async Task A_removal_that_fails_is_tried_again_and_keeps_no_other_waiting()
    {
        foreach (var name in (string[])["a", "b", "c"])
            await RecordAsync(Pod(name));
        Lease.Refused.UnionWith(["net.a", "net.b"]);
        await using var vanished = Start(Host);

        await SoonAsync(async () => Assert.Equal(["a", "b"], (await WorkloadsAsync()).Select(w => w.ContainerId).Order()));
        Assert.Equal(2, Reported("cannot be removed"));
        Lease.Refused.Clear();

        await SoonAsync(async () => Assert.Empty(await WorkloadsAsync()));
        Assert.Equal(2, Reported("cannot be removed"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_watch_that_fails_begins_again(bool afterwards)
    {
        AddLink("calia");
        await RecordAsync(Pod("a"));
        await using var vanished = Start(new BrittleHost(Host, afterwards));
        await SoonAsync(() =>
        {
            Assert.Equal(1, Reported("ENOBUFS"));
            return Task.CompletedTask;
        });

        Links.Delete("calia");

        await SoonAsync(async () => Assert.Empty(await WorkloadsAsync()));
    }

    private CniVanished Start(INetworkNamespace host) => CniVanished.Start(host, Handler, _time, Note);

    private Task SoonAsync(Func<Task> assertion) => Eventually(async () =>
    {
        _time.Advance(TimeSpan.FromSeconds(1));
        await assertion();
    });

    private static Workload Pod(string name) =>
        Workload.From(Request(CniCommand.Add, name), Config, "cali") with { Addresses = ["10.65.0.1"] };

    private static CniNetworkConfig Config =>
        CniNetworkConfig.TryParse(Request(CniCommand.Add).Config, CniCommand.Add, out var config, out _) ? config : throw new InvalidOperationException();

    /// <summary>A machine whose first monitor cannot be opened, or fails after a while.</summary>
    private sealed class BrittleHost(INetworkNamespace host, bool afterwards) : INetworkNamespace
    {
        private bool _hasFailed;

        public int Fd => host.Fd;
        public ILinkTable OpenLinks() => host.OpenLinks();
        public IRouteTable OpenRoutes() => host.OpenRoutes();
        public INeighbourTable OpenNeighbours() => host.OpenNeighbours();
        public IRuleTable OpenRules() => host.OpenRules();
        public ISysctl OpenSysctl() => host.OpenSysctl();

        public IKernelMonitor OpenMonitor(KernelEventGroups groups, KernelEventFilter without = default)
        {
            if (_hasFailed)
                return host.OpenMonitor(groups, without);
            _hasFailed = true;
            return afterwards ? new Brittle() : throw Failure;
        }

        public void Dispose()
        {
        }

        private static KernelException Failure => new(Errno.ENOBUFS, "read", "events");

        private sealed class Brittle : IKernelMonitor
        {
            public async ValueTask<IReadOnlyList<KernelEvent>> NextAsync(CancellationToken cancellation)
            {
                await Task.Yield();
                throw Failure;
            }

            public void Dispose()
            {
            }
        }
    }
}
