using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Node.Lab;

/// <summary>
/// Whether the datastore says of the lab's pods and nodes what is true: each pod has its endpoint and its address
/// recorded, each node its resource, nobody shares an address, and no address is kept for a pod that is not there.
/// </summary>
internal static class Consistency
{
    private const string EndpointPrefix = "/calico/resources/v3/projectcalico.org/workloadendpoints/";
    private const string NodePrefix = "/calico/resources/v3/projectcalico.org/nodes/";

    public const string BlockPrefix = "/calico/ipam/v2/assignment/";

    public static async Task<IReadOnlyList<string>> FindAsync(Lab lab)
    {
        var state = lab.State;
        return Find([.. state.AllNodes.Select(n => n.Name)], state.Pods,
            await LabStore.ListAsync(lab, NodePrefix), await LabStore.ListAsync(lab, EndpointPrefix), await LabStore.ListAsync(lab, BlockPrefix));
    }

    /// <summary>What is not as it should be, one sentence each.</summary>
    /// <param name="nodes">The nodes that run.</param>
    /// <param name="recorded">The pods that are there, and those that are being made.</param>
    internal static IReadOnlyList<string> Find(IReadOnlyList<string> nodes, IReadOnlyList<LabPod> recorded,
        IEnumerable<(string Key, string Value)> nodeEntries, IEnumerable<(string Key, string Value)> endpointEntries,
        IEnumerable<(string Key, string Value)> blockEntries)
    {
        var problems = new List<string>();
        var pods = recorded.Where(p => p.IsWired).ToList();
        var registered = nodeEntries.Select(e => e.Key[NodePrefix.Length..]).ToHashSet(StringComparer.Ordinal);
        problems.AddRange(nodes.Where(n => !registered.Contains(n)).Select(n => $"{n}: the datastore has no Node resource"));

        var endpoints = endpointEntries.Select(e => e.Value).ToList();
        var assigned = blockEntries.SelectMany(e => IpamJson.ParseBlock(System.Text.Encoding.UTF8.GetBytes(e.Value)).Assigned())
            .ToLookup(a => a.Address, a => a.Owner.HandleId);
        foreach (var pod in pods)
        {
            if (!endpoints.Exists(e => e.Contains($"\"{pod.ContainerId}\"", StringComparison.Ordinal) && e.Contains($"\"{pod.Address}/32\"", StringComparison.Ordinal)))
                problems.Add($"{pod.Id}: no WorkloadEndpoint has its address {pod.Address}");
            if (!assigned[IpAddr.Parse(pod.Address)].Any(h => h is not null && h.Contains(pod.ContainerId, StringComparison.Ordinal)))
                problems.Add($"{pod.Id}: its address {pod.Address} is not assigned to it");
        }
        problems.AddRange(pods.GroupBy(p => p.Address).Where(g => g.Count() > 1)
            .Select(g => $"{g.Key} belongs to {string.Join(" and ", g.Select(p => p.Id))}"));
        problems.AddRange(assigned.SelectMany(a => a, (a, handle) => (Address: a.Key, Handle: handle))
            .Where(a => a.Handle is not null && !recorded.Any(p => a.Handle.Contains(p.ContainerId, StringComparison.Ordinal)))
            .Select(a => $"{a.Address} is assigned to {a.Handle}, which is no pod that is there"));
        return problems;
    }
}
