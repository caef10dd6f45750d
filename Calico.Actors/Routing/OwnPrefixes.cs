using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// What this node announces: the blocks that it holds, and for a workload whose address is in none of them (borrowed, or
/// never allocated) the address alone, if it is one of an IP pool; and addresses of services. Not thread-safe.
/// </summary>
internal sealed class OwnPrefixes
{
    private readonly HashSet<IpAddr> _addresses = [];
    private readonly Dictionary<string, Cidr> _pools = [];
    private ImmutableSortedSet<Cidr> _services = [];
    private bool _knowsAddresses;

    /// <summary>The blocks held; null until the lease has said.</summary>
    public ImmutableSortedSet<Cidr>? Blocks { get; set; }

    /// <summary>Pools and ranges of services are known.</summary>
    public bool KnowsResources { get; set; }

    /// <summary>Everything is known: what is not announced now is not this node's.</summary>
    public bool IsComplete => Blocks is not null && _knowsAddresses;

    /// <summary>Everything to announce. Before the blocks are known that is nothing: an address may be in one of them.</summary>
    public IEnumerable<Cidr> All => Blocks is { } blocks ? blocks.Concat(_addresses.Where(IsAlone).Select(Cidr.Host)).Concat(_services) : [];

    /// <param name="added">Addresses of workloads that have come.</param>
    /// <param name="removed">Addresses of workloads that have gone.</param>
    /// <param name="isAll">There are no others than these.</param>
    public void Learn(IEnumerable<IpAddr> added, IEnumerable<IpAddr> removed, bool isAll)
    {
        if (isAll)
            _addresses.Clear();
        _knowsAddresses |= isAll;
        _addresses.UnionWith(added);
        _addresses.ExceptWith(removed);
    }

    /// <summary>Whether the address is one to be announced by itself.</summary>
    public bool IsAlone(IpAddr address) => Blocks is { } blocks && !blocks.Any(b => b.Contains(address)) && _pools.Values.Any(p => p.Contains(address));

    /// <summary>Ranges and addresses of services. Returns whether that changes anything.</summary>
    public bool SetServices(IEnumerable<Cidr> services)
    {
        var now = services.ToImmutableSortedSet();
        var isNew = !now.SetEquals(_services);
        _services = now;
        return isNew;
    }

    /// <summary>Returns whether that changes anything.</summary>
    public bool SetPool(string name, Cidr? cidr)
    {
        if (cidr is not { } range)
            return _pools.Remove(name);
        var isNew = !_pools.TryGetValue(name, out var was) || was != range;
        _pools[name] = range;
        return isNew;
    }
}
