using System.Text.Json;

namespace Calico.Node.Lab.Churn;

/// <summary>
/// Holds the evidence against the pods that live: each has everything that belongs to it, and nothing is there that belongs to
/// nobody. Pure; knows Calico's keys and names and nothing of the product.
/// </summary>
internal static class Examination
{
    private const string EndpointPrefix = "/calico/resources/v3/projectcalico.org/workloadendpoints/";

    /// <summary>Calico's names of what is asked before a packet reaches a pod, and after one left it.</summary>
    private static readonly string[] ChainPrefixes = ["filter-cali-tw-", "filter-cali-fw-"];

    /// <summary>What is wrong, one sentence each; none when all agree.</summary>
    public static IReadOnlyList<string> Examine(Evidence evidence, IReadOnlyList<LivingPod> pods)
    {
        var ipam = RawIpam.Read(evidence.Store);
        var endpoints = Endpoints(evidence.Store);
        return [.. ipam.Problems, .. Shared(pods), .. Addresses(ipam, pods), .. WorkloadEndpoints(endpoints, pods),
            .. evidence.Nodes.SelectMany(n => Kernel(n, [.. pods.Where(p => p.Node == n.Node)], endpoints)),
            .. evidence.Nodes.SelectMany(n => Members(n, pods))];
    }

    private sealed record Endpoint(string Key, string Container, string Node, string Networks, string Link);

    private static List<Endpoint> Endpoints(IReadOnlyDictionary<string, string> store) =>
        [.. store.Where(e => e.Key.StartsWith(EndpointPrefix, StringComparison.Ordinal)).Select(e =>
        {
            var spec = JsonDocument.Parse(e.Value).RootElement.GetProperty("spec");
            string Text(string name) => spec.TryGetProperty(name, out var value) ? value.GetString()! : "";
            return new Endpoint(e.Key[EndpointPrefix.Length..], Text("containerID"), Text("node"),
                spec.TryGetProperty("ipNetworks", out var networks) ? string.Join(' ', networks.EnumerateArray().Select(n => n.GetString())) : "", Text("interfaceName"));
        })];

    private static IEnumerable<string> Shared(IReadOnlyList<LivingPod> pods) => pods.GroupBy(p => p.Address).Where(g => g.Count() > 1)
        .Select(g => $"{g.Key} belongs to {string.Join(" and ", g.Select(p => p.Container))}");

    private static IEnumerable<string> Addresses(RawIpam ipam, IReadOnlyList<LivingPod> pods)
    {
        var byHandle = pods.ToDictionary(p => Runtime.HandleOf(p.Container));
        var allocated = ipam.Allocations.Where(a => !a.IsCooling).ToLookup(a => a.Handle ?? "");
        foreach (var (handle, pod) in byHandle)
        {
            var has = allocated[handle].ToList();
            if (has is not [var only] || only.Address != pod.Address)
                yield return $"{pod.Container} on {pod.Node} lives with {pod.Address}, and IPAM has {(has.Count == 0 ? "nothing" : string.Join(" and ", has.Select(a => a.Address)))} for it";
            else if (only.Node != pod.Node || only.Pod != pod.Name)
                yield return $"{pod.Address} of {pod.Name} on {pod.Node} is recorded as {only.Pod}'s on {only.Node}";
        }
        foreach (var leak in ipam.Allocations.Where(a => !a.IsCooling && !byHandle.ContainsKey(a.Handle ?? "")))
            yield return $"leak: {leak.Address} in {leak.Block} is allocated to {leak.Handle} ({leak.Pod} on {leak.Node}), which does not live";
    }

    private static IEnumerable<string> WorkloadEndpoints(List<Endpoint> endpoints, IReadOnlyList<LivingPod> pods)
    {
        var byContainer = endpoints.ToLookup(e => e.Container);
        foreach (var pod in pods)
        {
            var has = byContainer[pod.Container].ToList();
            if (has.Count != 1)
                yield return $"{pod.Container} on {pod.Node} has {has.Count} WorkloadEndpoints";
            else if (has[0].Node != pod.Node || has[0].Networks != $"{pod.Address}/32")
                yield return $"WorkloadEndpoint {has[0].Key} has {has[0].Networks} on {has[0].Node}, not {pod.Address} on {pod.Node}";
        }
        var living = pods.Select(p => p.Container).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in endpoints.Where(e => !living.Contains(e.Container)))
            yield return $"WorkloadEndpoint {stale.Key} is of {stale.Container}, which does not live";
    }

    // An interface, a route to it, two chains, a line in the agent's record; and none of these without a pod.
    private static IEnumerable<string> Kernel(NodeFacts node, List<LivingPod> pods, List<Endpoint> endpoints)
    {
        var links = endpoints.ToLookup(e => e.Container, e => e.Link);
        var expected = pods.Where(p => links[p.Container].Any()).Select(p => (p.Container, p.Address, Link: links[p.Container].First())).ToList();
        string Of(string what) => $"{node.Node}: {what}";
        foreach (var (container, address, link) in expected)
        {
            if (!node.Links.Contains(link))
                yield return Of($"interface {link} of {container} is missing");
            if (!node.Routes.Contains((address, link)))
                yield return Of($"no route leads to {address} by way of {link} ({container})");
            foreach (var chain in ChainPrefixes.Select(prefix => prefix + link).Where(c => !node.Chains.Contains(c)))
                yield return Of($"chain {chain} of {container} is missing");
            if (!node.Remembered.Contains(container))
                yield return Of($"the agent's record has no {container}");
        }
        var known = expected.Select(e => e.Link).ToHashSet(StringComparer.Ordinal);
        foreach (var link in node.Links.Where(l => !known.Contains(l)))
            yield return Of($"interface {link} is no pod's");
        foreach (var (address, link) in node.Routes.Where(r => !expected.Exists(e => e.Address == r.Address && e.Link == r.Link)))
            yield return Of($"the route to {address} by way of {link} is no pod's");
        foreach (var chain in node.Chains.Where(c => ChainPrefixes.Any(p => c.StartsWith(p, StringComparison.Ordinal) && !known.Contains(c[p.Length..]))))
            yield return Of($"chain {chain} is no pod's");
        foreach (var container in node.Remembered.Where(r => !pods.Exists(p => p.Container == r)))
            yield return Of($"the agent's record has {container}, which does not live");
    }

    /// <summary>The policy of the churn selects the pods of one role by a set, which every node with pods has.</summary>
    private static IEnumerable<string> Members(NodeFacts node, IReadOnlyList<LivingPod> pods)
    {
        var wanted = pods.Where(p => p.Role == ChurnPolicy.Selected).Select(p => p.Address).ToHashSet(StringComparer.Ordinal);
        if (!pods.Any(p => p.Node == node.Node && p.Role == ChurnPolicy.Selected) || node.Sets.Values.Any(s => s.SetEquals(wanted)))
            yield break;
        var nearest = node.Sets.OrderBy(s => s.Value.Count(m => !wanted.Contains(m)) + wanted.Count(w => !s.Value.Contains(w))).First();
        yield return $"{node.Node}: no set has the {wanted.Count} addresses of role {ChurnPolicy.Selected}; {nearest.Key} lacks "
            + $"{string.Join(' ', wanted.Except(nearest.Value).Take(5))} and has in addition {string.Join(' ', nearest.Value.Except(wanted).Take(5))}";
    }
}
