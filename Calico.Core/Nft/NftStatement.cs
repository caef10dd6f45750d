using Calico.Core.Net;

namespace Calico.Core.Nft;

public enum NftVerdictKind : byte
{
    Accept,
    Drop,
    Return,

    /// <summary>Continues in another chain and comes back at its end.</summary>
    Jump,

    /// <summary>Continues in another chain and does not come back.</summary>
    Goto,
}

/// <summary>What happens to the packet next; <see cref="Chain"/> is set for jump and goto only.</summary>
public readonly record struct NftVerdict(NftVerdictKind Kind, string? Chain = null)
{
    public static NftVerdict Accept => new(NftVerdictKind.Accept);
    public static NftVerdict Drop => new(NftVerdictKind.Drop);
    public static NftVerdict Return => new(NftVerdictKind.Return);
    public static NftVerdict Jump(string chain) => new(NftVerdictKind.Jump, chain);
    public static NftVerdict Goto(string chain) => new(NftVerdictKind.Goto, chain);

    public override string ToString() => NftText.Render(this);
}

/// <summary>How a rejected packet is answered; the code of an ICMP answer follows the packet's family.</summary>
public enum NftRejectWith : byte
{
    /// <summary>RST; the rule must have matched tcp before.</summary>
    TcpReset,
    AdminProhibited,
    PortUnreachable,
}

/// <summary>Severity of a log line, as in syslog.</summary>
public enum NftLogLevel : byte
{
    Emergency = 0,
    Alert = 1,
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

/// <summary>Something that a rule does.</summary>
public abstract record NftStatement : NftTerm
{
    private protected NftStatement() { }

    /// <summary>Ends the rule with a verdict.</summary>
    public sealed record Verdict(NftVerdict Value) : NftStatement;

    /// <summary>Answers the sender and drops.</summary>
    public sealed record Reject(NftRejectWith With) : NftStatement;

    /// <summary>Looks the field up in a verdict map; without an entry the rule ends and the next one follows.</summary>
    public sealed record VerdictMap(NftField Field, string Map) : NftStatement;

    /// <summary><c>mark = mark &amp; ~Mask | Value</c>; bits of the value outside the mask are not allowed.</summary>
    public sealed record SetMark : NftStatement
    {
        /// <exception cref="ArgumentException">The value has bits outside the mask.</exception>
        public SetMark(NftMarkOf of, uint value, uint mask = uint.MaxValue)
        {
            if ((value & ~mask) != 0)
                throw new ArgumentException($"mark 0x{value:x} has bits outside its mask 0x{mask:x}", nameof(value));
            Of = of;
            Value = value;
            Mask = mask;
        }

        public NftMarkOf Of { get; }
        public uint Value { get; }
        public uint Mask { get; }
    }

    /// <summary>
    /// Logs to the kernel's log at a level, or to the netlink group (NFLOG) if there is one. The kernel takes
    /// <see cref="MaxPrefixLength"/> characters of prefix.
    /// </summary>
    public sealed record Log(string Prefix, NftLogLevel Level = NftLogLevel.Warning,
        ushort? Group = null) : NftStatement
    {
        public const int MaxPrefixLength = 127;
    }

    /// <summary>Counts packets and bytes that get here. The count is not part of the rule's identity.</summary>
    public sealed record Counter : NftStatement;

    /// <summary>Source NAT to the address of the out interface, from these ports if given.</summary>
    public sealed record Masquerade(NftPortRange? Ports = null, bool FullyRandom = false) : NftStatement;

    /// <summary>Source NAT.</summary>
    public sealed record Snat(IpAddr To, NftPortRange? Ports = null, bool FullyRandom = false) : NftStatement;

    /// <summary>Destination NAT.</summary>
    public sealed record Dnat(IpAddr To, NftPortRange? Ports = null) : NftStatement;

    /// <summary>Exempts the packet from connection tracking; raw priority (-300) or lower only.</summary>
    public sealed record NoTrack : NftStatement;

    /// <summary>Writes the DSCP field (0 to 63) of an IP packet.</summary>
    public sealed record SetDscp : NftStatement
    {
        /// <exception cref="ArgumentOutOfRangeException">DSCP has six bits.</exception>
        public SetDscp(IpVersion version, byte value)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, (byte)63);
            Version = version;
            Value = value;
        }

        public IpVersion Version { get; }
        public byte Value { get; }
    }
}
