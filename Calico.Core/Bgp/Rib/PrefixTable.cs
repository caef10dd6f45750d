using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Rib;

/// <summary>What the RIB keeps for a prefix: its key, its routes, and how many readers still have to look at it.</summary>
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

/// <summary>Gives prefixes small numbers: a hash table of structs in one array.</summary>
internal sealed class PrefixTable<T>
    where T : unmanaged, IPrefix<T>
{
    private PrefixEntry<T>[] _entries = new PrefixEntry<T>[64];
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
        Array.Resize(ref _entries, _entries.Length * 2);
        _buckets = NewBuckets(_entries.Length);
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
