using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Policy;

/// <summary>What a matching rule does; Log is the only one that does not end the policy.</summary>
public enum RuleAction : byte
{
    Allow = 0,
    Deny = 1,
    Log = 2,
    Pass = 3,
}

/// <summary>The side of the endpoint a rule list applies to.</summary>
public enum Direction : byte
{
    Ingress = 0,
    Egress = 1,
}

/// <summary>IANA numbers of the protocols that policies name.</summary>
public static class IpProtocol
{
    public const byte Icmp = 1;
    public const byte IpInIp = 4;
    public const byte Tcp = 6;
    public const byte Udp = 17;
    public const byte IcmpV6 = 58;
    public const byte Sctp = 132;
    public const byte UdpLite = 136;

    /// <summary>True for the protocols whose ports can be matched.</summary>
    public static bool HasPorts(byte protocol) => protocol is Tcp or Udp or Sctp;

    /// <summary>Reads a name in any case or a number from 1 to 255.</summary>
    public static bool TryParse(string text, out byte protocol)
    {
        protocol = text.ToLowerInvariant() switch
        {
            "icmp" => Icmp,
            "tcp" => Tcp,
            "udp" => Udp,
            "icmpv6" => IcmpV6,
            "sctp" => Sctp,
            "udplite" => UdpLite,
            _ => 0,
        };
        return protocol != 0
            || (byte.TryParse(text, System.Globalization.NumberStyles.None,
                System.Globalization.CultureInfo.InvariantCulture, out protocol) && protocol != 0);
    }

    /// <summary>The lower-case name, or the number where Calico has no name.</summary>
    public static string NameOf(byte protocol) => protocol switch
    {
        Icmp => "icmp",
        Tcp => "tcp",
        Udp => "udp",
        IcmpV6 => "icmpv6",
        Sctp => "sctp",
        UdpLite => "udplite",
        _ => protocol.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };
}

/// <summary>An inclusive range of ports; a single port has both ends equal.</summary>
public readonly record struct PortRange(ushort First, ushort Last)
{
    public bool Contains(int port) => port >= First && port <= Last;

    public override string ToString() => First == Last ? $"{First}" : $"{First}-{Last}";
}

/// <summary>An ICMP type, and a code when the rule names one.</summary>
public readonly record struct IcmpMatch(byte Type, byte? Code)
{
    public bool Matches(byte type, byte code) => type == Type && (Code is null || code == Code);
}

/// <summary>
/// What a rule asks of one end of a packet. Each list is a condition of its own and all must hold; an empty list asks
/// nothing. Inside a list any entry will do, except that <see cref="Ports"/> and <see cref="NamedPorts"/> are one
/// condition together, and that of <see cref="Sets"/> and <see cref="Services"/> every single one must contain the
/// address.
/// </summary>
public sealed record EntityMatch
{
    public static readonly EntityMatch Any = new();

    public ImmutableArray<Cidr> Nets { get; init; } = [];
    public ImmutableArray<Cidr> NotNets { get; init; } = [];
    public ImmutableArray<PortRange> Ports { get; init; } = [];
    public ImmutableArray<PortRange> NotPorts { get; init; } = [];

    /// <summary>Ids of address sets: a selector's endpoints, or the addresses of a service.</summary>
    public ImmutableArray<string> Sets { get; init; } = [];
    public ImmutableArray<string> NotSets { get; init; } = [];

    /// <summary>Ids of address-protocol-port sets that are alternatives to <see cref="Ports"/>.</summary>
    public ImmutableArray<string> NamedPorts { get; init; } = [];
    public ImmutableArray<string> NotNamedPorts { get; init; } = [];

    /// <summary>Ids of address-protocol-port sets of services, a condition beside the ports.</summary>
    public ImmutableArray<string> Services { get; init; } = [];

    /// <summary>Every set this end of the rule refers to, with repetitions.</summary>
    public IEnumerable<string> AllSets => Sets.Concat(NotSets).Concat(NamedPorts).Concat(NotNamedPorts).Concat(Services);

    public bool Equals(EntityMatch? other) => other is not null
        && Nets.AsSpan().SequenceEqual(other.Nets.AsSpan()) && NotNets.AsSpan().SequenceEqual(other.NotNets.AsSpan())
        && Ports.AsSpan().SequenceEqual(other.Ports.AsSpan())
        && NotPorts.AsSpan().SequenceEqual(other.NotPorts.AsSpan())
        && Sets.AsSpan().SequenceEqual(other.Sets.AsSpan()) && NotSets.AsSpan().SequenceEqual(other.NotSets.AsSpan())
        && NamedPorts.AsSpan().SequenceEqual(other.NamedPorts.AsSpan())
        && NotNamedPorts.AsSpan().SequenceEqual(other.NotNamedPorts.AsSpan())
        && Services.AsSpan().SequenceEqual(other.Services.AsSpan());

    public override int GetHashCode() =>
        HashCode.Combine(Nets.Length, NotNets.Length, Ports.Length, Sets.Length, Sets.FirstOrDefault());
}

/// <summary>
/// One rule of a compiled policy or profile: selectors have become set ids and names have become numbers, so that a
/// node needs no label and no parser to enforce it.
/// </summary>
public sealed record CompiledRule
{
    public required RuleAction Action { get; init; }

    /// <summary>Restricts the rule to one family; null applies to both.</summary>
    public IpVersion? IpVersion { get; init; }

    public byte? Protocol { get; init; }
    public byte? NotProtocol { get; init; }
    public IcmpMatch? Icmp { get; init; }
    public IcmpMatch? NotIcmp { get; init; }
    public EntityMatch Source { get; init; } = EntityMatch.Any;
    public EntityMatch Destination { get; init; } = EntityMatch.Any;

    /// <summary>The user's annotations on the rule as <c>key=value</c>, sorted by key; they become comments.</summary>
    public ImmutableArray<string> Annotations { get; init; } = [];

    /// <summary>Every set the rule refers to, with repetitions.</summary>
    public IEnumerable<string> AllSets => Source.AllSets.Concat(Destination.AllSets);

    public bool Equals(CompiledRule? other) => other is not null
        && Action == other.Action && IpVersion == other.IpVersion
        && Protocol == other.Protocol && NotProtocol == other.NotProtocol
        && Icmp == other.Icmp && NotIcmp == other.NotIcmp
        && Source.Equals(other.Source) && Destination.Equals(other.Destination)
        && Annotations.AsSpan().SequenceEqual(other.Annotations.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Action, Protocol, Source, Destination);

    /// <summary>
    /// The rule as it applies to one family, or null when it cannot apply there: another family was asked for, or a
    /// list of networks has none of this family (such a condition could never, or for a negated list would always,
    /// hold). A negated network that covers the whole family makes the rule match nothing, so it is left out as well.
    /// </summary>
    public CompiledRule? ForFamily(IpVersion family)
    {
        if (IpVersion is { } only && only != family)
            return null;
        if (!Filter(Source.Nets, family, false, out var srcNets) || !Filter(Source.NotNets, family, true, out var notSrc)
            || !Filter(Destination.Nets, family, false, out var dstNets)
            || !Filter(Destination.NotNets, family, true, out var notDst))
            return null;
        return this with
        {
            Source = Source with { Nets = srcNets, NotNets = notSrc },
            Destination = Destination with { Nets = dstNets, NotNets = notDst },
        };
    }

    private static bool Filter(ImmutableArray<Cidr> nets, IpVersion family, bool negated, out ImmutableArray<Cidr> kept)
    {
        kept = nets.All(n => n.Version == family) ? nets : [.. nets.Where(n => n.Version == family)];
        return nets.IsEmpty || (!kept.IsEmpty && !(negated && kept.Any(n => n.PrefixLength == 0)));
    }
}
