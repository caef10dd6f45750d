using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// A BGP identifier: four octets, written as an IPv4 address, compared as an unsigned number (RFC 6286). Zero is not one.
/// </summary>
public readonly record struct RouterId(uint Value) : IComparable<RouterId>
{
    /// <summary>Reads a dotted quad.</summary>
    public static RouterId Parse(ReadOnlySpan<char> text) => From(IpAddr.Parse(text));

    /// <summary>The identifier with the bits of an IPv4 address.</summary>
    public static RouterId From(IpAddr address) =>
        address.IsV4 ? new((uint)address.Low)
            : throw new ArgumentException("a BGP identifier is four octets", nameof(address));

    public int CompareTo(RouterId other) => Value.CompareTo(other.Value);
    public static bool operator <(RouterId a, RouterId b) => a.Value < b.Value;
    public static bool operator >(RouterId a, RouterId b) => a.Value > b.Value;
    public static bool operator <=(RouterId a, RouterId b) => a.Value <= b.Value;
    public static bool operator >=(RouterId a, RouterId b) => a.Value >= b.Value;

    public override string ToString() => IpAddr.FromV4(Value).ToString();
}
