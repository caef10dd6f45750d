using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Routes;
using Calico.Node.Lab;

namespace Calico.Tests.Lab;

/// <summary>
/// A lab under a name of its own: two segments, three nodes with <see cref="MiniNode"/> in the place of the agent,
/// four pods wired by the real shim. Down, whatever happened.
/// </summary>
public sealed class LabBed : IAsyncLifetime
{
    private readonly List<MiniNode> _nodes = [];

    internal LabPlace Place { get; } = TestLabs.Place("bed");
    internal global::Calico.Node.Lab.Lab Lab { get; }
    internal StringWriter Output { get; } = new();
    internal IReadOnlyList<MiniNode> Nodes => _nodes;

    internal static PodId Web { get; } = new("shop", "web");
    internal static PodId Api { get; } = new("shop", "api");
    internal static PodId Db { get; } = new("shop", "db");
    internal static PodId Near { get; } = new("shop", "near");

    public LabBed() => Lab = new global::Calico.Node.Lab.Lab(Place, new LabOutput(Output, onTerminal: false));

    public async Task InitializeAsync()
    {
        Artifacts.LinkPrograms();
        await TestLabs.SweepAsync();
        try
        {
            Directory.CreateDirectory(Place.Folder);
            var state = new LabState { Nodes = [1, 2, 3], Namespaces = ["shop"] };
            Lab.Topology.CreateRouter();
            foreach (var node in state.AllNodes)
                Lab.Topology.CreateNode(node);
            RouteBlocks(state.AllNodes);
            state.Save(Place);
            foreach (var node in state.AllNodes)
                _nodes.Add(new MiniNode(Place, Lab.Topology, node, state.AllNodes));
            foreach (var (pod, node) in ((PodId, string)[])[(Web, "node1"), (Near, "node1"), (Api, "node2"), (Db, "node3")])
                await Lab.AddPodAsync(new PodRequest(pod, node) { Listen = [LabPort.Parse("80/tcp"), LabPort.Parse("53/udp")] });
        }
        catch
        {
            await DisposeAsync();
            throw;
        }
    }

    public async Task DisposeAsync()
    {
        foreach (var node in _nodes)
            await node.DisposeAsync();
        await Lab.DownAsync();
    }

    // What BIRD learns in a lab with agents.
    private void RouteBlocks(IEnumerable<LabNode> nodes)
    {
        using var router = Lab.Topology.OpenRouter();
        using var routes = router.OpenRoutes();
        foreach (var node in nodes)
        {
            Errno[] results = [Errno.None];
            routes.Apply([new(new Route(new RouteKey(MiniNode.BlockOf(node), 0), RouteKind.Unicast, 80,
                [new NextHop(node.Address.Address)]), Delete: false)], results);
            Assert.Equal(Errno.None, results[0]);
        }
    }
}
