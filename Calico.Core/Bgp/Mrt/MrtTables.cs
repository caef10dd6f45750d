using System.Buffers.Binary;
using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Mrt;

/// <summary>
/// The records of tables: TABLE_DUMP (RFC 6396 section 4.2), one route each, and TABLE_DUMP_V2 (section 4.3), in which peers are
/// listed once and each prefix has all its routes.
/// </summary>
internal sealed class MrtTables
{
    private const int PeerIndexTable = 1;

    private static readonly WireContext TwoOctets = new(FourOctetAs: false, ExtendedMessages: true, Internal: true, Families.Both) { ExtendedNextHop = true };
    private static readonly WireContext FourOctets = TwoOctets with { FourOctetAs = true };

    private static readonly byte[] NoAttributes = new PathAttributes { Origin = Origin.Incomplete }.Encode();

    // For a set that is read without a route of its own.
    private static readonly byte[] AnyNextHop = [(byte)AttributeFlags.Transitive, (byte)AttributeType.NextHop, 4, 192, 0, 2, 1];
    private static readonly Cidr AnyPrefix = Cidr.Parse("192.0.2.0/24");

    private readonly UpdateDecoder _decoder = new();
    private ImmutableArray<MrtPeer> _peers = [];

    public bool TryReadOld(DateTimeOffset time, int subtype, ReadOnlySpan<byte> body, List<MrtRecord> records)
    {
        if (subtype is not (1 or 2))
            return MrtReader.Skip(time, 12, subtype, records);
        var size = subtype == 1 ? 4 : 16;
        var r = new WireReader(body);
        if (!r.TryReadUInt32(out _) || !MrtReader.TryReadAddress(ref r, size, out var address) || !r.TryReadByte(out var length) || length > size * 8
            || !r.TryReadByte(out _) || !r.TryReadUInt32(out var learned) || !MrtReader.TryReadAddress(ref r, size, out var peer)
            || !MrtReader.TryReadAs(ref r, isFour: false, out var peerAs) || !r.TryReadUInt16(out var attributesLength)
            || !r.TryReadBytes(attributesLength, out var attributes))
            return false;
        records.Add(Route(time, learned, new MrtPeer(peer, peerAs), new Cidr(address, length).Network, null, attributes, TwoOctets) with { Type = "TABLE_DUMP" });
        return true;
    }

    public bool TryRead(DateTimeOffset time, int subtype, ReadOnlySpan<byte> body, List<MrtRecord> records) => subtype switch
    {
        PeerIndexTable => TryReadPeers(body),
        2 => TryReadRoutes(time, 4, hasPathIds: false, body, records),
        4 => TryReadRoutes(time, 16, hasPathIds: false, body, records),
        8 => TryReadRoutes(time, 4, hasPathIds: true, body, records),
        10 => TryReadRoutes(time, 16, hasPathIds: true, body, records),
        _ => MrtReader.Skip(time, 13, subtype, records),
    };

    private bool TryReadPeers(ReadOnlySpan<byte> body)
    {
        var r = new WireReader(body);
        if (!r.TryReadUInt32(out _) || !r.TryReadUInt16(out var nameLength) || !r.TryReadBytes(nameLength, out _) || !r.TryReadUInt16(out var count))
            return false;
        var peers = ImmutableArray.CreateBuilder<MrtPeer>();
        for (var i = 0; i < count; i++)
        {
            // Bit 0: an IPv6 address; bit 1: an AS number of four octets.
            if (!r.TryReadByte(out var type) || !r.TryReadUInt32(out var id) || !MrtReader.TryReadAddress(ref r, (type & 1) != 0 ? 16 : 4, out var address)
                || !MrtReader.TryReadAs(ref r, (type & 2) != 0, out var peerAs))
                return false;
            peers.Add(new MrtPeer(address, peerAs) { Id = new RouterId(id) });
        }
        _peers = peers.ToImmutable();
        return true;
    }

    private bool TryReadRoutes(DateTimeOffset time, int size, bool hasPathIds, ReadOnlySpan<byte> body, List<MrtRecord> records)
    {
        var r = new WireReader(body);
        if (!r.TryReadUInt32(out _) || !r.TryReadByte(out var length) || length > size * 8 || !r.TryReadBytes((length + 7) / 8, out var octets)
            || !r.TryReadUInt16(out var count))
            return false;
        Span<byte> address = stackalloc byte[size];
        address.Clear();
        octets.CopyTo(address);
        var prefix = new Cidr(IpAddr.FromBytes(address), length).Network;
        for (var i = 0; i < count; i++)
        {
            uint pathId = 0;
            if (!r.TryReadUInt16(out var peer) || peer >= _peers.Length || !r.TryReadUInt32(out var learned) || (hasPathIds && !r.TryReadUInt32(out pathId))
                || !r.TryReadUInt16(out var attributesLength) || !r.TryReadBytes(attributesLength, out var attributes))
                return false;
            records.Add(Route(time, learned, _peers[peer], prefix, hasPathIds ? pathId : null, attributes, FourOctets) with { Type = hasPathIds ? "TABLE_DUMP2_AP" : "TABLE_DUMP2" });
        }
        return true;
    }

    // As the UPDATE that would bring the route: so its errors are those of RFC 7606, and the set is canonical.
    private MrtRecord Route(DateTimeOffset time, uint learned, MrtPeer peer, Cidr prefix, uint? pathId, ReadOnlySpan<byte> attributes, in WireContext context)
    {
        var since = DateTimeOffset.FromUnixTimeSeconds(learned);
        var isV4 = prefix.Version == IpVersion.V4;
        var isClassic = isV4 && Has(attributes, AttributeType.NextHop);
        // One of the collector's own has none.
        var hasNextHop = isClassic || Has(attributes, AttributeType.MpReachNlri);
        if (attributes.IsEmpty)
            return new MrtRoute(time, since, peer, prefix, pathId, Unspecified(isV4), NoAttributes);
        var whole = Restored(attributes, prefix, isClassic, hasNextHop);
        var body = new WireWriter(new byte[whole.Length + 64]);
        body.WriteUInt16(0);
        body.WriteUInt16((ushort)whole.Length);
        body.WriteBytes(whole);
        if (isClassic || !hasNextHop)
            WritePrefix(ref body, isV4 ? prefix : AnyPrefix);
        if (!_decoder.TryDecode(body.Written, context, out var update, out var error))
            return new MrtSkipped(time, $"{prefix} of {peer.Address}: {error}");
        if (update.Verdict >= AttributeVerdict.TreatAsWithdraw)
            return new MrtSkipped(time, $"{prefix} of {peer.Address}: {string.Join("; ", _decoder.Problems)}");
        var nextHop = !hasNextHop ? Unspecified(isV4) : isClassic ? update.NextHop : update.Multiprotocol.NextHop;
        return new MrtRoute(time, since, peer, prefix, pathId, nextHop, update.Attributes.ToArray());
    }

    private static IpAddr Unspecified(bool isV4) => IpAddr.Parse(isV4 ? "0.0.0.0" : "::");

    private static bool Has(ReadOnlySpan<byte> attributes, AttributeType asked)
    {
        var r = new AttributeReader(attributes);
        while (r.TryRead(out _, out var type, out _))
        {
            if (type == asked)
                return true;
        }
        return false;
    }

    // Flags are as the type has them: some write those of a table as they please. In TABLE_DUMP_V2 MP_REACH_NLRI has the next hop
    // alone (RFC 6396 section 4.3.4), and some write all of it, as in a message.
    private static ReadOnlySpan<byte> Restored(ReadOnlySpan<byte> attributes, Cidr prefix, bool isClassic, bool hasNextHop)
    {
        var w = new WireWriter(new byte[(attributes.Length * 4 / 3) + 64]);
        var r = new AttributeReader(attributes);
        while (r.TryRead(out var flags, out var type, out var value))
        {
            if (type == AttributeType.MpReachNlri && !isClassic)
                WriteReach(ref w, value, prefix);
            else if (type != AttributeType.MpReachNlri)
                CanonicalAttributes.Write(ref w, AttributeRules.ExpectedKind(type) ?? flags, type, value);
        }
        // What is cut off stays so, for the decoder to say.
        w.WriteBytes(attributes[r.Position..]);
        if (!hasNextHop)
            w.WriteBytes(AnyNextHop);
        return w.Written;
    }

    private static void WriteReach(ref WireWriter w, ReadOnlySpan<byte> value, Cidr prefix)
    {
        var nextHop = value is [0, _, _, var length, ..] && value.Length >= 4 + length ? value.Slice(4, length) : value is [var only, ..] && value.Length > only ? value.Slice(1, only) : value;
        var nlri = new WireWriter(new byte[32]);
        WritePrefix(ref nlri, prefix);
        CanonicalAttributes.WriteHead(ref w, AttributeFlags.Optional, AttributeType.MpReachNlri, 5 + nextHop.Length + nlri.Written.Length);
        w.WriteUInt16((ushort)(prefix.Version == IpVersion.V4 ? 1 : 2));
        w.WriteByte(1);
        w.WriteByte((byte)nextHop.Length);
        w.WriteBytes(nextHop);
        w.WriteByte(0);
        w.WriteBytes(nlri.Written);
    }

    internal static void WritePrefix(ref WireWriter w, Cidr prefix)
    {
        Span<byte> address = stackalloc byte[16];
        prefix.Address.WriteTo(address);
        w.WriteByte(prefix.PrefixLength);
        w.WriteBytes(address[..((prefix.PrefixLength + 7) / 8)]);
    }
}
