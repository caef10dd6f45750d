using System.Diagnostics.CodeAnalysis;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// Networks with a value each, found by an address or a network inside them: one look for each prefix length in use,
/// however many networks there are. Not thread-safe.
/// </summary>
public sealed class CidrLookup<T>
{
    // The longest prefix first.
    private readonly SortedDictionary<(IpVersion Version, int Shortness), Dictionary<Cidr, T>> _byLength = [];

    public bool Any => _byLength.Count > 0;

    public void Set(Cidr cidr, T value)
    {
        if (!_byLength.TryGetValue(LengthOf(cidr), out var networks))
            _byLength[LengthOf(cidr)] = networks = [];
        networks[cidr.Network] = value;
    }

    public void Remove(Cidr cidr)
    {
        if (_byLength.TryGetValue(LengthOf(cidr), out var networks) && networks.Remove(cidr.Network) && networks.Count == 0)
            _byLength.Remove(LengthOf(cidr));
    }

    /// <summary>The smallest network that the address is in.</summary>
    public bool TryFind(IpAddr address, [MaybeNullWhen(false)] out T value) => TryFind(Cidr.Host(address), out value);

    /// <summary>The smallest network that has all of the other.</summary>
    public bool TryFind(Cidr inner, [MaybeNullWhen(false)] out T value)
    {
        foreach (var ((version, shortness), networks) in _byLength)
        {
            var length = inner.Address.BitLength - shortness;
            if (version == inner.Version && length <= inner.PrefixLength
                && networks.TryGetValue(new Cidr(inner.Address, length).Network, out value))
                return true;
        }
        value = default;
        return false;
    }

    public bool Contains(IpAddr address) => TryFind(address, out _);

    private static (IpVersion Version, int Shortness) LengthOf(Cidr cidr) => (cidr.Version, cidr.Address.BitLength - cidr.PrefixLength);
}
