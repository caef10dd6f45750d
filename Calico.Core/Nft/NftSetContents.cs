using System.Diagnostics.CodeAnalysis;
using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>
/// A set or map with its members, looked up as the kernel does: an interval set by the networks around an address.
/// </summary>
public sealed class NftSetContents(NftSet set)
{
    private readonly HashSet<NftElement> _elements = [];
    private readonly Dictionary<NftElement, NftVerdict> _verdicts = [];
    private readonly int[] _byLength = new int[129];

    public NftSet Set { get; } = set;
    public int Count => Set.IsVerdictMap ? _verdicts.Count : _elements.Count;
    public IReadOnlyCollection<NftElement> Elements => Set.IsVerdictMap ? _verdicts.Keys : _elements;
    public IReadOnlyDictionary<NftElement, NftVerdict> Verdicts => _verdicts;

    /// <summary>Adds a member; false if it is there.</summary>
    public bool Add(NftElement element)
    {
        if (!_elements.Add(element))
            return false;
        if (Set.Interval)
            _byLength[element.Network.PrefixLength]++;
        return true;
    }

    /// <summary>Adds an entry of a map; false if the key is there.</summary>
    public bool Add(NftMapEntry entry) => _verdicts.TryAdd(entry.Key, entry.Verdict);

    public bool Remove(NftElement element)
    {
        if (Set.IsVerdictMap)
            return _verdicts.Remove(element);
        if (!_elements.Remove(element))
            return false;
        if (Set.Interval)
            _byLength[element.Network.PrefixLength]--;
        return true;
    }

    /// <summary>The very member is there.</summary>
    public bool Has(NftElement element) =>
        Set.IsVerdictMap ? _verdicts.ContainsKey(element) : _elements.Contains(element);

    /// <summary>The key is a member or, in an interval set, inside one.</summary>
    public bool Matches(NftElement key) => Set.Interval ? CoveredBy(key.Network) is not null : Has(key);

    public bool TryGetVerdict(NftElement key, [MaybeNullWhen(false)] out NftVerdict verdict) =>
        _verdicts.TryGetValue(key, out verdict);

    /// <summary>Of an interval set: some member lies inside the network. Costs a look at every member.</summary>
    public bool HasInside(Cidr network)
    {
        var longer = false;
        for (var length = network.PrefixLength + 1; length < _byLength.Length && !longer; length++)
            longer = _byLength[length] > 0;
        return longer && _elements.Any(e => network.Contains(e.Network));
    }

    /// <summary>Of an interval set: a member that contains the whole network.</summary>
    public NftElement? CoveredBy(Cidr network)
    {
        for (var length = 0; length <= network.PrefixLength; length++)
        {
            if (_byLength[length] == 0)
                continue;
            var candidate = NftElement.Of(new Cidr(network.Address, length));
            if (_elements.Contains(candidate))
                return candidate;
        }
        return null;
    }
}
