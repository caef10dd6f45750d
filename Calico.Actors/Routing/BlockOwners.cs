using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// Who held which block once and holds it no more, as far as the feed has told. Only a release that was seen counts
/// against a route: not having heard of a grant yet proves nothing.
/// </summary>
internal sealed class BlockOwners
{
    private readonly Dictionary<Cidr, HashSet<string>> _former = [];

    /// <summary>Returns whether that changes the answer of <see cref="IsFormer"/>.</summary>
    public bool Learn(string host, Cidr block, bool exists)
    {
        if (!_former.TryGetValue(block, out var hosts))
            return !exists && (_former[block] = []).Add(host);
        if (!exists)
            return hosts.Add(host);
        if (!hosts.Remove(host))
            return false;
        if (hosts.Count == 0)
            _former.Remove(block);
        return true;
    }

    /// <summary>Whether anybody is known to have held it before.</summary>
    public bool HasFormer(Cidr prefix) => _former.ContainsKey(prefix);

    public bool IsFormer(string? host, Cidr prefix) =>
        host is not null && _former.TryGetValue(prefix, out var hosts) && hosts.Contains(host);
}
