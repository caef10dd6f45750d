using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Actors.Endpoints;

/// <summary>
/// The addresses of this node's workloads, each as long as at least one that is not fenced has it. Not thread-safe.
/// </summary>
internal sealed class LocalAddresses
{
    private readonly Dictionary<IpAddr, int> _users = [];

    public ImmutableArray<IpAddr> All => [.. _users.Keys];

    /// <summary>What a workload becomes another for: it is new if it was null before, gone if it is null after.</summary>
    /// <returns>The addresses that are local now and were not, and those that are local no more.</returns>
    public (ImmutableArray<IpAddr> Added, ImmutableArray<IpAddr> Removed) Change(Workload? before, Workload? after)
    {
        var was = Of(before).ToList();
        var touched = was.Union(Of(after)).ToDictionary(a => a, _users.ContainsKey);
        foreach (var address in Of(after))
            _users[address] = _users.GetValueOrDefault(address) + 1;
        foreach (var address in was)
        {
            if (--_users[address] == 0)
                _users.Remove(address);
        }
        return ([.. touched.Where(t => !t.Value && _users.ContainsKey(t.Key)).Select(t => t.Key)],
            [.. touched.Where(t => t.Value && !_users.ContainsKey(t.Key)).Select(t => t.Key)]);
    }

    private static IEnumerable<IpAddr> Of(Workload? workload) => workload is { IsFenced: false } ? workload.ParsedAddresses.Distinct() : [];
}
