using System.Runtime.InteropServices;
using Calico.Core.Net;
using Calico.Kernel.Netlink;
using AddressFamily = Calico.Kernel.Netlink.AddressFamily;

namespace Calico.Kernel.Neighbours;

/// <summary>
/// A neighbour on the wire.
/// <code>
/// ndmsg | family 8 | pad 24 | ifindex 32 | state 16 | flags 8 | type 8 |
/// </code>
/// </summary>
internal static class NeighbourMessage
{
    private const ushort Resolved = NeighbourAttribute.StateReachable | NeighbourAttribute.StateStale
        | NeighbourAttribute.StateDelay | NeighbourAttribute.StateProbe | NeighbourAttribute.StatePermanent;

    public static void Write(ref NetlinkWriter w, ushort type, NetlinkFlags flags, in Neighbour neighbour)
    {
        var message = w.BeginMessage(type, flags);
        // A forwarding entry of a bridge's port is kept by the bridge, that of a tunnel by the device itself.
        var toMaster = neighbour.Forwarding && neighbour.Address.IsUnspecified;
        w.WriteUInt32(neighbour.Forwarding ? AddressFamily.Bridge : AddressFamily.Of(neighbour.Address.Version));
        w.WriteInt32(neighbour.LinkIndex);
        w.WriteUInt16(State(neighbour, toMaster));
        w.WriteByte(neighbour.Proxy ? NeighbourAttribute.FlagProxy
            : toMaster ? NeighbourAttribute.FlagMaster
            : neighbour.Forwarding ? NeighbourAttribute.FlagSelf : (byte)0);
        w.WriteByte(0);
        if (!toMaster)
            w.AttributeAddress(NeighbourAttribute.Destination, neighbour.Address);
        if (!neighbour.Proxy && (neighbour.Forwarding || type == RouteMessageType.NewNeighbour))
            w.AttributeMac(NeighbourAttribute.LinkLayerAddress, neighbour.Mac);
        w.EndMessage(message);
    }

    public static void WriteDump(ref NetlinkWriter w, byte family, int? link, bool proxies)
    {
        var message = w.BeginMessage(RouteMessageType.GetNeighbour, NetlinkFlags.Dump);
        w.WriteUInt32(family);
        w.WriteInt32(0);
        w.WriteUInt16(0);
        w.WriteByte(proxies ? NeighbourAttribute.FlagProxy : (byte)0);
        w.WriteByte(0);
        if (link is { } index && family != AddressFamily.Bridge)
            w.AttributeInt32(NeighbourAttribute.InterfaceIndex, index);
        w.EndMessage(message);
    }

    /// <summary>
    /// Reads an entry; null for those without an address that were never resolved, and for the kernel's own ones
    /// (multicast and the like, NUD_NOARP). A <paramref name="removed"/> entry is in no state, so any will do.
    /// </summary>
    public static Neighbour? Read(ReadOnlySpan<byte> payload, bool removed = false)
    {
        if (payload.Length < NeighbourAttribute.HeaderLength)
            return null;
        IpAddr? address = null;
        MacAddress? mac = null;
        var attributes = new NetlinkReader(payload[NeighbourAttribute.HeaderLength..]);
        while (attributes.TryNext(out var a))
        {
            if (a.Type == NeighbourAttribute.Destination)
                address = a.Address;
            else if (a.Type == NeighbourAttribute.LinkLayerAddress)
                mac = a.Mac;
        }
        var forwarding = payload[0] == AddressFamily.Bridge;
        var state = MemoryMarshal.Read<ushort>(payload[8..]);
        var proxy = !forwarding && (payload[10] & NeighbourAttribute.FlagProxy) != 0;
        if (forwarding ? mac is null : address is null || payload[0] != AddressFamily.Of(address.Value.Version))
            return null;
        if (!forwarding && !proxy && !removed && ((state & Resolved) == 0 || mac is null))
            return null;
        var permanent = forwarding ? NeighbourAttribute.StatePermanent | NeighbourAttribute.StateNoArp : NeighbourAttribute.StatePermanent;
        return new Neighbour(MemoryMarshal.Read<int>(payload[4..]), address ?? IpAddr.AnyV4, mac ?? default, forwarding)
        {
            Permanent = proxy || (state & permanent) != 0,
            Proxy = proxy,
        };
    }

    private static ushort State(in Neighbour neighbour, bool toMaster)
    {
        if (!neighbour.Permanent)
            return NeighbourAttribute.StateReachable;
        // To a bridge PERMANENT means its own address; a port's entry that never expires is NOARP.
        return toMaster ? NeighbourAttribute.StateNoArp
            : neighbour.Forwarding ? (ushort)(NeighbourAttribute.StatePermanent | NeighbourAttribute.StateNoArp)
            : NeighbourAttribute.StatePermanent;
    }
}
