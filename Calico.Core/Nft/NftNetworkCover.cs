namespace Calico.Core.Nft;

/// <summary>
/// The networks that are wanted in an interval set, and of these the ones that no other contains: the cover. The
/// kernel refuses overlapping intervals, and networks either nest or are disjoint, so the cover is what it is given.
/// <code>
/// wanted   10.0.0.0/8 > 10.1.0.0/16 > 10.1.2.0/24      192.168.1.0/24
/// cover    10.0.0.0/8                                  192.168.1.0/24
/// </code>
/// Taking a network out brings those directly inside it back. Members lie sorted in blocks of at most
/// <see cref="BlockSize"/>, a network before those inside it: no object a member, a change moves one block.
/// </summary>
internal sealed class NftNetworkCover
{
    private const int BlockSize = 512;

    private readonly List<List<NftElement>> _blocks = [];
    private readonly int[] _byLength = new int[129];

    public int Count { get; private set; }

    /// <summary>Wants a network; tells what leaves and enters the cover. False if it was wanted already.</summary>
    public bool Add(NftElement network, Action<NftElement> leaves, Action<NftElement> enters)
    {
        if (!Insert(network))
            return false;
        if (IsCovered(network))
            return true;
        foreach (var inside in DirectlyInside(network))
            leaves(inside);
        enters(network);
        return true;
    }

    /// <summary>
    /// Wants a network no longer; tells what leaves and enters the cover. False if it was not wanted.
    /// </summary>
    public bool Remove(NftElement network, Action<NftElement> leaves, Action<NftElement> enters)
    {
        if (!Delete(network))
            return false;
        if (IsCovered(network))
            return true;
        leaves(network);
        foreach (var inside in DirectlyInside(network))
            enters(inside);
        return true;
    }

    private bool IsCovered(NftElement network)
    {
        var cidr = network.Network;
        for (var length = 0; length < cidr.PrefixLength; length++)
        {
            if (_byLength[length] > 0 && Find(NftElement.Of(new Net.Cidr(cidr.Address, length)), out _, out _))
                return true;
        }
        return false;
    }

    private IEnumerable<NftElement> DirectlyInside(NftElement network)
    {
        var outer = network.Network;
        Find(network, out var block, out var at);
        Net.Cidr? last = null;
        for (; block < _blocks.Count; block++, at = 0)
        {
            for (; at < _blocks[block].Count; at++)
            {
                var candidate = _blocks[block][at];
                if (candidate == network)
                    continue;
                var inner = candidate.Network;
                if (!outer.Contains(inner))
                    yield break;
                if (last is { } l && l.Contains(inner))
                    continue;
                last = inner;
                yield return candidate;
            }
        }
    }

    private bool Insert(NftElement element)
    {
        if (Find(element, out var block, out var at))
            return false;
        if (_blocks.Count == 0)
            _blocks.Add([]);
        if (block == _blocks.Count)
            (block, at) = (block - 1, _blocks[^1].Count);
        _blocks[block].Insert(at, element);
        if (_blocks[block].Count > BlockSize)
        {
            var half = _blocks[block].GetRange(BlockSize / 2, _blocks[block].Count - (BlockSize / 2));
            _blocks[block].RemoveRange(BlockSize / 2, half.Count);
            _blocks.Insert(block + 1, half);
        }
        _byLength[element.Network.PrefixLength]++;
        Count++;
        return true;
    }

    private bool Delete(NftElement element)
    {
        if (!Find(element, out var block, out var at))
            return false;
        _blocks[block].RemoveAt(at);
        if (_blocks[block].Count == 0)
            _blocks.RemoveAt(block);
        _byLength[element.Network.PrefixLength]--;
        Count--;
        return true;
    }

    /// <summary>The place of an element, or where the next greater one is.</summary>
    private bool Find(NftElement element, out int block, out int at)
    {
        var (low, high) = (0, _blocks.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (_blocks[middle][^1] < element)
                low = middle + 1;
            else
                high = middle;
        }
        block = low;
        at = 0;
        if (block == _blocks.Count)
            return false;
        at = _blocks[block].BinarySearch(element);
        if (at >= 0)
            return true;
        at = ~at;
        return false;
    }
}
