using System.Globalization;

namespace Calico.Core.Net;

/// <summary>
/// An address with a prefix length, as in <c>10.65.1.0/26</c>. Host bits are kept as given
/// (an interface address is a <see cref="Cidr"/> too); <see cref="Network"/> clears them.
/// Ordered by family, address and then length.
/// </summary>
public readonly record struct Cidr : IComparable<Cidr>, ISpanFormattable
{
    /// <param name="address">Any address inside the network.</param>
    /// <param name="prefixLength">0 to 32 for IPv4, 0 to 128 for IPv6.</param>
    /// <exception cref="ArgumentOutOfRangeException">The length does not fit the family.</exception>
    public Cidr(IpAddr address, int prefixLength)
    {
        if (prefixLength < 0 || prefixLength > address.BitLength)
            throw new ArgumentOutOfRangeException(nameof(prefixLength));
        Address = address;
        PrefixLength = (byte)prefixLength;
    }

    public IpAddr Address { get; }
    public byte PrefixLength { get; }

    public IpVersion Version => Address.Version;
    public bool IsV4 => Address.IsV4;

    /// <summary>True for a /32 or /128.</summary>
    public bool IsHost => PrefixLength == Address.BitLength;

    /// <summary>The same network with the host bits cleared.</summary>
    public Cidr Network => new(First, PrefixLength);

    /// <summary>True when no bit is set behind the prefix.</summary>
    public bool IsMasked => First == Address;

    public IpAddr First
    {
        get
        {
            var (high, low) = HostBits;
            return IpAddr.From(Address.High & ~high, Address.Low & ~low, Version);
        }
    }

    public IpAddr Last
    {
        get
        {
            var (high, low) = HostBits;
            return IpAddr.From(Address.High | high, Address.Low | low, Version);
        }
    }

    // Those behind the prefix, in both halves of an address.
    private (ulong High, ulong Low) HostBits => IsV4 ? (0, uint.MaxValue & ~Leading(32 + PrefixLength)) : (~Leading(PrefixLength), ~Leading(PrefixLength - 64));

    // So many ones at the upper end of 64 bits; none for less than one, all for more.
    private static ulong Leading(int bits) => bits <= 0 ? 0 : bits >= 64 ? ulong.MaxValue : ulong.MaxValue << (64 - bits);

    /// <summary>How many addresses the network has; ::/0 saturates at the largest value.</summary>
    public UInt128 Size
    {
        get
        {
            var hostBits = Address.BitLength - PrefixLength;
            return hostBits == 128 ? UInt128.MaxValue : UInt128.One << hostBits;
        }
    }

    public bool Contains(IpAddr address)
    {
        if (address.Version != Version)
            return false;
        var (high, low) = HostBits;
        return (((address.High ^ Address.High) & ~high) | ((address.Low ^ Address.Low) & ~low)) == 0;
    }

    public bool Contains(Cidr other) => other.PrefixLength >= PrefixLength && Contains(other.Address);
    public bool Overlaps(Cidr other) => Contains(other) || other.Contains(this);

    /// <summary>The position of an address in the network, counted from its first address.</summary>
    public UInt128 OrdinalOf(IpAddr address) => address.Bits - First.Bits;

    /// <summary>The host route of an address: a /32 or /128.</summary>
    public static Cidr Host(IpAddr address) => new(address, address.BitLength);

    /// <summary>Reads <c>address/length</c>; a bare address is not a CIDR.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out Cidr cidr)
    {
        cidr = default;
        var slash = text.IndexOf('/');
        if (slash < 0 || !IpAddr.TryParse(text[..slash], out var address))
            return false;
        var digits = text[(slash + 1)..];
        if (digits.Length is 0 or > 3 || (digits.Length > 1 && digits[0] == '0')
            || !byte.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            || length > address.BitLength)
            return false;
        cidr = new Cidr(address, length);
        return true;
    }

    /// <summary>Reads <c>address/length</c>, or a bare address as its host route.</summary>
    public static bool TryParseOrHost(ReadOnlySpan<char> text, out Cidr cidr)
    {
        if (TryParse(text, out cidr))
            return true;
        if (!IpAddr.TryParse(text, out var address))
            return false;
        cidr = Host(address);
        return true;
    }

    public static Cidr Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var c) ? c : throw new FormatException($"'{text}' is not a CIDR");

    public int CompareTo(Cidr other)
    {
        var byAddress = Address.CompareTo(other.Address);
        return byAddress != 0 ? byAddress : PrefixLength.CompareTo(other.PrefixLength);
    }

    public static bool operator <(Cidr a, Cidr b) => a.CompareTo(b) < 0;
    public static bool operator >(Cidr a, Cidr b) => a.CompareTo(b) > 0;
    public static bool operator <=(Cidr a, Cidr b) => a.CompareTo(b) <= 0;
    public static bool operator >=(Cidr a, Cidr b) => a.CompareTo(b) >= 0;

    public override string ToString() => $"{Address}/{PrefixLength}";
    string IFormattable.ToString(string? format, IFormatProvider? formatProvider) => ToString();

    public bool TryFormat(Span<char> destination, out int charsWritten, ReadOnlySpan<char> format,
        IFormatProvider? provider) => destination.TryWrite($"{Address}/{PrefixLength}", out charsWritten);
}
