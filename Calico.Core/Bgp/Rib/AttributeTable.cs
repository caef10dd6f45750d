using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// Attribute sets with their next hop, each stored once and named by a small number. Routes hold the number; the
/// octets lie in an arena, the facts for the decision process beside the number. A set lives as long as a route
/// refers to it; one that was interned and never used goes with <see cref="Collect"/>.
/// </summary>
public sealed class AttributeTable
{
    /// <summary>No attribute set: what a policy answers to refuse a route.</summary>
    public const int None = -1;

    private struct Set
    {
        public int Octets;
        public int Length;
        public uint Hash;
        public int NextInBucket;
        public int References;
        public int FirstPath;
        public int NextOfHop;
        public int PreviousOfHop;
        public NextHopEntry NextHop;
        public AttributeFacts Facts;
    }

    private readonly ByteArena _arena = new();
    private readonly Dictionary<IpAddr, NextHopEntry> _nextHops = [];
    private readonly List<int> _unused = [];
    private readonly PagedArray<Set> _sets = new();
    private int[] _buckets = NewBuckets(64);
    private int _top;
    private int _free = -1;

    internal AttributeTable(INextHopResolver resolver) => Resolver = resolver;

    internal INextHopResolver Resolver { get; private set; }

    /// <summary>Sets in use.</summary>
    public int Count { get; private set; }

    /// <summary>All numbers are below this.</summary>
    internal int Capacity => _top;

    internal IEnumerable<NextHopEntry> NextHops => _nextHops.Values;

    /// <summary>The canonical octets of a set.</summary>
    public ReadOnlySpan<byte> Octets(int set) => _arena.Read(_sets[set].Octets, _sets[set].Length);

    /// <summary>The set as an object.</summary>
    public PathAttributes Attributes(int set) => PathAttributes.Decode(Octets(set));

    public ref readonly AttributeFacts Facts(int set) => ref _sets[set].Facts;

    /// <summary>Unspecified for our own routes.</summary>
    public IpAddr NextHop(int set) => _sets[set].NextHop.Address;

    /// <summary>The interface that leads to the next hop; null if it is unknown, as that of our own routes.</summary>
    public string? Interface(int set) => _sets[set].NextHop.Resolution.Interface;

    /// <summary>The number of these attributes with this next hop. What a policy makes must be used or is collected.</summary>
    public int Intern(PathAttributes attributes, IpAddr nextHop) => Intern(attributes.Encode(), nextHop);

    /// <summary>The same for canonical octets.</summary>
    public int Intern(ReadOnlySpan<byte> canonical, IpAddr nextHop)
    {
        var hash = HashOf(canonical, nextHop);
        for (var i = _buckets[hash & (uint)(_buckets.Length - 1)]; i >= 0; i = _sets[i].NextInBucket)
        {
            ref var set = ref _sets[i];
            if (set.Hash == hash && set.Length == canonical.Length && set.NextHop.Address == nextHop
                && Octets(i).SequenceEqual(canonical))
                return i;
        }
        return Add(canonical, nextHop, hash);
    }

    internal NextHopEntry Hop(int set) => _sets[set].NextHop;

    /// <summary>The first route that has the set; the list goes on in the routes.</summary>
    internal ref int FirstPath(int set) => ref _sets[set].FirstPath;

    /// <summary>The next set with the same next hop, or -1; the first is the next hop's.</summary>
    internal int NextOfHop(int set) => _sets[set].NextOfHop;

    internal void AddReference(int set) => _sets[set].References++;

    internal void Release(int set)
    {
        if (--_sets[set].References == 0)
            Remove(set);
    }

    /// <summary>Drops the sets that were interned since the last call and that nothing refers to.</summary>
    internal void Collect()
    {
        foreach (var set in _unused)
        {
            // A number may have been freed and given out again meanwhile; both times it is here.
            if (_sets[set].NextHop is not null && _sets[set].References == 0)
                Remove(set);
        }
        _unused.Clear();
    }

    /// <summary>
    /// Resolves next hops anew, all or those inside the changed prefixes; returns the ones whose answer changed.
    /// </summary>
    internal List<NextHopEntry> Resolve(INextHopResolver resolver, IReadOnlyCollection<Cidr>? changed)
    {
        Resolver = resolver;
        var different = new List<NextHopEntry>();
        foreach (var hop in _nextHops.Values)
        {
            if (hop.IsSelf || (changed is not null && !changed.Any(c => c.Contains(hop.Address))))
                continue;
            var resolution = resolver.Resolve(hop.Address);
            if (resolution == hop.Resolution)
                continue;
            hop.Resolution = resolution;
            different.Add(hop);
        }
        return different;
    }

    private int Add(ReadOnlySpan<byte> canonical, IpAddr nextHop, uint hash)
    {
        if (_free < 0 && _top == _sets.Length)
            Grow();
        var id = _free >= 0 ? _free : _top++;
        ref var set = ref _sets[id];
        if (_free >= 0)
            _free = set.NextInBucket;
        set.Octets = _arena.Store(canonical);
        set.Length = canonical.Length;
        set.Hash = hash;
        set.References = 0;
        set.FirstPath = -1;
        set.Facts = AttributeFacts.Of(canonical);
        set.NextHop = HopOf(nextHop);
        LinkToHop(id);
        ref var bucket = ref _buckets[hash & (uint)(_buckets.Length - 1)];
        set.NextInBucket = bucket;
        bucket = id;
        Count++;
        _unused.Add(id);
        return id;
    }

    private NextHopEntry HopOf(IpAddr nextHop)
    {
        if (_nextHops.TryGetValue(nextHop, out var hop))
            return hop;
        hop = new(nextHop);
        hop.Resolution = hop.IsSelf ? NextHopResolution.Direct : Resolver.Resolve(nextHop);
        _nextHops.Add(nextHop, hop);
        return hop;
    }

    private void Remove(int id)
    {
        ref var set = ref _sets[id];
        ref var link = ref _buckets[set.Hash & (uint)(_buckets.Length - 1)];
        while (link != id)
            link = ref _sets[link].NextInBucket;
        link = set.NextInBucket;
        _arena.Free(set.Octets, set.Length);
        UnlinkFromHop(id);
        if (set.NextHop.FirstSet < 0)
            _nextHops.Remove(set.NextHop.Address);
        set.NextHop = null!;
        set.NextInBucket = _free;
        _free = id;
        Count--;
    }

    private void LinkToHop(int id)
    {
        ref var set = ref _sets[id];
        set.NextOfHop = set.NextHop.FirstSet;
        set.PreviousOfHop = -1;
        if (set.NextOfHop >= 0)
            _sets[set.NextOfHop].PreviousOfHop = id;
        set.NextHop.FirstSet = id;
    }

    private void UnlinkFromHop(int id)
    {
        ref var set = ref _sets[id];
        if (set.PreviousOfHop >= 0)
            _sets[set.PreviousOfHop].NextOfHop = set.NextOfHop;
        else
            set.NextHop.FirstSet = set.NextOfHop;
        if (set.NextOfHop >= 0)
            _sets[set.NextOfHop].PreviousOfHop = set.PreviousOfHop;
    }

    private void Grow()
    {
        _sets.Grow();
        if (_sets.Length <= _buckets.Length)
            return;
        _buckets = NewBuckets(_buckets.Length * 2);
        for (var i = 0; i < _top; i++)
        {
            ref var bucket = ref _buckets[_sets[i].Hash & (uint)(_buckets.Length - 1)];
            _sets[i].NextInBucket = bucket;
            bucket = i;
        }
    }

    private static uint HashOf(ReadOnlySpan<byte> canonical, IpAddr nextHop)
    {
        // FNV over words: the same on every run, unlike the library's, and good enough for a power of two of buckets.
        var hash = 14695981039346656037UL ^ nextHop.Low ^ nextHop.High;
        var words = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(canonical);
        foreach (var word in words)
            hash = (hash ^ word) * 0x9E3779B97F4A7C15UL ^ (hash >> 31);
        foreach (var b in canonical[(words.Length * 8)..])
            hash = (hash ^ b) * 1099511628211UL;
        hash *= 0x9E3779B97F4A7C15UL;
        return (uint)(hash >> 32);
    }

    private static int[] NewBuckets(int count)
    {
        var buckets = new int[count];
        Array.Fill(buckets, -1);
        return buckets;
    }
}
