using System.Buffers.Binary;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// How a canonical set becomes the attributes of a message to one kind of peer: the export rules decided it, this
/// only writes it.
/// </summary>
public readonly record struct AttributeEdits
{
    /// <summary>Numbers of the peer's AS_PATH have four octets; otherwise AS4_PATH carries what does not fit (RFC 6793).</summary>
    public bool FourOctetAs { get; init; }

    /// <summary>Put in front of AS_PATH.</summary>
    public Asn? Prepend { get; init; }

    public bool DropMed { get; init; }

    /// <summary>MULTI_EXIT_DISC to send; together with <see cref="DropMed"/> it replaces the set's.</summary>
    public uint? Med { get; init; }

    /// <summary>LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are left out (external peers).</summary>
    public bool DropInternal { get; init; }

    /// <summary>LOCAL_PREF to send when the set has none.</summary>
    public uint? DefaultLocalPref { get; init; }

    /// <summary>ORIGINATOR_ID to send when the set has none (RFC 4456 section 8).</summary>
    public RouterId? DefaultOriginator { get; init; }

    /// <summary>Put in front of CLUSTER_LIST.</summary>
    public RouterId? Cluster { get; init; }

    /// <summary>OTC to send when the set has none (RFC 9234 section 5).</summary>
    public Asn? DefaultOnlyTo { get; init; }

    /// <summary>The NEXT_HOP attribute of IPv4 routes; null for families whose next hop stands in MP_REACH_NLRI.</summary>
    public IpAddr? NextHop { get; init; }

    /// <summary>Octets that <see cref="Write"/> can need at most for a set of this length.</summary>
    public static int Bound(int canonicalLength) => (2 * canonicalLength) + 64;

    public void Write(ref WireWriter w, ReadOnlySpan<byte> canonical)
    {
        var as4Path = false;
        ReadOnlySpan<byte> wideAggregator = default, wholePath = default;
        var nextHopDone = NextHop is null;
        var medDone = Med is null;
        var localPrefDone = DropInternal || DefaultLocalPref is null;
        var originatorDone = DefaultOriginator is null;
        var clusterDone = Cluster is null;
        var as4Done = FourOctetAs;
        var onlyToDone = DefaultOnlyTo is null;
        var r = new AttributeReader(canonical);
        while (r.TryRead(out var flags, out var type, out var value))
        {
            if (type > AttributeType.NextHop)
                WriteNextHop(ref w, ref nextHopDone);
            if (type > AttributeType.MultiExitDisc)
                WriteMed(ref w, ref medDone);
            if (type > AttributeType.LocalPref)
                WriteLocalPref(ref w, ref localPrefDone);
            if (type > AttributeType.OriginatorId)
                WriteId(ref w, AttributeType.OriginatorId, DefaultOriginator, ref originatorDone);
            if (type > AttributeType.ClusterList)
                WriteId(ref w, AttributeType.ClusterList, Cluster, ref clusterDone);
            if (type > AttributeType.As4Path)
                WriteAs4(ref w, ref as4Done, as4Path, wholePath, wideAggregator);
            if (type > AttributeType.OnlyToCustomer)
                WriteOnlyTo(ref w, ref onlyToDone);
            switch (type)
            {
                case AttributeType.AsPath:
                    wholePath = value;
                    as4Path = WritePath(ref w, value);
                    break;
                case AttributeType.MultiExitDisc when DropMed:
                case AttributeType.LocalPref or AttributeType.OriginatorId or AttributeType.ClusterList
                    when DropInternal:
                    break;
                case AttributeType.LocalPref:
                    localPrefDone = true;
                    CanonicalAttributes.Write(ref w, flags, type, value);
                    break;
                case AttributeType.OriginatorId:
                    originatorDone = true;
                    CanonicalAttributes.Write(ref w, flags, type, value);
                    break;
                case AttributeType.ClusterList when Cluster is { } cluster:
                    clusterDone = true;
                    CanonicalAttributes.WriteHead(ref w, flags, type, value.Length + 4);
                    w.WriteUInt32(cluster.Value);
                    w.WriteBytes(value);
                    break;
                case AttributeType.OnlyToCustomer:
                    onlyToDone = true;
                    CanonicalAttributes.Write(ref w, flags, type, value);
                    break;
                case AttributeType.Aggregator when !FourOctetAs:
                    wideAggregator = WriteNarrowAggregator(ref w, flags, value) ? default : value;
                    break;
                default:
                    CanonicalAttributes.Write(ref w, flags, type, value);
                    break;
            }
        }
        WriteNextHop(ref w, ref nextHopDone);
        WriteMed(ref w, ref medDone);
        WriteLocalPref(ref w, ref localPrefDone);
        WriteId(ref w, AttributeType.OriginatorId, DefaultOriginator, ref originatorDone);
        WriteId(ref w, AttributeType.ClusterList, Cluster, ref clusterDone);
        WriteAs4(ref w, ref as4Done, as4Path, wholePath, wideAggregator);
        WriteOnlyTo(ref w, ref onlyToDone);
    }

    private void WriteOnlyTo(ref WireWriter w, ref bool done)
    {
        if (done)
            return;
        done = true;
        CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Optional | AttributeFlags.Transitive, AttributeType.OnlyToCustomer, DefaultOnlyTo!.Value.Value);
    }

    private static void WriteId(ref WireWriter w, AttributeType type, RouterId? id, ref bool done)
    {
        if (done)
            return;
        done = true;
        CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Optional, type, id!.Value.Value);
    }

    private void WriteNextHop(ref WireWriter w, ref bool done)
    {
        if (done)
            return;
        done = true;
        CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Transitive, AttributeType.NextHop,
            (uint)NextHop!.Value.Low);
    }

    private void WriteMed(ref WireWriter w, ref bool done)
    {
        if (done)
            return;
        done = true;
        CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Optional, AttributeType.MultiExitDisc, Med!.Value);
    }

    private void WriteLocalPref(ref WireWriter w, ref bool done)
    {
        if (done)
            return;
        done = true;
        CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Transitive, AttributeType.LocalPref,
            DefaultLocalPref!.Value);
    }

    // Returns whether a number did not fit into two octets.
    private bool WritePath(ref WireWriter w, ReadOnlySpan<byte> path)
    {
        if (!FourOctetAs)
            return WriteNarrowPath(ref w, path);
        CanonicalAttributes.WriteHead(ref w, AttributeFlags.Transitive, AttributeType.AsPath, WideLength(path));
        WriteWidePath(ref w, path);
        return false;
    }

    private int WideLength(ReadOnlySpan<byte> path) => path.Length + (Prepend is null ? 0 : CanJoin(path) ? 4 : 6);

    private void WriteWidePath(ref WireWriter w, ReadOnlySpan<byte> path)
    {
        if (Prepend is { } asn)
        {
            var joins = CanJoin(path);
            w.WriteByte((byte)SegmentType.Sequence);
            w.WriteByte(joins ? (byte)(path[1] + 1) : (byte)1);
            w.WriteUInt32(asn.Value);
            if (joins)
                path = path[2..];
        }
        w.WriteBytes(path);
    }

    private bool WriteNarrowPath(ref WireWriter w, ReadOnlySpan<byte> path)
    {
        Span<byte> wide = new byte[WideLength(path)];
        var copy = new WireWriter(wide);
        WriteWidePath(ref copy, path);
        var tooWide = false;
        var length = 0;
        for (var at = 0; at < wide.Length; at += 2 + (4 * wide[at + 1]))
            length += 2 + (2 * wide[at + 1]);
        CanonicalAttributes.WriteHead(ref w, AttributeFlags.Transitive, AttributeType.AsPath, length);
        ReadOnlySpan<byte> rest = wide;
        while (!rest.IsEmpty)
        {
            rest = AsPath.Next(rest, out var type, out var numbers);
            w.WriteByte((byte)type);
            w.WriteByte((byte)(numbers.Length / 4));
            for (var i = 0; i < numbers.Length; i += 4)
            {
                var asn = new Asn(BinaryPrimitives.ReadUInt32BigEndian(numbers[i..]));
                tooWide |= !asn.FitsTwoOctets;
                w.WriteUInt16(asn.FitsTwoOctets ? (ushort)asn.Value : (ushort)Asn.Trans.Value);
            }
        }
        return tooWide;
    }

    // Returns whether the number fitted.
    private static bool WriteNarrowAggregator(ref WireWriter w, AttributeFlags flags, ReadOnlySpan<byte> value)
    {
        var asn = new Asn(BinaryPrimitives.ReadUInt32BigEndian(value));
        CanonicalAttributes.WriteHead(ref w, flags, AttributeType.Aggregator, 6);
        w.WriteUInt16(asn.FitsTwoOctets ? (ushort)asn.Value : (ushort)Asn.Trans.Value);
        w.WriteBytes(value[4..]);
        return asn.FitsTwoOctets;
    }

    private void WriteAs4(ref WireWriter w, ref bool done, bool needed, ReadOnlySpan<byte> path,
        ReadOnlySpan<byte> aggregator)
    {
        if (done)
            return;
        done = true;
        const AttributeFlags flags = AttributeFlags.Optional | AttributeFlags.Transitive;
        if (needed)
        {
            CanonicalAttributes.WriteHead(ref w, flags, AttributeType.As4Path, WideLength(path));
            WriteWidePath(ref w, path);
        }
        if (!aggregator.IsEmpty)
            CanonicalAttributes.Write(ref w, flags, AttributeType.As4Aggregator, aggregator);
    }

    private static bool CanJoin(ReadOnlySpan<byte> path) =>
        path.Length >= 2 && (SegmentType)path[0] == SegmentType.Sequence && path[1] < AsPath.MaxSegment;
}
