using System.Globalization;

namespace Calico.Node.Lab.Churn;

internal enum FaultKind
{
    /// <summary>kill -9 of an agent, and a new one.</summary>
    KillAgent,

    /// <summary>An agent stands still and goes on.</summary>
    StopAgent,

    /// <summary>A node's cable is pulled and plugged in again.</summary>
    CutCable,

    /// <summary>A node does not hear the datastore, and everybody else.</summary>
    HideDatastore,

    /// <summary>A node hears the datastore, and no other node.</summary>
    HidePeers,

    /// <summary>kill -9 of the datastore, and a new one on the same files.</summary>
    KillDatastore,

    /// <summary>The datastore stands still and goes on.</summary>
    StopDatastore,
}

/// <param name="Target">A node, or the datastore.</param>
/// <param name="At">Since the beginning of the round.</param>
internal sealed record Fault(int Number, FaultKind Kind, string Target, TimeSpan At, TimeSpan Lasts)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"#{Number} at {At.TotalSeconds:0.0} s: {Words} for {Lasts.TotalSeconds:0.0} s");

    private string Words => Kind switch
    {
        FaultKind.KillAgent => $"{Target}'s agent is killed",
        FaultKind.StopAgent => $"{Target}'s agent stands still",
        FaultKind.CutCable => $"{Target}'s cable is pulled",
        FaultKind.HideDatastore => $"{Target} does not hear the datastore",
        FaultKind.HidePeers => $"{Target} does not hear the other nodes",
        FaultKind.KillDatastore => "the datastore is killed",
        _ => "the datastore stands still",
    };
}

/// <summary>
/// Which faults happen when: the same for the same arguments. Each ends before the round does, a target has one at a time,
/// and at most half of the nodes have one.
/// </summary>
internal static class FaultSchedule
{
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan FirstAt = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(7);

    // Killed agents are what happens most often in life as well.
    private static readonly FaultKind[] OfNodes =
        [FaultKind.KillAgent, FaultKind.KillAgent, FaultKind.KillAgent, FaultKind.StopAgent, FaultKind.CutCable, FaultKind.HideDatastore, FaultKind.HidePeers];

    private static readonly FaultKind[] OfDatastore = [FaultKind.KillDatastore, FaultKind.KillDatastore, FaultKind.StopDatastore];

    public static IReadOnlyList<Fault> Plan(int seed, int nodes, TimeSpan round)
    {
        var random = new Random(seed);
        var faults = new List<Fault>();
        for (var at = FirstAt; at + Shortest < round; at += Between(random, Shortest, LongestPause))
        {
            var ofDatastore = random.Next(5) == 0;
            var kind = Pick(random, ofDatastore ? OfDatastore : OfNodes);
            var target = ofDatastore ? NodeProcess.DatastoreRole : new LabNode(1 + random.Next(nodes)).Name;
            var lasts = Between(random, Shortest, Longest);
            var underWay = faults.Where(f => f.At + f.Lasts > at).ToList();
            // What does not fit is left out, not moved: the next one is as good.
            if (at + lasts > round || underWay.Exists(f => f.Target == target)
                || (!ofDatastore && underWay.Count(f => f.Target != NodeProcess.DatastoreRole) >= Math.Max(1, nodes / 2)))
                continue;
            faults.Add(new Fault(faults.Count + 1, kind, target, at, lasts));
        }
        return faults;
    }

    private static FaultKind Pick(Random random, FaultKind[] kinds) => kinds[random.Next(kinds.Length)];

    // Tenths of a second, so that the schedule is what is printed of it.
    private static TimeSpan Between(Random random, TimeSpan least, TimeSpan most) =>
        TimeSpan.FromMilliseconds(100 * random.Next((int)(least.TotalMilliseconds / 100), (int)(most.TotalMilliseconds / 100) + 1));
}
