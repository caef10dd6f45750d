using System.Diagnostics;
using System.Globalization;
using Calico.Tests.Conformance.Bgp;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// A mesh whose nodes watch each other at the default interval, on a machine that has no time for them: a loop at the usual priority
/// for each core, and a table that is loaded and lost again without a pause. Nobody may take that for a broken path.
/// CALICO_BFD_SOAK_SECONDS makes it longer, and from a minute on the table has 500,000 routes; CALICO_BFD_SOAK_INTERVAL has another interval.
/// </summary>
[Layer("conformance")]
public sealed class BfdMeshSoakTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const int Nodes = 4;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private static readonly int Seconds =
        int.TryParse(Environment.GetEnvironmentVariable("CALICO_BFD_SOAK_SECONDS"), CultureInfo.InvariantCulture, out var seconds) ? seconds : 12;

    private static readonly string Interval = Environment.GetEnvironmentVariable("CALICO_BFD_SOAK_INTERVAL") ?? "300ms*3";

    private readonly BfdMeshBed _bed = new(Nodes, Interval, Seconds < 60 ? 20_000 : 500_000);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _bed.DisposeAsync();

    [SkippableFact]
    public async Task Nodes_of_a_busy_machine_never_take_each_other_for_gone()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await _bed.StartAsync();
        await UntilAsync(ends => ends.Count == _bed.EndCount && ends.All(e => e.IsUp), "every path is up");
        var before = await _bed.EndsAsync();
        for (var i = 0; i < Environment.ProcessorCount; i++)
            _bed.Burn();

        var (began, loads) = (Stopwatch.GetTimestamp(), 0);
        for (; Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(Seconds) || loads == 0; loads++)
        {
            await _bed.TellAsync(true);
            await HaveAsync(_bed.Routes);
            await _bed.TellAsync(false);
            await HaveAsync(0);
        }
        var took = Stopwatch.GetElapsedTime(began);

        IReadOnlyList<WatchedEnd> after = [];
        await UntilAsync(ends => (after = ends).Count == _bed.EndCount, "every speaker answers");
        var flaps = after.Sum(e => e.Downs) - before.Sum(e => e.Downs);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"soak of a mesh: {Interval}, {Nodes} nodes and a BIRD for {took.TotalSeconds:F0} s, {_bed.Routes} routes loaded and lost {loads} times: {flaps} flaps here, {_bed.FeederDowns} at the BIRD, "
            + $"{after.Sum(e => e.PathFailures)} sessions of BGP ended by it; at most {string.Join(", ", _bed.PeakMegabytes)} MB"));
        foreach (var end in after)
            output.WriteLine(end.ToString());
        if (flaps + _bed.FeederDowns > 0)
            output.WriteLine(_bed.Log);

        Assert.Equal((0L, 0, 0L), (flaps, _bed.FeederDowns, after.Sum(e => e.PathFailures)));
        Assert.All(after, e => Assert.Equal((e.Node, e.Peer, 1L), (e.Node, e.Peer, e.Established)));
    }

    // The first node of the BIRD, the others of the first node.
    private Task HaveAsync(int routes) => UntilAsync(ends => ends.Count == _bed.EndCount
        && ends.Where(e => e.Peer == (e.Node == 1 ? "192.0.2.100" : "192.0.2.1")).All(e => e.Received == routes), $"all have {routes} routes");

    private async Task UntilAsync(Func<IReadOnlyList<WatchedEnd>, bool> condition, string what)
    {
        IReadOnlyList<WatchedEnd> ends = [];
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < Patience; await Task.Delay(200))
        {
            if (condition(ends = await _bed.EndsAsync()))
                return;
        }
        Assert.Fail($"never: {what}\n{string.Join('\n', ends)}\n{_bed.Log}");
    }
}
