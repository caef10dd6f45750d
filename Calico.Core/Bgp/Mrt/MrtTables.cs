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

    private static readonly WireContext TwoOctets = new(FourOctetAs: false, ExtendedMessages: true, Internal: true, Families.Both);
    private static readonly WireContext FourOctets = TwoOctets with { FourOctetAs = true };

    private static readonly byte[] NoAttributes = new PathAttributes { Origin = Origin.Incomplete }.Encode();

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
        records.Add(Route(time, learned, new MrtPeer(peer, peerAs), new Cidr(address, length).Network, null, attributes, TwoOctets));
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
            if (!r.TryReadByte(out var type) || !r.TryReadUInt32(out _) || !MrtReader.TryReadAddress(ref r, (type & 1) != 0 ? 16 : 4, out var address)
                || !MrtReader.TryReadAs(ref r, (type & 2) != 0, out var peerAs))
                return false;
            peers.Add(new MrtPeer(address, peerAs));
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
            records.Add(Route(time, learned, _peers[peer], prefix, hasPathIds ? pathId : null, attributes, FourOctets));
        }
        return true;
    }

    // As the UPDATE that would bring the route: so its errors are those of RFC 7606, and the set is canonical.
    private MrtRecord Route(DateTimeOffset time, uint learned, MrtPeer peer, Cidr prefix, uint? pathId, ReadOnlySpan<byte> attributes, in WireContext context)
    {
        var isV4 = prefix.Version == IpVersion.V4;
        // The collector's own: it has nothing to say of it.
        if (attributes.IsEmpty)
            return new MrtRoute(time, DateTimeOffset.FromUnixTimeSeconds(learned), peer, prefix, pathId, isV4 ? IpAddr.Parse("0.0.0.0") : IpAddr.Parse("::"), NoAttributes);
        var whole = isV4 ? attributes : WithPrefix(attributes, prefix);
        var body = new WireWriter(new byte[whole.Length + 64]);
        body.WriteUInt16(0);
        body.WriteUInt16((ushort)whole.Length);
        body.WriteBytes(whole);
        if (isV4)
            WritePrefix(ref body, prefix);
        if (!_decoder.TryDecode(body.Written, context, out var update, out var error))
            return new MrtSkipped(time, $"{prefix} of {peer.Address}: {error}");
        if (update.Verdict >= AttributeVerdict.TreatAsWithdraw)
            return new MrtSkipped(time, $"{prefix} of {peer.Address}: {string.Join("; ", _decoder.Problems)}");
        return new MrtRoute(time, DateTimeOffset.FromUnixTimeSeconds(learned), peer, prefix, pathId, isV4 ? update.NextHop : update.Multiprotocol.NextHop, update.Attributes.ToArray());
    }

    // In TABLE_DUMP_V2 MP_REACH_NLRI has the next hop alone (RFC 6396 section 4.3.4), and some write all of it, as in a message.
    private static byte[] WithPrefix(ReadOnlySpan<byte> attributes, Cidr prefix)
    {
        var w = new WireWriter(new byte[attributes.Length + 64]);
        var r = new AttributeReader(attributes);
        while (r.TryRead(out var flags, out var type, out var value))
        {
            if (type != AttributeType.MpReachNlri)
            {
                CanonicalAttributes.Write(ref w, flags, type, value);
                continue;
            }
            var nextHop = value is [0, _, _, var length, ..] && value.Length >= 4 + length ? value.Slice(4, length) : value is [var only, ..] && value.Length > only ? value.Slice(1, only) : value;
            var nlri = new WireWriter(new byte[32]);
            WritePrefix(ref nlri, prefix);
            CanonicalAttributes.WriteHead(ref w, flags, type, 5 + nextHop.Length + nlri.Written.Length);
            w.WriteUInt16(2);
            w.WriteByte(1);
            w.WriteByte((byte)nextHop.Length);
            w.WriteBytes(nextHop);
            w.WriteByte(0);
            w.WriteBytes(nlri.Written);
        }
        return w.Written.ToArray();
    }

    private static void WritePrefix(ref WireWriter w, Cidr prefix)
    {
        Span<byte> address = stackalloc byte[16];
        prefix.Address.WriteTo(address);
        w.WriteByte(prefix.PrefixLength);
        w.WriteBytes(address[..((prefix.PrefixLength + 7) / 8)]);
    }
}
