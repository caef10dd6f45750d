using System.Numerics;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// A set of small integers as a bitmap with a summary bit per word: marking and taking cost the same whether the set
/// holds one number or a million, and marking twice is once. A queue that coalesces, in one bit an entry.
/// </summary>
internal sealed class IdSet
{
    private ulong[] _words = [];
    private ulong[] _summary = [];

    public int Count { get; private set; }

    public bool Contains(int id) => id >> 6 < _words.Length && (_words[id >> 6] & (1UL << (id & 63))) != 0;

    /// <summary>True if the number was not there before.</summary>
    public bool Add(int id)
    {
        var word = id >> 6;
        if (word >= _words.Length)
            Grow(word);
        var bit = 1UL << (id & 63);
        if ((_words[word] & bit) != 0)
            return false;
        _words[word] |= bit;
        _summary[word >> 6] |= 1UL << (word & 63);
        Count++;
        return true;
    }

    /// <summary>True if the number was there.</summary>
    public bool Remove(int id)
    {
        var word = id >> 6;
        var bit = 1UL << (id & 63);
        if (word >= _words.Length || (_words[word] & bit) == 0)
            return false;
        _words[word] &= ~bit;
        if (_words[word] == 0)
            _summary[word >> 6] &= ~(1UL << (word & 63));
        Count--;
        return true;
    }

    /// <summary>The smallest member not below <paramref name="from"/>, or -1.</summary>
    public int Next(int from)
    {
        var word = from >> 6;
        if (word >= _words.Length)
            return -1;
        var rest = _words[word] & (ulong.MaxValue << (from & 63));
        if (rest != 0)
            return (word << 6) + BitOperations.TrailingZeroCount(rest);
        word++;
        for (var s = word >> 6; s < _summary.Length; s++)
        {
            var words = s == word >> 6 ? _summary[s] & (ulong.MaxValue << (word & 63)) : _summary[s];
            if (words == 0)
                continue;
            var found = (s << 6) + BitOperations.TrailingZeroCount(words);
            return (found << 6) + BitOperations.TrailingZeroCount(_words[found]);
        }
        return -1;
    }

    private void Grow(int word)
    {
        var length = Math.Max(64, (int)BitOperations.RoundUpToPowerOf2((uint)word + 1));
        Array.Resize(ref _words, length);
        Array.Resize(ref _summary, (length + 63) >> 6);
    }
}
