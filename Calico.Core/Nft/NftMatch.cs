using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>One step of a rule: a condition that must hold, or something that is done. Steps run in order.</summary>
public abstract record NftTerm
{
    private protected NftTerm() { }
}

/// <summary>Which end of a packet: its source or its destination.</summary>
public enum NftSide : byte
{
    Source,
    Destination,
}

/// <summary>Which mark: the packet's own (meta) or that of its connection (ct).</summary>
public enum NftMarkOf : byte
{
    Packet,
    Connection,
}

/// <summary>What a set key or a verdict map is looked up by.</summary>
public enum NftField : byte
{
    SourceAddress,
    DestinationAddress,
    Protocol,
    SourcePort,
    DestinationPort,
    InInterface,
    OutInterface,
}

/// <summary>Connection states as bits, with the kernel's numbers (NF_CT_STATE_BIT).</summary>
[Flags]
public enum NftCtState : uint
{
    Invalid = 1,
    Established = 2,
    Related = 4,
    New = 8,
    Untracked = 64,
}

/// <summary>What the routing table says an address is (RTN_*).</summary>
public enum NftAddressType : byte
{
    Unicast = 1,
    Local = 2,
    Broadcast = 3,
    Multicast = 5,
    Blackhole = 6,
    Unreachable = 7,
}

/// <summary>Ports <see cref="First"/> to <see cref="Last"/>, both included.</summary>
public readonly record struct NftPortRange : IComparable<NftPortRange>
{
    /// <exception cref="ArgumentOutOfRangeException">The last port is before the first.</exception>
    public NftPortRange(ushort first, ushort last)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(last, first);
        First = first;
        Last = last;
    }

    public ushort First { get; }
    public ushort Last { get; }
    public bool IsSingle => First == Last;

    public static NftPortRange Of(ushort port) => new(port, port);

    public bool Contains(ushort port) => port >= First && port <= Last;

    public int CompareTo(NftPortRange other) =>
        First != other.First ? First.CompareTo(other.First) : Last.CompareTo(other.Last);

    public static bool operator <(NftPortRange a, NftPortRange b) => a.CompareTo(b) < 0;
    public static bool operator >(NftPortRange a, NftPortRange b) => a.CompareTo(b) > 0;
    public static bool operator <=(NftPortRange a, NftPortRange b) => a.CompareTo(b) <= 0;
    public static bool operator >=(NftPortRange a, NftPortRange b) => a.CompareTo(b) >= 0;

    public override string ToString() => IsSingle ? $"{First}" : $"{First}-{Last}";
}

/// <summary>
/// A condition. <see cref="Negate"/> turns it round. A packet that lacks what the condition looks at fulfils neither
/// form, because in the kernel such a load ends the rule: ports and types of later fragments, status and mark of a
/// packet without a connection. A missing interface (input on the output hook) is a name that equals none.
/// </summary>
public abstract record NftMatch : NftTerm
{
    private protected NftMatch() { }

    public bool Negate { get; init; }

    /// <summary>
    /// In or out interface by name; a trailing <c>*</c> (or iptables' <c>+</c>) matches every name with that beginning.
    /// </summary>
    public sealed record Interface : NftMatch
    {
        /// <exception cref="ArgumentException">The name is empty or longer than the kernel's 15 characters.</exception>
        public Interface(bool outgoing, string pattern)
        {
            ArgumentException.ThrowIfNullOrEmpty(pattern);
            Outgoing = outgoing;
            IsPrefix = pattern[^1] is '*' or '+';
            Name = IsPrefix ? pattern[..^1] : pattern;
            if (Name.Length > 15)
                throw new ArgumentException($"'{pattern}' is longer than an interface name", nameof(pattern));
        }

        public bool Outgoing { get; }
        public string Name { get; }
        public bool IsPrefix { get; }
    }

    /// <summary>The layer 4 protocol by its IANA number.</summary>
    public sealed record Protocol(byte Number) : NftMatch;

    /// <summary>Source or destination inside a network.</summary>
    public sealed record Address : NftMatch
    {
        public Address(NftSide side, Cidr network)
        {
            Side = side;
            Network = network.Network;
        }

        public NftSide Side { get; }
        public Cidr Network { get; }
    }

    /// <summary>
    /// Source or destination port in any of the ranges, which are merged and sorted. The rule must have matched a
    /// protocol that has ports before.
    /// </summary>
    public sealed record Port : NftMatch
    {
        /// <exception cref="ArgumentException">There is no range.</exception>
        public Port(NftSide side, params ReadOnlySpan<NftPortRange> ranges)
        {
            if (ranges.IsEmpty)
                throw new ArgumentException("a port match needs a port", nameof(ranges));
            Side = side;
            Ranges = Merge(ranges);
        }

        public Port(NftSide side, ushort port) : this(side, NftPortRange.Of(port)) { }

        public NftSide Side { get; }
        public ImmutableArray<NftPortRange> Ranges { get; }

        public bool Equals(Port? other) => other is not null && Side == other.Side && Negate == other.Negate
            && Ranges.AsSpan().SequenceEqual(other.Ranges.AsSpan());

        public override int GetHashCode() => HashCode.Combine(Side, Negate, Ranges.Length, Ranges[0]);

        // Overlaps would be refused by the kernel (EEXIST) when they become the elements of an anonymous interval set.
        private static ImmutableArray<NftPortRange> Merge(ReadOnlySpan<NftPortRange> ranges)
        {
            var sorted = ranges.ToArray();
            Array.Sort(sorted);
            var merged = ImmutableArray.CreateBuilder<NftPortRange>(sorted.Length);
            foreach (var range in sorted)
            {
                if (merged.Count > 0 && range.First <= merged[^1].Last + 1)
                    merged[^1] = new NftPortRange(merged[^1].First, Math.Max(merged[^1].Last, range.Last));
                else
                    merged.Add(range);
            }
            return merged.ToImmutable();
        }
    }

    /// <summary>The packet's fields, side by side, are a member of the set.</summary>
    public sealed record InSet : NftMatch
    {
        public InSet(string set, params ReadOnlySpan<NftField> fields)
        {
            if (fields.IsEmpty)
                throw new ArgumentException("a set lookup needs a field", nameof(fields));
            Set = set;
            Fields = [.. fields];
        }

        public string Set { get; }
        public ImmutableArray<NftField> Fields { get; }

        public bool Equals(InSet? other) => other is not null && Set == other.Set && Negate == other.Negate
            && Fields.AsSpan().SequenceEqual(other.Fields.AsSpan());

        public override int GetHashCode() => HashCode.Combine(Set, Negate, Fields.Length);
    }

    /// <summary>
    /// ICMP or ICMPv6 (by <see cref="Version"/>) of this type and, if given, code. Negated: any other ICMP.
    /// </summary>
    public sealed record Icmp(IpVersion Version, byte Type, byte? Code = null) : NftMatch;

    /// <summary>The connection is in one of these states; negated: in none of them.</summary>
    public sealed record CtState(NftCtState States) : NftMatch;

    /// <summary>
    /// The connection's destination was rewritten (by a service, a floating IP); negated: it was not.
    /// </summary>
    public sealed record CtDnat : NftMatch;

    /// <summary><c>mark &amp; Mask == Value</c>; negated: differs.</summary>
    public sealed record Mark(NftMarkOf Of, uint Value, uint Mask = uint.MaxValue) : NftMatch;

    /// <summary>
    /// Reverse path check: no route (or none by the interface that the packet came in by) leads back to the source,
    /// with the packet's mark taken into account if <see cref="WithMark"/>. Negated: there is one.
    /// </summary>
    public sealed record NoReversePath(bool WithMark = true) : NftMatch;

    /// <summary>
    /// The routing table's type of an address; limited to the addresses of the packet's out interface if
    /// <see cref="OnOutInterface"/>.
    /// </summary>
    public sealed record AddressType(NftSide Side, NftAddressType Type, bool OnOutInterface = false) : NftMatch;

    /// <summary>Of an inet table: the packet is of this IP version.</summary>
    public sealed record Family(IpVersion Version) : NftMatch;

    /// <summary>
    /// As long as packets come no faster than the rate; negated (nft's <c>over</c>): once they come faster.
    /// The token bucket is one for the rule and starts full.
    /// </summary>
    public sealed record Rate(ulong Packets, NftRateUnit Per, uint Burst = 5) : NftMatch;

    /// <summary>
    /// At most <see cref="Limit"/> tracked connections are known to this rule; negated (nft's <c>over</c>): more are.
    /// </summary>
    public sealed record Connections(uint Limit) : NftMatch;

    /// <summary>Of an arp table: request is 1, reply is 2.</summary>
    public sealed record ArpOperation(ushort Operation) : NftMatch;

    /// <summary>Of an arp table: the sender's IPv4 address.</summary>
    public sealed record ArpSender(IpAddr Sender) : NftMatch;
}

/// <summary>The period of a rate, in seconds.</summary>
public enum NftRateUnit : uint
{
    Second = 1,
    Minute = 60,
    Hour = 3600,
    Day = 86400,
}
