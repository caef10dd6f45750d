using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// What the RIB keeps for a prefix: its key, its routes, and how many readers still have to look at it. Twenty octets for IPv4.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct PrefixEntry<T>
    where T : unmanaged, IPrefix<T>
{
    public T Key;

    /// <summary>The first of its routes, the best one if there is a best; -1 for none.</summary>
    public int FirstPath;

    public int NextInBucket;

    /// <summary>Pending entries in change sets; while there are any, the number cannot be given to another prefix.</summary>
    public ushort Pins;
}

/// <summary>Gives prefixes small numbers: a hash table of structs that stay where they are.</summary>
internal sealed class PrefixTable<T>
    where T : unmanaged, IPrefix<T>
{
    private readonly PagedArray<PrefixEntry<T>> _entries = new();
    private int[] _buckets = NewBuckets(64);
    private int _free = -1;

    public int Count { get; private set; }

    /// <summary>All numbers are below this.</summary>
    public int Top { get; private set; }

    public ref PrefixEntry<T> this[int id] => ref _entries[id];

    public int Find(T prefix)
    {
        for (var i = _buckets[Bucket(prefix)]; i >= 0; i = _entries[i].NextInBucket)
        {
            if (_entries[i].Key.Equals(prefix))
                return i;
        }
        return -1;
    }

    /// <summary>
    /// Has the memory that <see cref="Find"/> or a removal will need fetched, and does not wait for it. A large table is in no
    /// cache, so most of the time of a lookup is that wait; lookups that are known ahead can wait together.
    /// </summary>
    public unsafe void Touch(T prefix)
    {
        if (!Sse.IsSupported)
            return;
        // Without a branch, which the processor would have to guess before it knows the number.
        var first = Math.Max(_buckets[Bucket(prefix)], 0);
        Sse.Prefetch0(Unsafe.AsPointer(ref _entries[first]));
    }

    public int GetOrAdd(T prefix)
    {
        var id = Find(prefix);
        if (id >= 0)
            return id;
        if (_free < 0 && Top == _entries.Length)
            Grow();
        id = _free >= 0 ? _free : Top++;
        ref var entry = ref _entries[id];
        if (_free >= 0)
            _free = entry.NextInBucket;
        ref var bucket = ref _buckets[Bucket(prefix)];
        entry = new() { Key = prefix, FirstPath = -1, NextInBucket = bucket };
        bucket = id;
        Count++;
        return id;
    }

    /// <summary>Frees the number if nothing is left of the prefix.</summary>
    public void RemoveIfUnused(int id)
    {
        ref var entry = ref _entries[id];
        if (entry.FirstPath >= 0 || entry.Pins > 0)
            return;
        ref var link = ref _buckets[Bucket(entry.Key)];
        while (link != id)
            link = ref _entries[link].NextInBucket;
        link = entry.NextInBucket;
        entry.NextInBucket = _free;
        _free = id;
        Count--;
    }

    private int Bucket(T prefix) => (int)(prefix.StableHash & (uint)(_buckets.Length - 1));

    private void Grow()
    {
        _entries.Grow();
        if (_entries.Length <= _buckets.Length)
            return;
        _buckets = NewBuckets(_buckets.Length * 2);
        for (var i = 0; i < Top; i++)
        {
            ref var bucket = ref _buckets[Bucket(_entries[i].Key)];
            _entries[i].NextInBucket = bucket;
            bucket = i;
        }
    }

    private static int[] NewBuckets(int count)
    {
        var buckets = new int[count];
        Array.Fill(buckets, -1);
        return buckets;
    }
}
