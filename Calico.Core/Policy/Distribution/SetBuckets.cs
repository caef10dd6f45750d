using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Feed;
using Calico.Core.Net;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Distribution;

/// <summary>
/// The members of one set as log entries. They are spread over buckets by hash, so that one member more or less sends
/// one small bucket again, not the set:
/// <code>
///   set/ID            how many buckets there are
///   set/ID/N/i        the members of bucket i of N, sorted; an empty one is there too
/// </code>
/// A reader has the set when it has all N buckets. The number of buckets follows the size in steps of four.
/// </summary>
public sealed class SetBuckets(string setId)
{
    private const int TargetSize = 64;

    private HashSet<SetMember>[] _buckets = [];

    public int BucketCount => _buckets.Length;
    public int MemberCount { get; private set; }

    public static string HeaderKey(string setId) => "set/" + setId;
    public static string BucketKey(string setId, int count, int index) =>
        string.Create(CultureInfo.InvariantCulture, $"set/{setId}/{count}/{index}");

    /// <summary>Starts with these members and returns every entry.</summary>
    public ImmutableArray<FeedItem> Reset(IReadOnlyCollection<SetMember> members, long revision)
    {
        var items = ImmutableArray.CreateBuilder<FeedItem>();
        Resize(CountFor(members.Count), members, revision, items);
        return items.ToImmutable();
    }

    /// <summary>Applies a change and returns the entries that it touches.</summary>
    public ImmutableArray<FeedItem> Apply(SetDelta delta, long revision)
    {
        var items = ImmutableArray.CreateBuilder<FeedItem>();
        var touched = new SortedSet<int>();
        foreach (var member in delta.Added)
            Change(member, add: true, touched);
        foreach (var member in delta.Removed)
            Change(member, add: false, touched);
        var wanted = CountFor(MemberCount);
        if (wanted > BucketCount || wanted * 16 <= BucketCount)
            Resize(wanted, [.. _buckets.SelectMany(b => b)], revision, items);
        else
            items.AddRange(touched.Select(i => Entry(i, revision)));
        return items.ToImmutable();
    }

    /// <summary>The entries that make the set disappear.</summary>
    public ImmutableArray<FeedItem> Clear(long revision) =>
        [.. Enumerable.Range(0, BucketCount).Select(i => new FeedItem(BucketKey(setId, BucketCount, i), null, revision)),
            new FeedItem(HeaderKey(setId), null, revision)];

    private void Change(SetMember member, bool add, SortedSet<int> touched)
    {
        var index = IndexOf(member, BucketCount);
        if (add ? !_buckets[index].Add(member) : !_buckets[index].Remove(member))
            return;
        MemberCount += add ? 1 : -1;
        touched.Add(index);
    }

    private void Resize(int count, IReadOnlyCollection<SetMember> members, long revision, ImmutableArray<FeedItem>.Builder items)
    {
        var old = BucketCount;
        _buckets = [.. Enumerable.Range(0, count).Select(_ => new HashSet<SetMember>())];
        foreach (var member in members)
            _buckets[IndexOf(member, count)].Add(member);
        MemberCount = members.Count;
        for (var i = 0; i < count; i++)
            items.Add(Entry(i, revision));
        // The header last: whoever reads it can have everything it speaks of.
        items.Add(new FeedItem(HeaderKey(setId), System.Text.Encoding.ASCII.GetBytes(count.ToString(CultureInfo.InvariantCulture)), revision));
        for (var i = 0; i < old && old != count; i++)
            items.Add(new FeedItem(BucketKey(setId, old, i), null, revision));
    }

    private FeedItem Entry(int index, long revision) =>
        new(BucketKey(setId, BucketCount, index), MemberCodec.Encode(_buckets[index]), revision);

    private static int CountFor(int members)
    {
        var count = 1;
        while (members > count * TargetSize)
            count *= 4;
        return count;
    }

    // Stable over processes and releases: readers never compute it, but golden tests do.
    private static int IndexOf(SetMember member, int count)
    {
        Span<byte> bytes = stackalloc byte[20];
        member.Net.Address.WriteTo(bytes);
        bytes[16] = member.Net.PrefixLength;
        bytes[17] = member.Protocol;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[18..], member.Port);
        var hash = 2166136261u;
        foreach (var b in bytes)
            hash = unchecked((hash ^ b) * 16777619u);
        return (int)((hash ^ (hash >> 16)) % (uint)count);
    }
}

/// <summary>
/// Set members as bytes: per member a kind (family, port or not), the address, and prefix length or protocol and port.
/// </summary>
public static class MemberCodec
{
    private const byte V6 = 1;
    private const byte WithPort = 2;

    public static byte[] Encode(IEnumerable<SetMember> members)
    {
        using var stream = new MemoryStream();
        Span<byte> bytes = stackalloc byte[20];
        foreach (var member in members.Order())
        {
            var address = member.Net.Address;
            bytes[0] = (byte)((address.IsV6 ? V6 : 0) | (member.HasPort ? WithPort : 0));
            var n = 1 + address.WriteTo(bytes[1..]);
            if (member.HasPort)
            {
                bytes[n++] = member.Protocol;
                BinaryPrimitives.WriteUInt16BigEndian(bytes[n..], member.Port);
                n += 2;
            }
            else
            {
                bytes[n++] = member.Net.PrefixLength;
            }
            stream.Write(bytes[..n]);
        }
        return stream.ToArray();
    }

    /// <exception cref="FormatException">The bytes are not members.</exception>
    public static ImmutableArray<SetMember> Decode(ReadOnlySpan<byte> bytes)
    {
        var reader = new WireReader(bytes);
        var members = ImmutableArray.CreateBuilder<SetMember>();
        while (reader.TryReadByte(out var kind))
        {
            if (!reader.TryReadBytes((kind & V6) != 0 ? 16 : 4, out var raw))
                throw new FormatException("set members: cut short");
            var address = IpAddr.FromBytes(raw);
            if ((kind & WithPort) != 0)
            {
                if (!reader.TryReadByte(out var protocol) || !reader.TryReadUInt16(out var port))
                    throw new FormatException("set members: cut short");
                members.Add(SetMember.Of(address, protocol, port));
            }
            else
            {
                if (!reader.TryReadByte(out var length) || length > address.BitLength)
                    throw new FormatException("set members: not a network");
                members.Add(SetMember.Of(new Cidr(address, length)));
            }
        }
        return members.ToImmutable();
    }
}
