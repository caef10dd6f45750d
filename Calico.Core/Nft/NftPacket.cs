using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>
/// A packet as a rule sees it, with what the kernel knows around it: its connection, the answers of the routing table.
/// The defaults are a first packet that everything is ordinary about.
/// </summary>
public sealed record NftPacket
{
    public string? InInterface { get; init; }
    public string? OutInterface { get; init; }
    public IpAddr Source { get; init; }
    public IpAddr Destination { get; init; }
    public byte Protocol { get; init; }

    /// <summary>Null for protocols without ports and for later fragments.</summary>
    public ushort? SourcePort { get; init; }
    public ushort? DestinationPort { get; init; }

    public byte? IcmpType { get; init; }
    public byte IcmpCode { get; init; }

    public NftCtState CtState { get; init; } = NftCtState.New;
    public bool CtDnat { get; init; }
    public uint CtMark { get; init; }
    public uint Mark { get; init; }
    public byte Dscp { get; init; }

    /// <summary>A route leads back to the source by the interface that the packet came in by.</summary>
    public bool HasReversePath { get; init; } = true;

    public NftAddressType SourceType { get; init; } = NftAddressType.Unicast;
    public NftAddressType DestinationType { get; init; } = NftAddressType.Unicast;

    /// <summary>The source's type when only addresses of the out interface count as local.</summary>
    public NftAddressType SourceTypeOnOutInterface { get; init; } = NftAddressType.Unicast;
    public NftAddressType DestinationTypeOnOutInterface { get; init; } = NftAddressType.Unicast;

    /// <summary>Every rate limit still has tokens.</summary>
    public bool WithinRate { get; init; } = true;

    /// <summary>How many connections every connection limit has counted, this one included.</summary>
    public uint Connections { get; init; }

    /// <summary>
    /// Of an arp packet, whose sender and target are <see cref="Source"/> and <see cref="Destination"/>.
    /// </summary>
    public ushort ArpOperation { get; init; }

    /// <summary>There is a connection entry: the packet is neither invalid nor exempted.</summary>
    public bool HasConnection => (CtState & (NftCtState.Invalid | NftCtState.Untracked)) == 0;

    public static NftPacket Tcp(IpAddr source, IpAddr destination, ushort destinationPort, ushort sourcePort = 40000) =>
        WithPorts(6, source, destination, destinationPort, sourcePort);

    public static NftPacket Udp(IpAddr source, IpAddr destination, ushort destinationPort, ushort sourcePort = 40000) =>
        WithPorts(17, source, destination, destinationPort, sourcePort);

    /// <summary>A packet of ICMP or, between IPv6 addresses, ICMPv6.</summary>
    public static NftPacket Icmp(IpAddr source, IpAddr destination, byte type, byte code = 0) => new()
    {
        Protocol = source.IsV4 ? (byte)1 : (byte)58,
        Source = source,
        Destination = destination,
        IcmpType = type,
        IcmpCode = code,
    };

    public static NftPacket WithPorts(byte protocol, IpAddr source, IpAddr destination, ushort destinationPort,
        ushort sourcePort) => new()
        {
            Protocol = protocol,
            Source = source,
            Destination = destination,
            SourcePort = sourcePort,
            DestinationPort = destinationPort,
        };
}

/// <summary>How a walk through a hook ended.</summary>
public enum NftOutcome : byte
{
    Accept,
    Drop,

    /// <summary>Dropped, and the sender is told.</summary>
    Reject,
}

/// <summary>
/// A rule that let the packet through to its end, or with <see cref="Rule"/> null the policy of a base chain.
/// <see cref="Verdict"/> is null when the rule only did something.
/// </summary>
public sealed record NftStep(string Chain, int Index, NftRule? Rule, NftVerdict? Verdict)
{
    public override string ToString() => Rule is null
        ? $"{Chain} policy {Verdict}"
        : $"{Chain}[{Index}] {NftText.Render(Rule)}{(Rule.Cause.IsNone ? "" : $" ({Rule.Cause})")}";
}

/// <summary>
/// The end of a walk: the outcome, the packet with what rules changed on it (marks, DSCP, addresses), the address
/// translation that was set up, and the rules that had a part in it, in order.
/// </summary>
public sealed record NftWalk(NftOutcome Outcome, NftPacket Packet, NftStatement? Nat, ImmutableArray<NftStep> Trace,
    ImmutableArray<NftStatement.Log> Logs)
{
    public bool Accepted => Outcome == NftOutcome.Accept;

    /// <summary>The rule that decided; null when a policy did.</summary>
    public NftRule? DecidedBy => Trace.IsEmpty ? null : Trace[^1].Rule;

    public override string ToString() => $"{Outcome}\n  {string.Join("\n  ", Trace)}";
}
