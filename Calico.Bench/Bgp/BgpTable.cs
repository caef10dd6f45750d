using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Bench.Bgp;

/// <summary>
/// A table of the Internet's shape, the same on every run: three fifths are /24, an AS path has three to seven hops, and eight
/// neighbouring prefixes share their attributes, so that a message carries eight.
/// </summary>
internal sealed class BgpTable
{
    private const int PerSet = 8;
    private const int ChunkBytes = 1 << 20;
    private const uint FirstAddress = 1u << 24;
    private const uint EndAddress = 223u << 24;

    // Where a share of a thousand ends, and the length that it has.
    private static readonly (int Upto, byte Length)[] Shares =
        [(600, 24), (700, 23), (800, 22), (840, 21), (890, 20), (930, 19), (950, 18), (960, 17), (980, 16), (1000, 24)];

    private readonly Prefix4[] _prefixes;

    public BgpTable(int count)
    {
        _prefixes = new Prefix4[count];
        var random = new Random(1);
        var room = (EndAddress - FirstAddress) / (double)count;
        ulong at = FirstAddress;
        for (var i = 0; i < count; i++)
        {
            var length = LengthOf(random.Next(1000));
            while (length < 32 && (1UL << (32 - length)) > room * 0.9)
                length++;
            var size = 1UL << (32 - length);
            at = Math.Max(at, FirstAddress + (ulong)(i * room));
            at = Beside((at + size - 1) & ~(size - 1));
            _prefixes[i] = Prefix4.From(new Cidr(IpAddr.FromV4((uint)at), length));
            at += size;
        }
    }

    public int Count => _prefixes.Length;

    /// <summary>A route beside all tables, each neighbour's own.</summary>
    public static byte[] Mark(int neighbour)
    {
        var octets = new byte[512];
        var attributes = new WireWriter(octets);
        new AttributeEdits { FourOctetAs = true, NextHop = BgpBed.Neighbour(neighbour) }.Write(ref attributes, SetOf(0, BgpBed.AsOf(neighbour), 0, 0));
        var w = new UpdateWriter<Prefix4>(new byte[BgpFraming.MaxLength], BgpFraming.MaxLength);
        w.BeginAnnounce(octets.AsSpan(0, attributes.Position), default);
        w.TryAdd(Prefix4.From(new Cidr(IpAddr.FromV4((223u << 24) + ((uint)neighbour << 8)), 32)));
        w.End();
        return w.Written.ToArray();
    }

    /// <summary>
    /// UPDATEs of a neighbour for <paramref name="count"/> prefixes from a place in the table; another salt gives other paths, and they can
    /// be some hops longer.
    /// </summary>
    public List<byte[]> Announce(int count, int neighbour, uint salt, int longer = 0, int from = 0)
    {
        var (nextHop, asn, upto) = (BgpBed.Neighbour(neighbour), BgpBed.AsOf(neighbour), from + count);
        var chunks = new List<byte[]>();
        var buffer = new byte[ChunkBytes];
        var octets = new byte[512];
        for (var first = from; first < upto;)
        {
            var w = new UpdateWriter<Prefix4>(buffer, BgpFraming.MaxLength);
            var isFull = false;
            while (first < upto && !isFull)
            {
                var attributes = new WireWriter(octets);
                new AttributeEdits { FourOctetAs = true, NextHop = nextHop }.Write(ref attributes, SetOf((uint)(first / PerSet), asn, salt, longer));
                w.BeginAnnounce(octets.AsSpan(0, attributes.Position), default);
                for (var end = Math.Min(upto, (first / PerSet * PerSet) + PerSet); first < end && !isFull;)
                {
                    isFull = !w.TryAdd(_prefixes[first]);
                    first += isFull ? 0 : 1;
                }
                w.End();
            }
            chunks.Add(w.Written.ToArray());
        }
        return chunks;
    }

    private static byte[] SetOf(uint group, uint neighbour, uint salt, int longer)
    {
        var hash = (group * 2654435761u) + salt;
        var path = new uint[3 + (hash % 5) + longer];
        path[0] = neighbour;
        for (var i = 1; i < path.Length; i++)
        {
            var asn = 1000 + ((hash >> (i & 31)) % 400_000);
            path[i] = asn == BgpContender.As ? asn + 1 : asn;
        }
        return new PathAttributes
        {
            AsPath = AsPath.Sequence(path),
            Communities = hash % 3 == 0 ? [Community.Of((ushort)neighbour, (ushort)hash), Community.Of((ushort)neighbour, (ushort)(hash + 1))] : [],
        }.Encode();
    }

    // Networks that are the machine's own, and the one of the benchmark.
    private static ulong Beside(ulong address) => (address >> 24) switch
    {
        10 => 11UL << 24,
        127 => 128UL << 24,
        _ => address >> 17 == (198 << 7 | 18 >> 1) ? (198UL << 24) | (20UL << 16) : address,
    };

    private static byte LengthOf(int share) => Shares.First(s => share < s.Upto).Length;
}
