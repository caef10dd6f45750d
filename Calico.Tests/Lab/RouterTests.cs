using Calico.Core.Net;
using Calico.Node.Lab;
using Calico.Tests.Cni;

namespace Calico.Tests.Lab;

[Layer("lab")]
[Collection("lab")]
public sealed class RouterTests : IAsyncLifetime
{
    private static readonly LabPlace Place = TestLabs.Place("bird");
    private readonly global::Calico.Node.Lab.Lab _lab = new(Place, new LabOutput(TextWriter.Null, onTerminal: false));

    public async Task InitializeAsync() => await _lab.DownAsync();
    public async Task DisposeAsync() => await _lab.DownAsync();

    [Fact]
    public async Task The_router_learns_a_node_s_block_and_announces_the_outside_network()
    {
        var node = new LabNode(2);
        _lab.Topology.CreateRouter();
        _lab.Topology.CreateNode(node);
        await _lab.Router.StartAsync(_lab.Topology, [node]);
        await StartPeerAsync(node);

        await _lab.UntilSessionsAsync([node]);

        IReadOnlyList<BirdRoute> routes = [];
        await Until.TrueAsync(async () => (routes = await _lab.Router.RoutesAsync(_lab.Topology)).Any(r => r.Protocol == "node2"),
            TimeSpan.FromSeconds(30), () => "no route was learned");
        Assert.Contains(new BirdRoute(Cidr.Parse("10.65.2.0/26"), node.Address.Address, "node2"), routes);
        using var inside = _lab.Topology.OpenNode(node.Name);
        using var table = inside.OpenRoutes();
        await Wait.Until(() => table.Dump(new(IpVersion.V4)).Any(r => r.Key.Destination == Cidr.Parse(LabPlace.ExternalNetwork)), "the outside network");
    }

    // A second BIRD in the place of a node's speaker.
    private async Task StartPeerAsync(LabNode node)
    {
        var folder = Directory.CreateDirectory(Place.NodeFolder(node.Name)).FullName;
        var config = Path.Combine(folder, "peer.conf");
        await File.WriteAllTextAsync(config, $$"""
            router id {{node.Address.Address}};
            protocol device { scan time 2; }
            protocol static { ipv4; route 10.65.2.0/26 blackhole; }
            protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
            protocol bgp outside {
              local as {{LabPlace.NodeAs}};
              neighbor {{node.Router}} as {{LabPlace.RouterAs}};
              connect delay time 1;
              ipv4 { import all; export where source = RTS_STATIC; };
            }
            """);
        using var inside = _lab.Topology.OpenNode(node.Name);
        Processes.Start("peer", inside, Path.Combine(folder, "peer.log"), new Dictionary<string, string?>(),
            "/usr/sbin/bird", "-f", "-c", config, "-s", Path.Combine(folder, "peer.ctl"));
    }
}
