using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab.Churn;

/// <summary>
/// Whether pods work: each has its address and answers its node, by way of its gateway; between every two nodes some reach
/// each other as policy says, and some do not.
/// </summary>
internal sealed class ProbeRound(ChurnContext context)
{
    private const int AtOnce = 32;
    private const int PairsOfNodes = 3;
    private static readonly LabPort Icmp = LabPort.Parse("icmp");
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    public int Probes { get; private set; }

    public async Task<IReadOnlyList<string>> RunAsync(IReadOnlyList<LivingPod> pods, Random random)
    {
        var wrong = new List<string>();
        foreach (var group in pods.GroupBy(p => p.Node))
        {
            using var node = context.Lab.Topology.OpenNode(group.Key);
            wrong.AddRange(await EachAsync(group, p => OfPodAsync(node, p)));
        }
        var pairs = Pairs(pods, random);
        wrong.AddRange(await EachAsync(pairs, p => BetweenAsync(p.From, p.To)));
        Probes = pods.Count + pairs.Count;
        return wrong;
    }

    private async Task<string> OfPodAsync(NetworkNamespace node, LivingPod pod)
    {
        var addresses = await new EvidenceReader(context.Lab).ReadPodAsync(context.Runtime.NetnsOf(pod.Container));
        if (addresses is not [var only] || only != $"{pod.Address}/32")
            return $"{pod.Container} on {pod.Node} has {(addresses.Count == 0 ? "no address" : string.Join(' ', addresses))} inside, not {pod.Address}/32";
        return await Probe.RunAsync(node, Icmp, IpAddr.Parse(pod.Address), "", Limit) == ProbeResult.Reached
            ? ""
            : $"{pod.Container} ({pod.Address}) does not answer its node {pod.Node}";
    }

    private async Task<string> BetweenAsync(LivingPod from, LivingPod to)
    {
        using var inside = NetworkNamespace.OpenNamed(context.Runtime.NetnsOf(from.Container));
        var result = await Probe.RunAsync(inside, Icmp, IpAddr.Parse(to.Address), "", Limit);
        return result == (ChurnPolicy.Allows(from, to) ? ProbeResult.Reached : ProbeResult.Blocked)
            ? ""
            : $"{from.Container} (role {from.Role}, {from.Address} on {from.Node}) to {to.Container} (role {to.Role}, {to.Address} on {to.Node}): {result}";
    }

    // Random ones, of every node to every other and to itself.
    private static List<(LivingPod From, LivingPod To)> Pairs(IReadOnlyList<LivingPod> pods, Random random)
    {
        var byNode = pods.GroupBy(p => p.Node).Select(g => g.ToList()).ToList();
        var pairs = new List<(LivingPod, LivingPod)>();
        foreach (var (here, there) in byNode.SelectMany(a => byNode.Select(b => (a, b))))
        {
            for (var i = 0; i < PairsOfNodes; i++)
            {
                var (from, to) = (here[random.Next(here.Count)], there[random.Next(there.Count)]);
                if (from != to)
                    pairs.Add((from, to));
            }
        }
        return pairs;
    }

    private static async Task<List<string>> EachAsync<T>(IEnumerable<T> all, Func<T, Task<string>> probe)
    {
        var wrong = new List<string>();
        foreach (var some in all.Chunk(AtOnce))
            wrong.AddRange((await Task.WhenAll(some.Select(probe))).Where(w => w.Length > 0));
        return wrong;
    }
}
