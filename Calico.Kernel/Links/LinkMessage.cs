using System.Runtime.InteropServices;
using Calico.Core.Net;
using Calico.Kernel.Netlink;
using Calico.Kernel.Routes;
using AddressFamily = Calico.Kernel.Netlink.AddressFamily;

namespace Calico.Kernel.Links;

/// <summary>
/// Devices and their addresses on the wire. Each kind of device has its own <c>Write…</c> request.
/// <code>
/// ifinfomsg | family 8 | pad 8 | type 16 | ifindex 32 | flags 32 | changed flags 32 |
/// ifaddrmsg | family 8 | prefix length 8 | flags 8 | scope 8 | ifindex 32 |
/// veth      | IFLA_LINKINFO { KIND "veth", DATA { VETH_INFO_PEER { ifinfomsg, attributes of the peer } } } |
/// </code>
/// </summary>
internal static class LinkMessage
{
    public static void WriteVeth(ref NetlinkWriter w, VethPair pair, bool up)
    {
        var message = BeginCreate(ref w, pair.Name, up);
        WriteEnd(ref w, pair.Mtu, pair.Mac, pair.Queues);
        var info = BeginKind(ref w, "veth");
        var data = w.BeginNested(LinkAttribute.InfoData);
        var peer = w.BeginNested(LinkAttribute.VethPeer);
        // The peer cannot be born up: it is registered before it has its other end (ENOTCONN).
        WriteHeader(ref w, 0, null);
        w.AttributeString(LinkAttribute.Name, pair.PeerName);
        if (pair.PeerNamespaceFd >= 0)
            w.AttributeInt32(LinkAttribute.NamespaceFd, pair.PeerNamespaceFd);
        WriteEnd(ref w, pair.Mtu, pair.PeerMac, pair.Queues);
        w.EndNested(peer);
        w.EndNested(data);
        w.EndNested(info);
        w.EndMessage(message);
    }

    public static void WriteBridge(ref NetlinkWriter w, string name)
    {
        var message = BeginCreate(ref w, name, up: false);
        w.EndNested(BeginKind(ref w, "bridge"));
        w.EndMessage(message);
    }

    public static void WriteChange(ref NetlinkWriter w, LinkChange change)
    {
        var message = w.BeginMessage(RouteMessageType.NewLink, NetlinkFlags.None);
        WriteHeader(ref w, change.Index, change.Up);
        if (change.NamespaceFd is { } fd)
            w.AttributeInt32(LinkAttribute.NamespaceFd, fd);
        if (change.Name is { } name)
            w.AttributeString(LinkAttribute.Name, name);
        if (change.Mtu is { } mtu)
            w.AttributeUInt32(LinkAttribute.Mtu, mtu);
        if (change.Mac is { } mac)
            w.AttributeMac(LinkAttribute.Address, mac);
        if (change.MasterIndex is { } master)
            w.AttributeInt32(LinkAttribute.Master, master);
        w.EndMessage(message);
    }

    /// <summary>The settings of the device that live in the device itself.</summary>
    public static void WriteIpv4(ref NetlinkWriter w, int index, Ipv4Settings settings)
    {
        var message = w.BeginMessage(RouteMessageType.NewLink, NetlinkFlags.None);
        WriteHeader(ref w, index, null);
        var families = w.BeginNested(LinkAttribute.FamilySpec);
        var family = w.BeginNested(AddressFamily.Ipv4);
        var conf = w.BeginNested(LinkAttribute.InetConf);
        if (settings.Forwarding is { } forwarding)
            w.AttributeUInt32(Ipv4Setting.Forwarding, forwarding ? 1u : 0);
        if (settings.ProxyArp is { } proxyArp)
            w.AttributeUInt32(Ipv4Setting.ProxyArp, proxyArp ? 1u : 0);
        if (settings.RouteLocalnet is { } routeLocalnet)
            w.AttributeUInt32(Ipv4Setting.RouteLocalnet, routeLocalnet ? 1u : 0);
        if (settings.RpFilter is { } rpFilter)
            w.AttributeInt32(Ipv4Setting.RpFilter, rpFilter);
        w.EndNested(conf);
        w.EndNested(family);
        w.EndNested(families);
        w.EndMessage(message);
    }

    /// <summary>How long the device's proxied ARP answers are held back.</summary>
    public static void WriteProxyDelay(ref NetlinkWriter w, int index, TimeSpan delay)
    {
        var message = w.BeginMessage(RouteMessageType.SetNeighbourTable, NetlinkFlags.None);
        w.WriteBytes([AddressFamily.Ipv4, 0, 0, 0]);
        w.AttributeString(NeighbourTableAttribute.Name, "arp_cache");
        var parameters = w.BeginNested(NeighbourTableAttribute.Parameters);
        w.AttributeInt32(NeighbourTableAttribute.LinkIndex, index);
        w.AttributeUInt64(NeighbourTableAttribute.ProxyDelay, (ulong)delay.TotalMilliseconds);
        w.EndNested(parameters);
        w.EndMessage(message);
    }

    /// <summary>Deletes one device, or every device of a group; exactly one of the three is given.</summary>
    public static void WriteDelete(ref NetlinkWriter w, int index = 0, string? name = null, uint? group = null)
    {
        var message = w.BeginMessage(RouteMessageType.DelLink, NetlinkFlags.None);
        WriteHeader(ref w, index, null);
        if (name is not null)
            w.AttributeString(LinkAttribute.Name, name);
        if (group is { } all)
            w.AttributeUInt32(LinkAttribute.Group, all);
        w.EndMessage(message);
    }

    public static void WriteGroup(ref NetlinkWriter w, int index, uint group)
    {
        var message = w.BeginMessage(RouteMessageType.NewLink, NetlinkFlags.None);
        WriteHeader(ref w, index, null);
        w.AttributeUInt32(LinkAttribute.Group, group);
        w.EndMessage(message);
    }

    /// <summary>Asks for one device, or for all of them when neither is given.</summary>
    public static void WriteGet(ref NetlinkWriter w, int index = 0, string? name = null)
    {
        var all = index == 0 && name is null;
        var message = w.BeginMessage(RouteMessageType.GetLink, all ? NetlinkFlags.Dump : NetlinkFlags.None);
        WriteHeader(ref w, index, null);
        w.AttributeUInt32(LinkAttribute.ExtendedMask, LinkAttribute.SkipStatistics);
        if (name is not null)
            w.AttributeString(LinkAttribute.Name, name);
        w.EndMessage(message);
    }

    /// <summary>Reads a device; null for a bridge's notifications about its ports, which are no devices.</summary>
    public static Link? Read(ReadOnlySpan<byte> payload)
    {
        if (payload.Length < LinkAttribute.HeaderLength || payload[0] == AddressFamily.Bridge)
            return null;
        string name = "", kind = "";
        uint mtu = 0;
        var queues = 1;
        int? master = null, lower = null;
        MacAddress mac = default;
        var attributes = new NetlinkReader(payload[LinkAttribute.HeaderLength..]);
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case LinkAttribute.Name: name = a.String; break;
                case LinkAttribute.Address: mac = a.Mac ?? default; break;
                case LinkAttribute.Mtu: mtu = a.UInt32; break;
                case LinkAttribute.Master: master = a.Int32; break;
                case LinkAttribute.Link: lower = a.Int32; break;
                case LinkAttribute.TransmitQueues: queues = a.Int32; break;
                case LinkAttribute.Info:
                    kind = a.Nested().TryFind(LinkAttribute.InfoKind, out var k) ? k.String : "";
                    break;
            }
        }
        var flags = MemoryMarshal.Read<uint>(payload[8..]);
        return new Link(MemoryMarshal.Read<int>(payload[4..]), name, kind)
        {
            Up = (flags & LinkAttribute.FlagUp) != 0,
            Running = (flags & LinkAttribute.FlagRunning) != 0,
            Mtu = mtu,
            Mac = mac,
            Queues = queues,
            MasterIndex = master is > 0 ? master : null,
            PeerIndex = kind == "veth" && lower is > 0 ? lower : null,
        };
    }

    public static void WriteAddress(ref NetlinkWriter w, ushort type, NetlinkFlags flags, LinkAddress address)
    {
        var local = address.Address;
        var message = w.BeginMessage(type, flags);
        w.WriteBytes([AddressFamily.Of(local.Version), local.PrefixLength, 0, (byte)address.Scope]);
        w.WriteInt32(address.LinkIndex);
        w.AttributeAddress(InterfaceAddressAttribute.Local, local.Address);
        w.AttributeAddress(InterfaceAddressAttribute.Address, local.Address);
        if (type == RouteMessageType.NewAddress && !local.IsV4)
            w.AttributeUInt32(InterfaceAddressAttribute.Flags, InterfaceAddressAttribute.FlagNoDad);
        w.EndMessage(message);
    }

    public static void WriteAddressDump(ref NetlinkWriter w, int? link)
    {
        var message = w.BeginMessage(RouteMessageType.GetAddress, NetlinkFlags.Dump);
        w.WriteUInt32(0);
        w.WriteInt32(link ?? 0);
        w.EndMessage(message);
    }

    /// <summary>Reads an address of a device; null for a family that is none of ours.</summary>
    public static LinkAddress? ReadAddress(ReadOnlySpan<byte> payload)
    {
        if (payload.Length < InterfaceAddressAttribute.HeaderLength)
            return null;
        IpAddr? local = null, address = null;
        uint flags = payload[2];
        var attributes = new NetlinkReader(payload[InterfaceAddressAttribute.HeaderLength..]);
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case InterfaceAddressAttribute.Local: local = a.Address; break;
                case InterfaceAddressAttribute.Address: address = a.Address; break;
                case InterfaceAddressAttribute.Flags: flags = a.UInt32; break;
            }
        }
        // On a point-to-point device ADDRESS is the other end.
        if ((local ?? address) is not { } ip || payload[0] != AddressFamily.Of(ip.Version) || payload[1] > ip.BitLength)
            return null;
        return new LinkAddress(MemoryMarshal.Read<int>(payload[4..]), new Cidr(ip, payload[1]))
        {
            Scope = (RouteScope)payload[3],
            Tentative = (flags & InterfaceAddressAttribute.FlagTentative) != 0,
        };
    }

    private static NetlinkWriter.Token BeginCreate(ref NetlinkWriter w, string name, bool up)
    {
        var message = w.BeginMessage(RouteMessageType.NewLink, NetlinkFlags.Create | NetlinkFlags.Exclusive);
        WriteHeader(ref w, 0, up);
        w.AttributeString(LinkAttribute.Name, name);
        return message;
    }

    private static NetlinkWriter.Token BeginKind(ref NetlinkWriter w, string kind)
    {
        var info = w.BeginNested(LinkAttribute.Info);
        w.AttributeString(LinkAttribute.InfoKind, kind);
        return info;
    }

    private static void WriteEnd(ref NetlinkWriter w, uint mtu, MacAddress? mac, int queues)
    {
        if (mtu != 0)
            w.AttributeUInt32(LinkAttribute.Mtu, mtu);
        if (mac is { } address)
            w.AttributeMac(LinkAttribute.Address, address);
        w.AttributeInt32(LinkAttribute.TransmitQueues, Math.Max(queues, 1));
        w.AttributeInt32(LinkAttribute.ReceiveQueues, Math.Max(queues, 1));
    }

    private static void WriteHeader(ref NetlinkWriter w, int index, bool? up)
    {
        w.WriteUInt32(0);
        w.WriteInt32(index);
        w.WriteUInt32(up == true ? LinkAttribute.FlagUp : 0);
        w.WriteUInt32(up is null ? 0 : LinkAttribute.FlagUp);
    }
}
