using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Node.Lab;

/// <summary>Who reaches whom on one port: a row a source, a column a destination, both in the same order.</summary>
internal sealed record Matrix(LabPort Port, IReadOnlyList<PodId> Pods, ProbeResult[,] Results)
{
    private static readonly TimeSpan ProbeLimit = TimeSpan.FromSeconds(1);

    /// <summary>Probes every pair at the same time; a pod's way to itself never leaves it and is not asked.</summary>
    public static async Task<Matrix> MeasureAsync(Topology topology, IReadOnlyList<LabPod> pods, LabPort port)
    {
        var results = new ProbeResult[pods.Count, pods.Count];
        await Task.WhenAll(Enumerable.Range(0, pods.Count).Select(async from =>
        {
            using var inside = topology.OpenPod(pods[from].Id);
            await Task.WhenAll(Enumerable.Range(0, pods.Count).Where(to => to != from).Select(async to =>
                results[from, to] = await Probe.RunAsync(inside, port, IpAddr.Parse(pods[to].Address), pods[to].Id.ToString(), ProbeLimit)));
        }));
        return new Matrix(port, [.. pods.Select(p => p.Id)], results);
    }

    /// <summary>One line a source: '.' reached, 'X' blocked, 'r' refused, '!' somebody else answered, ' ' itself.</summary>
    public IReadOnlyList<string> Rows => [.. Enumerable.Range(0, Pods.Count).Select(Row)];

    public bool All(ProbeResult wanted)
    {
        for (var from = 0; from < Pods.Count; from++)
        {
            for (var to = 0; to < Pods.Count; to++)
            {
                if (from != to && Results[from, to] != wanted)
                    return false;
            }
        }
        return true;
    }

    /// <summary>Where the measured matrix differs from a wanted one, in words; empty if it does not.</summary>
    public string Difference(Func<PodId, PodId, bool> wanted)
    {
        var wrong = new List<string>();
        for (var from = 0; from < Pods.Count; from++)
        {
            for (var to = 0; to < Pods.Count; to++)
            {
                if (from == to)
                    continue;
                var expected = wanted(Pods[from], Pods[to]) ? ProbeResult.Reached : ProbeResult.Blocked;
                if (Results[from, to] != expected)
                    wrong.Add($"{Pods[from]} -> {Pods[to]} {Port} is {Results[from, to]}, not {expected}");
            }
        }
        return string.Join("; ", wrong);
    }

    public void Print(LabOutput output)
    {
        var rows = new List<IReadOnlyList<string>>();
        for (var from = 0; from < Pods.Count; from++)
            rows.Add([Pods[from].ToString(), .. Row(from).Select(c => c.ToString())]);
        output.Table([$"{Port} from \\ to", .. Pods.Select(p => p.ToString())], rows);
    }

    public string ToJson() => JsonSerializer.Serialize(new
    {
        port = Port.ToString(),
        pods = Pods.Select(p => p.ToString()),
        results = Enumerable.Range(0, Pods.Count).Select(from => Enumerable.Range(0, Pods.Count)
            .Select(to => from == to ? null : Results[from, to].ToString())),
    });

    private string Row(int from) => string.Concat(Enumerable.Range(0, Pods.Count).Select(to => from == to ? ' ' : Results[from, to] switch
    {
        ProbeResult.Reached => '.',
        ProbeResult.Blocked => 'X',
        ProbeResult.Refused => 'r',
        _ => '!',
    }));
}
