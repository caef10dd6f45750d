using System.Runtime.InteropServices;
using Calico.Core.Net;
using Calico.Kernel.Netlink;
using AddressFamily = Calico.Kernel.Netlink.AddressFamily;

namespace Calico.Kernel.Rules;

/// <summary>
/// A routing policy rule on the wire.
/// <code>
/// fib_rule_hdr | family 8 | dst_len 8 | src_len 8 | tos 8 | table 8 | reserved 16 | action 8 | flags 32 |
/// </code>
/// </summary>
internal static class RuleMessage
{
    public static void Write(ref NetlinkWriter w, ushort type, NetlinkFlags flags, RoutingRule rule)
    {
        var message = w.BeginMessage(type, flags);
        w.WriteBytes([
            AddressFamily.Of(rule.Family), rule.Destination?.PrefixLength ?? 0, rule.Source?.PrefixLength ?? 0, 0,
            0, 0, 0, RuleAttribute.ActionToTable]);
        w.WriteUInt32(rule.Not ? RuleAttribute.FlagInvert : 0);
        w.AttributeUInt32(RuleAttribute.Table, rule.Table);
        w.AttributeUInt32(RuleAttribute.Priority, rule.Priority);
        if (rule.MarkMask != 0)
        {
            w.AttributeUInt32(RuleAttribute.Mark, rule.Mark);
            w.AttributeUInt32(RuleAttribute.MarkMask, rule.MarkMask);
        }
        if (rule.Source is { } source)
            w.AttributeAddress(RuleAttribute.Source, source.Address);
        if (rule.Destination is { } destination)
            w.AttributeAddress(RuleAttribute.Destination, destination.Address);
        if (rule.InputLink is { } link)
            w.AttributeString(RuleAttribute.InputInterface, link);
        if (rule.SuppressPrefixLength is { } suppressed)
            w.AttributeInt32(RuleAttribute.SuppressPrefixLength, suppressed);
        if (rule.Protocol != 0)
            w.AttributeUInt8(RuleAttribute.Protocol, rule.Protocol);
        w.EndMessage(message);
    }

    public static void WriteDump(ref NetlinkWriter w, IpVersion family)
    {
        var message = w.BeginMessage(RouteMessageType.GetRule, NetlinkFlags.Dump);
        w.WriteByte(AddressFamily.Of(family));
        w.WriteZeros(RuleAttribute.HeaderLength - 1);
        w.EndMessage(message);
    }

    /// <summary>Reads a rule; null for a family or action that is none of ours.</summary>
    public static RoutingRule? Read(ReadOnlySpan<byte> payload)
    {
        if (payload.Length < RuleAttribute.HeaderLength || payload[7] != RuleAttribute.ActionToTable
            || payload[0] is not (AddressFamily.Ipv4 or AddressFamily.Ipv6))
            return null;
        IpAddr? source = null, destination = null;
        uint table = payload[4], priority = 0, mark = 0, mask = 0;
        byte protocol = 0;
        int? suppressed = null;
        string? link = null;
        var attributes = new NetlinkReader(payload[RuleAttribute.HeaderLength..]);
        while (attributes.TryNext(out var a))
        {
            switch (a.Type)
            {
                case RuleAttribute.Table: table = a.UInt32; break;
                case RuleAttribute.Priority: priority = a.UInt32; break;
                case RuleAttribute.Mark: mark = a.UInt32; break;
                case RuleAttribute.MarkMask: mask = a.UInt32; break;
                case RuleAttribute.Source: source = a.Address; break;
                case RuleAttribute.Destination: destination = a.Address; break;
                case RuleAttribute.InputInterface: link = a.String; break;
                // -1 is how the kernel says that nothing is suppressed.
                case RuleAttribute.SuppressPrefixLength: suppressed = a.Int32 >= 0 ? a.Int32 : null; break;
                case RuleAttribute.Protocol: protocol = a.UInt8; break;
            }
        }
        var family = payload[0] == AddressFamily.Ipv4 ? IpVersion.V4 : IpVersion.V6;
        return new RoutingRule(family, priority, table)
        {
            Mark = mark,
            MarkMask = mask,
            Source = Prefix(source, payload[2]),
            Destination = Prefix(destination, payload[1]),
            InputLink = link,
            Not = (MemoryMarshal.Read<uint>(payload[8..]) & RuleAttribute.FlagInvert) != 0,
            SuppressPrefixLength = suppressed,
            Protocol = protocol,
        };
    }

    private static Cidr? Prefix(IpAddr? address, byte length) =>
        address is { } a && length <= a.BitLength ? new Cidr(a, length) : null;
}
