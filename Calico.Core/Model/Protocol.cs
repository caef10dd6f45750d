using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Calico.Core.Model;

/// <summary>
/// An IP protocol as policies write it: a number from 0 to 255 or one of the names that Calico knows. A name and its
/// number mean the same packets but stay spelled as given.
/// </summary>
public readonly record struct Protocol
{
    private static readonly (string Name, byte Number)[] Known =
    [
        ("TCP", 6), ("UDP", 17), ("ICMP", 1), ("ICMPv6", 58), ("SCTP", 132), ("UDPLite", 136),
    ];

    private Protocol(byte number, string? name)
    {
        Number = number;
        Name = name;
    }

    /// <summary>The protocol number in the IP header.</summary>
    public byte Number { get; }

    /// <summary>The name it was written with, or null for a number.</summary>
    public string? Name { get; }

    [MemberNotNullWhen(true, nameof(Name))]
    public bool IsNamed => Name is not null;

    public static Protocol Tcp => new(6, "TCP");
    public static Protocol Udp => new(17, "UDP");
    public static Protocol Icmp => new(1, "ICMP");
    public static Protocol IcmpV6 => new(58, "ICMPv6");
    public static Protocol Sctp => new(132, "SCTP");
    public static Protocol UdpLite => new(136, "UDPLite");
    public static Protocol FromNumber(byte number) => new(number, null);

    /// <summary>Ports can be matched: TCP, UDP and SCTP.</summary>
    public bool SupportsPorts => Number is 6 or 17 or 132;

    /// <summary>Reads a number or, in any case, a name; the name is kept in Calico's spelling.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Protocol protocol)
    {
        protocol = default;
        if (byte.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            protocol = FromNumber(number);
            return true;
        }
        foreach (var (name, value) in Known)
        {
            if (!text.Equals(name, StringComparison.OrdinalIgnoreCase))
                continue;
            protocol = new Protocol(value, name);
            return true;
        }
        return false;
    }

    public static Protocol Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var p) ? p : throw new FormatException($"'{text}' is not a protocol: {Expected}");

    internal const string Expected = "use TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255";

    public override string ToString() => Name ?? Number.ToString(CultureInfo.InvariantCulture);
}
