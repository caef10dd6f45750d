using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Calico.Core.Net;
using Calico.Kernel.Netlink;
using AddressFamily = Calico.Kernel.Netlink.AddressFamily;

namespace Calico.Kernel.Routes;

/// <summary>
/// A route on the wire.
/// <code>
/// rtmsg | family 8 | dst_len 8 | src_len 8 | tos 8 | table 8 | protocol 8 | scope 8 | type 8 | flags 32 |
/// hop   | length 16 | flags 8 | weight-1 8 | ifindex 32 | RTA_GATEWAY or RTA_VIA |          (inside RTA_MULTIPATH)
/// via   | family 16 | address |                     (a gateway of the other family, RFC 5549)
/// </code>
/// </summary>
internal static class RouteMessage
{
    private const int HopLength = 8;

    /// <summary>The metric that IPv6 stores for 0 (IP6_RT_PRIO_USER).</summary>
    public const uint DefaultMetricV6 = 1024;

    /// <summary>The most next hops that a route from outside may have.</summary>
    private const int MaxHops = 1024;

    public static uint StoredMetric(in RouteKey key) =>
        key.Metric == 0 && !key.Destination.IsV4 ? DefaultMetricV6 : key.Metric;

    /// <summary>Writes a request that creates the route; <paramref name="orElse"/> says what becomes of one of the same key.</summary>
    public static void WriteNew(ref NetlinkWriter w, Route route, NetlinkFlags orElse)
    {
        var key = route.Key;
        var hops = route.NextHops.AsSpan();
        var message = w.BeginMessage(RouteMessageType.NewRoute, NetlinkFlags.Create | orElse);
        WriteHeader(ref w, key, route.Protocol, key.Destination.IsV4 ? (byte)route.Scope : (byte)0, (byte)route.Kind,
            flags: hops.Length == 1 && hops[0].OnLink ? RouteAttribute.HopOnLink : 0u);
        WriteKey(ref w, key);
        if (route.PreferredSource is { } source)
            w.AttributeAddress(RouteAttribute.PreferredSource, source);
        if (hops.Length == 1)
            WriteSingleHop(ref w, hops[0], key.Destination.Version);
        else if (hops.Length > 1)
            WriteMultipath(ref w, hops, key.Destination.Version);
        if (route.Mtu != 0)
        {
            var metrics = w.BeginNested(RouteAttribute.Metrics);
            w.AttributeUInt32(RouteAttribute.MetricMtu, route.Mtu);
            w.EndNested(metrics);
        }
        w.EndMessage(message);
    }

    /// <summary>
    /// Writes a request that removes the route of a key. A protocol other than 0 must match, too, so that a route that
    /// somebody else put in the place of ours stays.
    /// </summary>
    public static void WriteDelete(ref NetlinkWriter w, in RouteKey key, byte protocol)
    {
        var message = w.BeginMessage(RouteMessageType.DelRoute, NetlinkFlags.None);
        WriteHeader(ref w, key, protocol, RouteAttribute.ScopeNowhere, kind: 0, flags: 0);
        WriteKey(ref w, key);
        w.EndMessage(message);
    }

    public static void WriteDump(ref NetlinkWriter w, IpVersion family, RouteFilter filter)
    {
        var message = w.BeginMessage(RouteMessageType.GetRoute, NetlinkFlags.Dump);
        w.WriteBytes([AddressFamily.Of(family), 0, 0, 0, 0, filter.Protocol ?? 0, 0, 0]);
        w.WriteUInt32(0);
        if (filter.Table is { } table)
            w.AttributeUInt32(RouteAttribute.Table, table);
        w.EndMessage(message);
    }

    public static void WriteLookup(ref NetlinkWriter w, IpAddr destination)
    {
        var message = w.BeginMessage(RouteMessageType.GetRoute, NetlinkFlags.None);
        w.WriteBytes([AddressFamily.Of(destination.Version), (byte)destination.BitLength, 0, 0, 0, 0, 0, 0]);
        // IPv6 names the table anyway and refuses the flag.
        w.WriteUInt32(destination.IsV4 ? RouteAttribute.FlagLookupTable : 0);
        w.AttributeAddress(RouteAttribute.Destination, destination);
        w.EndMessage(message);
    }

    /// <summary>Reads a route; null for families, kinds and cached copies that are none of ours.</summary>
    public static Route? Read(ReadOnlySpan<byte> payload, bool cloned = false)
    {
        if (payload.Length < RouteAttribute.HeaderLength)
            return null;
        IpVersion version;
        switch (payload[0])
        {
            case AddressFamily.Ipv4: version = IpVersion.V4; break;
            case AddressFamily.Ipv6: version = IpVersion.V6; break;
            default: return null;
        }
        var prefixLength = payload[1];
        var flags = MemoryMarshal.Read<uint>(payload[8..]);
        var isCloned = (flags & RouteAttribute.FlagCloned) != 0;
        if (prefixLength > (version == IpVersion.V4 ? 32 : 128) || (isCloned && !cloned))
            return null;

        IpAddr? gateway = null, source = null;
        var destination = version == IpVersion.V4 ? IpAddr.AnyV4 : IpAddr.AnyV6;
        uint table = payload[4], metric = 0, mtu = 0;
        var link = 0;
        ReadOnlySpan<byte> multipath = default;
        var attributes = new NetlinkReader(payload[RouteAttribute.HeaderLength..]);
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case RouteAttribute.Destination: destination = a.Address is { } d && d.Version == version ? d : destination; break;
                case RouteAttribute.OutputInterface: link = a.Int32; break;
                case RouteAttribute.Gateway: gateway = a.Address; break;
                case RouteAttribute.Via: gateway = ReadVia(a); break;
                case RouteAttribute.Priority: metric = a.UInt32; break;
                case RouteAttribute.PreferredSource: source = a.Address; break;
                case RouteAttribute.Table: table = a.UInt32; break;
                case RouteAttribute.Multipath: multipath = a.Value; break;
                case RouteAttribute.Metrics:
                    mtu = a.Nested().TryFind(RouteAttribute.MetricMtu, out var m) ? m.UInt32 : 0;
                    break;
            }
        }
        var kind = (RouteKind)payload[7];
        var hops = HasNoHops(kind) ? []
            : multipath.IsEmpty ? [new NextHop(gateway, link, (flags & RouteAttribute.HopOnLink) != 0)]
            : ReadMultipath(multipath);
        return new Route(new RouteKey(new Cidr(destination, prefixLength), metric, table), kind, payload[5], hops)
        {
            Scope = (RouteScope)payload[6],
            PreferredSource = source,
            Mtu = mtu,
        };
    }

    /// <summary>Kinds that end the packet's way here; IPv6 shows such routes on the loopback device.</summary>
    public static bool HasNoHops(RouteKind kind) =>
        kind is RouteKind.Blackhole or RouteKind.Unreachable or RouteKind.Prohibit or RouteKind.Throw;

    private static void WriteHeader(
        ref NetlinkWriter w, in RouteKey key, byte protocol, byte scope, byte kind, uint flags)
    {
        w.WriteBytes([AddressFamily.Of(key.Destination.Version), key.Destination.PrefixLength, 0, 0, 0, protocol, scope, kind]);
        w.WriteUInt32(flags);
    }

    private static void WriteKey(ref NetlinkWriter w, in RouteKey key)
    {
        w.AttributeAddress(RouteAttribute.Destination, key.Destination.Address);
        w.AttributeUInt32(RouteAttribute.Table, key.Table);
        var metric = StoredMetric(key);
        if (metric != 0)
            w.AttributeUInt32(RouteAttribute.Priority, metric);
    }

    private static void WriteSingleHop(ref NetlinkWriter w, in NextHop hop, IpVersion version)
    {
        if (hop.Gateway is { } gateway)
            WriteGateway(ref w, gateway, version);
        if (hop.LinkIndex != 0)
            w.AttributeInt32(RouteAttribute.OutputInterface, hop.LinkIndex);
    }

    private static void WriteMultipath(ref NetlinkWriter w, ReadOnlySpan<NextHop> hops, IpVersion version)
    {
        var multipath = w.BeginAttribute(RouteAttribute.Multipath);
        foreach (ref readonly var hop in hops)
        {
            var length = HopLength + (hop.Gateway is not { } g ? 0 : (g.Version == version ? 4 : 6) + g.ByteLength + 3) & ~3;
            w.WriteUInt16((ushort)length);
            w.WriteByte(hop.OnLink ? RouteAttribute.HopOnLink : (byte)0);
            w.WriteByte((byte)(Math.Max(hop.Weight, (byte)1) - 1));
            w.WriteInt32(hop.LinkIndex);
            if (hop.Gateway is { } gateway)
                WriteGateway(ref w, gateway, version);
        }
        w.EndAttribute(multipath);
    }

    private static void WriteGateway(ref NetlinkWriter w, IpAddr gateway, IpVersion version)
    {
        if (gateway.Version == version)
        {
            w.AttributeAddress(RouteAttribute.Gateway, gateway);
            return;
        }
        var via = w.BeginAttribute(RouteAttribute.Via);
        w.WriteUInt16(AddressFamily.Of(gateway.Version));
        w.WriteAddress(gateway);
        w.EndAttribute(via);
    }

    private static IpAddr? ReadVia(in NetlinkAttribute via) =>
        via.Value.Length is 6 or 18 ? IpAddr.FromBytes(via.Value[2..]) : null;

    private static ImmutableArray<NextHop> ReadMultipath(ReadOnlySpan<byte> rest)
    {
        var hops = ImmutableArray.CreateBuilder<NextHop>(2);
        while (rest.Length >= HopLength && hops.Count < MaxHops)
        {
            int length = MemoryMarshal.Read<ushort>(rest);
            if (length < HopLength || length > rest.Length)
                break;
            IpAddr? gateway = null;
            var attributes = new NetlinkReader(rest[HopLength..length]);
            while (attributes.TryNext(out var a))
            {
                gateway = a.Type switch
                {
                    RouteAttribute.Gateway => a.Address,
                    RouteAttribute.Via => ReadVia(a),
                    _ => gateway,
                };
            }
            hops.Add(new NextHop(gateway, MemoryMarshal.Read<int>(rest[4..]),
                (rest[2] & RouteAttribute.HopOnLink) != 0, (byte)Math.Min(rest[3] + 1, byte.MaxValue)));
            rest = rest[Math.Min((length + 3) & ~3, rest.Length)..];
        }
        return hops.DrainToImmutable();
    }
}
