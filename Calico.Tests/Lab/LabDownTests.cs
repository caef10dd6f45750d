using Calico.Kernel.Namespaces;
using Calico.Node.Lab;
using Calico.Tests.Cni;

namespace Calico.Tests.Lab;

[Layer("lab")]
[Collection("lab")]
public sealed class LabDownTests : IAsyncLifetime
{
    private static readonly LabPlace Place = TestLabs.Place("down");
    private readonly global::Calico.Node.Lab.Lab _lab = new(Place, new LabOutput(TextWriter.Null, onTerminal: false));

    public async Task InitializeAsync() => await _lab.DownAsync();
    public async Task DisposeAsync() => await _lab.DownAsync();

    [Fact]
    public async Task Without_a_lab_down_does_nothing() => Assert.Equal(0, await _lab.DownAsync());

    [Fact]
    public async Task Down_needs_no_state_file_and_ends_what_runs_inside()
    {
        _lab.Topology.CreateRouter();
        _lab.Topology.CreateNode(new LabNode(1));
        var unrecorded = StartSleeper("unrecorded");

        Assert.Equal(2, await _lab.DownAsync());

        Assert.False(Processes.IsAlive(unrecorded));
        Assert.Empty(_lab.Topology.Namespaces());
        Assert.False(Directory.Exists(Place.Folder));
    }

    [Fact]
    public async Task A_damaged_state_file_does_not_stop_it()
    {
        _lab.Topology.CreateRouter();
        Directory.CreateDirectory(Place.Folder);
        await File.WriteAllTextAsync(Place.StateFile, "{");

        await _lab.DownAsync();

        Assert.Empty(_lab.Topology.Namespaces());
    }

    [Fact]
    public async Task A_recorded_number_that_belongs_to_somebody_else_now_is_left_alone()
    {
        _lab.Topology.CreateRouter();
        Directory.CreateDirectory(Place.Folder);
        var somebody = Environment.ProcessId;
        new LabState { Processes = [new LabProcess("node1", somebody, StartTicks: 1)] }.Save(Place);

        await _lab.DownAsync();

        Assert.Empty(_lab.Topology.Namespaces());
    }

    [Fact]
    public async Task Namespaces_of_others_are_left_alone()
    {
        var neighbour = Place.Name + "ish";
        using var other = NetworkNamespace.CreateNamed(neighbour);
        try
        {
            await _lab.DownAsync();

            Assert.Contains(neighbour, NamedNamespaces.List());
        }
        finally
        {
            NetworkNamespace.DeleteNamed(neighbour);
        }
    }

    [Fact]
    public async Task Up_refuses_the_remains_of_another_lab()
    {
        Directory.CreateDirectory(Place.Folder);
        new LabState { Nodes = [1], Processes = [new LabProcess("node1", 1, StartTicks: 1)] }.Save(Place);

        var error = await Assert.ThrowsAsync<LabException>(() => _lab.UpAsync(1));

        Assert.Contains("down", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_process_outlives_its_starter_and_keeps_its_number()
    {
        _lab.Topology.CreateRouter();
        _lab.Topology.CreateNode(new LabNode(1));
        var sleeper = StartSleeper("sleeper");

        await Wait.Until(() => File.ReadAllText($"/proc/{sleeper.Pid}/comm") == "sleep\n", "the program in the shell's place");
        var found = Assert.Single(Processes.Inside([Place.NodeNamespace("node1")]));

        Assert.Equal((sleeper.Pid, sleeper.StartTicks), (found.Pid, found.StartTicks));
        Assert.Equal(sleeper.Pid.ToString(System.Globalization.CultureInfo.InvariantCulture),
            (await File.ReadAllTextAsync($"/proc/{sleeper.Pid}/stat")).Split(' ')[5]);
    }

    [Fact]
    public async Task A_power_cut_takes_the_node_its_pods_and_its_cable()
    {
        _lab.Topology.CreateRouter();
        _lab.Topology.CreateNode(new LabNode(1));
        _lab.Topology.CreateNode(new LabNode(2));
        var pod = new PodId("shop", "web");
        _lab.Topology.CreatePod(pod);
        var agent = StartSleeper("node1");
        new LabState { Nodes = [1, 2], Processes = [agent], Pods = [new LabPod("shop", "web", "node1", "c", "10.65.1.1")] }.Save(Place);

        await _lab.RemoveNodeAsync(new LabNode(1));

        Assert.False(Processes.IsAlive(agent));
        Assert.Equal([Place.NodeNamespace("node2"), Place.RouterNamespace], _lab.Topology.Namespaces());
        Assert.Equal([2], _lab.State.Nodes);
        Assert.Empty(_lab.State.Pods);
        using var router = _lab.Topology.OpenRouter();
        using var links = router.OpenLinks();
        Assert.Null(links.Find("to-node1"));
    }

    private LabProcess StartSleeper(string role)
    {
        using var inside = _lab.Topology.OpenNode("node1");
        return Processes.Start(role, inside, Path.Combine(Place.Folder, "sleep.log"), new Dictionary<string, string?>(), "sleep", "600");
    }
}
