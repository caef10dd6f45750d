using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Mrt;

/// <summary>
/// Writes a table as TABLE_DUMP_V2 (RFC 6396 section 4.3; prefixes with path identifiers by RFC 8050): first the peers, then
/// each prefix with its routes.
/// </summary>
/// <param name="time">When the table was so; every record has it.</param>
public sealed class MrtWriter(DateTimeOffset time)
{
    /// <summary>A route of the prefix.</summary>
    /// <param name="Peer">Its place in the list of peers.</param>
    /// <param name="Learned">Since when it is announced.</param>
    /// <param name="PathId">0 for a peer that does not number its paths.</param>
    /// <param name="Attributes">The canonical set.</param>
    public readonly record struct Route(ushort Peer, DateTimeOffset Learned, uint PathId, IpAddr NextHop, ReadOnlyMemory<byte> Attributes);

    private const ushort TableDumpV2 = 13;
    private const int HeadOfRoute = 12, MaxNextHop = 64;

    private uint _sequence;

    /// <param name="to">Where the record goes.</param>
    /// <param name="collector">Whose table it is.</param>
    /// <param name="view">Name of the table.</param>
    /// <param name="peers">At most 65,535.</param>
    public void WritePeers(IBufferWriter<byte> to, RouterId collector, string view, ImmutableArray<MrtPeer> peers)
    {
        var name = Encoding.UTF8.GetBytes(view);
        var w = new WireWriter(new byte[8 + name.Length + (peers.Length * 25)]);
        w.WriteUInt32(collector.Value);
        w.WriteUInt16(checked((ushort)name.Length));
        w.WriteBytes(name);
        w.WriteUInt16(checked((ushort)peers.Length));
        foreach (var peer in peers)
        {
            // Bit 0: an IPv6 address; bit 1: an AS number of four octets.
            w.WriteByte((byte)(peer.Address.IsV4 ? 2 : 3));
            w.WriteUInt32(peer.Id.Value);
            WriteAddress(ref w, peer.Address);
            w.WriteUInt32(peer.As.Value);
        }
        WriteRecord(to, 1, w.Written);
    }

    /// <param name="to">Where the record goes.</param>
    /// <param name="prefix">Whose routes.</param>
    /// <param name="routes">At most 65,535, of peers that were written.</param>
    public void WriteRoutes(IBufferWriter<byte> to, Cidr prefix, IReadOnlyCollection<Route> routes)
    {
        var hasIds = routes.Any(r => r.PathId != 0);
        var w = new WireWriter(new byte[32 + routes.Sum(r => HeadOfRoute + MaxNextHop + r.Attributes.Length)]);
        w.WriteUInt32(_sequence++);
        MrtTables.WritePrefix(ref w, prefix);
        w.WriteUInt16(checked((ushort)routes.Count));
        foreach (var route in routes)
        {
            w.WriteUInt16(route.Peer);
            w.WriteUInt32((uint)Math.Clamp(route.Learned.ToUnixTimeSeconds(), 0, uint.MaxValue));
            if (hasIds)
                w.WriteUInt32(route.PathId);
            var length = w.BeginLength16();
            WriteAttributes(ref w, prefix, route);
            w.EndLength16(length);
        }
        WriteRecord(to, (ushort)((prefix.Version == IpVersion.V4 ? 2 : 4) + (hasIds ? 6 : 0)), w.Written);
    }

    // NEXT_HOP in its place among the others; a next hop of the other family, and any of IPv6, as MP_REACH_NLRI with nothing
    // but the next hop (section 4.3.4).
    private static void WriteAttributes(ref WireWriter w, Cidr prefix, in Route route)
    {
        var isClassic = prefix.Version == IpVersion.V4 && route.NextHop.IsV4;
        var place = isClassic ? AttributeType.NextHop : AttributeType.MpReachNlri;
        // A route of the speaker's own has no next hop.
        var isWritten = route.NextHop.IsUnspecified;
        var r = new AttributeReader(route.Attributes.Span);
        while (r.TryRead(out var flags, out var type, out var value))
        {
            if (type > place && !isWritten)
                isWritten = WriteNextHop(ref w, route.NextHop, isClassic);
            CanonicalAttributes.Write(ref w, flags, type, value);
        }
        if (!isWritten)
            WriteNextHop(ref w, route.NextHop, isClassic);
    }

    private static bool WriteNextHop(ref WireWriter w, IpAddr nextHop, bool isClassic)
    {
        var size = nextHop.IsV4 ? 4 : 16;
        if (isClassic)
        {
            CanonicalAttributes.WriteHead(ref w, AttributeFlags.Transitive, AttributeType.NextHop, size);
        }
        else
        {
            CanonicalAttributes.WriteHead(ref w, AttributeFlags.Optional, AttributeType.MpReachNlri, 1 + size);
            w.WriteByte((byte)size);
        }
        WriteAddress(ref w, nextHop);
        return true;
    }

    private static void WriteAddress(ref WireWriter w, IpAddr address)
    {
        Span<byte> octets = stackalloc byte[16];
        address.WriteTo(octets);
        w.WriteBytes(octets[..(address.IsV4 ? 4 : 16)]);
    }

    private void WriteRecord(IBufferWriter<byte> to, ushort subtype, ReadOnlySpan<byte> body)
    {
        var head = new WireWriter(new byte[12]);
        head.WriteUInt32((uint)time.ToUnixTimeSeconds());
        head.WriteUInt16(TableDumpV2);
        head.WriteUInt16(subtype);
        head.WriteUInt32((uint)body.Length);
        to.Write(head.Written);
        to.Write(body);
    }
}
