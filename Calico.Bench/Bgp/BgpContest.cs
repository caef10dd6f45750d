using System.Globalization;

namespace Calico.Bench.Bgp;

/// <summary>Ours and others in turns, each started anew for each round; prints each round, then medians and ratios.</summary>
/// <param name="measures">What each round gives, with its unit.</param>
/// <param name="rounds">How many.</param>
internal sealed class BgpContest(string[] measures, int rounds)
{
    /// <summary>The first contender is the one that the others are compared with.</summary>
    public async Task<int> RunAsync(BgpContender[] contenders, Func<BgpContender.Running, Task<double[]>> measure)
    {
        var results = contenders.ToDictionary(c => c.Name, _ => new List<double[]>());
        Console.WriteLine($"{"",-18}{string.Concat(measures.Select(m => $"{m,16}"))}");
        for (var round = 0; round < rounds; round++)
        {
            foreach (var contender in round % 2 == 0 ? contenders : [.. contenders.Reverse()])
            {
                using var running = contender.Start();
                var result = await measure(running);
                results[contender.Name].Add(result);
                Print($"{contender.Name}, round {round + 1}", result);
            }
        }
        var medians = results.ToDictionary(r => r.Key, r => measures.Select((_, i) => Median(r.Value.Select(v => v[i]))).ToArray());
        var ours = medians[contenders[0].Name];
        foreach (var contender in contenders)
        {
            var median = medians[contender.Name];
            Print(contender.Name + ", median", median);
            if (contender != contenders[0])
                Print("to " + contender.Name, [.. ours.Zip(median, (a, b) => a / b)]);
        }
        return 0;
    }

    private static void Print(string what, double[] values) =>
        Console.WriteLine($"{what,-18}{string.Concat(values.Select(v => v.ToString(v < 100 ? "f2" : "f0", CultureInfo.InvariantCulture).PadLeft(16)))}");

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
