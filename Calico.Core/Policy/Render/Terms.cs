using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Core.Policy.Render;

/// <summary>Short words for the terms that Calico's rules are made of.</summary>
internal static class Terms
{
    public static readonly NftTerm Counter = new NftStatement.Counter();
    public static readonly NftTerm Accept = new NftStatement.Verdict(NftVerdict.Accept);
    public static readonly NftTerm Drop = new NftStatement.Verdict(NftVerdict.Drop);
    public static readonly NftTerm Return = new NftStatement.Verdict(NftVerdict.Return);
    public static readonly NftTerm NoTrack = new NftStatement.NoTrack();
    public static readonly NftTerm Masquerade = new NftStatement.Masquerade(FullyRandom: true);
    public static readonly NftTerm Replies = new NftMatch.CtState(NftCtState.Established | NftCtState.Related);
    public static readonly NftTerm Invalid = new NftMatch.CtState(NftCtState.Invalid);
    public static readonly NftTerm LocalDestination = new NftMatch.AddressType(NftSide.Destination, NftAddressType.Local);
    public static readonly NftTerm LocalSource = new NftMatch.AddressType(NftSide.Source, NftAddressType.Local);

    /// <summary>The source is no address of the interface the packet leaves by.</summary>
    public static readonly NftTerm SourceNotOnOutInterface =
        new NftMatch.AddressType(NftSide.Source, NftAddressType.Local, OnOutInterface: true) { Negate = true };

    public static NftTerm Jump(string chain) => new NftStatement.Verdict(NftVerdict.Jump(chain));
    public static NftTerm Goto(string chain) => new NftStatement.Verdict(NftVerdict.Goto(chain));
    public static NftTerm SetMark(uint bits) => new NftStatement.SetMark(NftMarkOf.Packet, bits, bits);
    public static NftTerm ClearMark(uint bits) => new NftStatement.SetMark(NftMarkOf.Packet, 0, bits);
    public static NftTerm MarkSet(uint bit) => new NftMatch.Mark(NftMarkOf.Packet, bit, bit);
    public static NftTerm MarkClear(uint bits) => new NftMatch.Mark(NftMarkOf.Packet, 0, bits);
    public static NftTerm AnyMarkSet(uint bits) => new NftMatch.Mark(NftMarkOf.Packet, 0, bits) { Negate = true };
    public static NftTerm InInterface(string pattern) => new NftMatch.Interface(false, pattern);
    public static NftTerm OutInterface(string pattern) => new NftMatch.Interface(true, pattern);
    public static NftTerm Protocol(byte number, bool not = false) => new NftMatch.Protocol(number) { Negate = not };
    public static NftTerm SourcePort(ushort port) => new NftMatch.Port(NftSide.Source, port);
    public static NftTerm DestinationPort(ushort port) => new NftMatch.Port(NftSide.Destination, port);

    public static NftTerm Net(NftSide side, Cidr net, bool not = false) =>
        new NftMatch.Address(side, net) { Negate = not };

    public static NftTerm InSet(NftSide side, string set, bool not = false) =>
        new NftMatch.InSet(set, side == NftSide.Source ? NftField.SourceAddress : NftField.DestinationAddress) { Negate = not };

    /// <summary>Address, protocol and port of one side are a member of a set of those.</summary>
    public static NftTerm InPortSet(NftSide side, string set, bool not = false) => side == NftSide.Source
        ? new NftMatch.InSet(set, NftField.SourceAddress, NftField.Protocol, NftField.SourcePort) { Negate = not }
        : new NftMatch.InSet(set, NftField.DestinationAddress, NftField.Protocol, NftField.DestinationPort) { Negate = not };

    public static NftTerm Ports(NftSide side, IEnumerable<PortRange> ports, bool not = false) =>
        new NftMatch.Port(side, [.. ports.Select(p => new NftPortRange(p.First, p.Last))]) { Negate = not };

    public static NftTerm Deny(DenyAction action) =>
        action == DenyAction.Drop ? Drop : new NftStatement.Reject(NftRejectWith.PortUnreachable);

    public static NftTerm Allow(AllowAction action) => action == AllowAction.Accept ? Accept : Return;
}
