using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;
using Calico.Node.Lab;
using Calico.Node.Lab.Check;
using Calico.Tests.Cni;

namespace Calico.Tests.Lab;

[Layer("lab")]
[Collection("lab")]
public class LabTests(LabBed bed) : IClassFixture<LabBed>
{
    [Theory]
    [InlineData("80/tcp")]
    [InlineData("53/udp")]
    [InlineData("icmp")]
    public async Task Every_pod_reaches_every_other(string port)
    {
        var matrix = await bed.Lab.MatrixAsync(LabPort.Parse(port));

        Assert.Equal([" ...", ". ..", ".. .", "... "], matrix.Rows);
        Assert.Equal("", matrix.Difference((_, _) => true));
    }

    [Theory]
    [InlineData("81/tcp")]
    [InlineData("54/udp")]
    public async Task A_port_on_which_nobody_listens_is_told_from_a_blocked_one(string port)
    {
        var matrix = await bed.Lab.MatrixAsync(LabPort.Parse(port));

        Assert.True(matrix.All(ProbeResult.Refused));
    }

    [Fact]
    public async Task A_pod_gets_an_address_of_its_node_s_block_and_gives_everything_back()
    {
        var pod = await bed.Lab.AddPodAsync(new PodRequest(new PodId("shop", "brief"), "node2") { Listen = [LabPort.Parse("80/tcp")] });
        var process = bed.Lab.State.Process(LabPod.RoleOf(pod.Id))!;

        Assert.True(MiniNode.BlockOf(new LabNode(2)).Contains(IpAddr.Parse(pod.Address)));
        Assert.True(Processes.IsAlive(process));
        await bed.Lab.RemovePodAsync(pod.Id);

        Assert.False(Processes.IsAlive(process));
        Assert.DoesNotContain(bed.Place.PodNamespace(pod.Id), bed.Lab.Topology.Namespaces());
        Assert.DoesNotContain(bed.Lab.State.Pods, p => p.Id == pod.Id);
    }

    [Fact]
    public async Task A_pod_that_is_there_cannot_be_made_again()
    {
        var error = await Assert.ThrowsAsync<LabException>(() => bed.Lab.AddPodAsync(new PodRequest(LabBed.Web, "node2")));

        Assert.Contains("shop/web is there already", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pod_on_a_node_that_is_not_there_is_refused_with_the_nodes_that_are()
    {
        var error = await Assert.ThrowsAsync<LabException>(() => bed.Lab.AddPodAsync(new PodRequest(new PodId("shop", "x"), "node9")));

        Assert.Contains("node1, node2, node3", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_the_plugin_refuses_is_told_and_nothing_remains()
    {
        var request = new PodRequest(new PodId("shop", "refused"), "node1") { Pool = "10.0.0.0/99" };

        var error = await Assert.ThrowsAsync<LabException>(() => bed.Lab.AddPodAsync(request));

        Assert.Contains("(code 7)", error.Message, StringComparison.Ordinal);
        Assert.Contains("10.0.0.0/99", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(bed.Place.PodNamespace(request.Id), bed.Lab.Topology.Namespaces());
    }

    [Fact]
    public async Task A_program_runs_inside_a_pod_s_network()
    {
        using var inside = bed.Lab.Topology.OpenPod(LabBed.Web);

        var (exit, output, _) = await Processes.RunAsync(inside, new Dictionary<string, string?>(), null, ["ip", "-o", "-4", "addr", "show", "eth0"]);

        Assert.Equal(0, exit);
        Assert.Contains(bed.Lab.State.Pod(LabBed.Web).Address, output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pings_are_counted_and_a_cut_is_seen_as_loss()
    {
        var pod = await bed.Lab.AddPodAsync(new PodRequest(new PodId("shop", "cut"), "node2"));
        await using var whole = PingFlow.Start(bed.Lab.Topology, bed.Lab.State.Pod(LabBed.Web), bed.Lab.State.Pod(LabBed.Db));
        await using var cut = PingFlow.Start(bed.Lab.Topology, bed.Lab.State.Pod(LabBed.Web), pod);
        await Wait.Until(() => cut.Answered > 5 && whole.Answered > 5, "the first answers");

        bed.Nodes[1].Blackhole(IpAddr.Parse(pod.Address));
        var before = cut.Sent;
        await Wait.Until(() => cut.Sent > before + 10, "more requests");

        var count = await cut.StopAsync();
        Assert.InRange(count.Lost.Count, 1, count.Sent);
        Assert.Empty((await whole.StopAsync()).Lost);
        await bed.Lab.RemovePodAsync(pod.Id);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void The_check_finds_nothing_wrong_with_right_routes(int node) =>
        Assert.Equal("", RouteSteps.Wrong(bed.Lab, new LabNode(node)));

    [Fact]
    public void The_check_names_a_route_that_belongs_to_nobody()
    {
        using var inside = bed.Lab.Topology.OpenNode("node1");
        using var routes = inside.OpenRoutes();
        var stale = new Route(new(Cidr.Parse("10.65.77.0/26"), 0), RouteKind.Unicast, 80,
            [new NextHop(IpAddr.Parse("172.30.1.1"))]);
        routes.Apply([new(stale, Delete: false)], new Errno[1]);
        try
        {
            Assert.Equal("route 10.65.77.0/26 belongs to no node's block", RouteSteps.Wrong(bed.Lab, new LabNode(1)));
        }
        finally
        {
            routes.Apply([new(stale, Delete: true)], new Errno[1]);
        }
    }

    [Fact]
    public void Nothing_of_the_lab_is_in_the_machine_s_own_namespace()
    {
        using var own = NetworkNamespace.OpenCurrent();
        using var links = own.OpenLinks();

        Assert.DoesNotContain(links.Dump(), l => l.Name.StartsWith("cali", StringComparison.Ordinal) || l.Name.StartsWith("to-node", StringComparison.Ordinal)
            || l.Name.StartsWith("br-", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_external_address_is_reached_through_the_router()
    {
        using var inside = bed.Lab.Topology.OpenPod(LabBed.Db);

        Assert.Equal(ProbeResult.Reached, await Probe.RunAsync(inside, LabPort.Parse("icmp"), LabPlace.External, "", TimeSpan.FromSeconds(5)));
    }

    [Fact]
    public async Task The_matrix_is_printed_plainly_into_a_pipe()
    {
        var matrix = await bed.Lab.MatrixAsync(LabPort.Parse("80/tcp"), p => p.Id == LabBed.Web || p.Id == LabBed.Api);
        var text = new StringWriter();

        matrix.Print(new LabOutput(text, onTerminal: false));

        Assert.Equal("80/tcp from \\ to  shop/api  shop/web\nshop/api                    .\nshop/web          .\n", text.ToString());
        Assert.Equal("""{"port":"80/tcp","pods":["shop/api","shop/web"],"results":[[null,"Reached"],["Reached",null]]}""", matrix.ToJson());
    }
}
