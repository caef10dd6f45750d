using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;

namespace Calico.Core.Net;

/// <summary>The address family of an <see cref="IpAddr"/>; the value is the IP version as policies write it.</summary>
public enum IpVersion : byte
{
    V4 = 4,
    V6 = 6,
}

/// <summary>
/// An IPv4 or IPv6 address as a value: no allocation, ordered by family and then numerically.
/// An IPv4 address occupies the low 32 bits. Zones (<c>%eth0</c>) are not part of an address.
/// Two numbers of 64 bits and not one of 128: ReadyToRun compiles no method ahead that has such a number in a
/// parameter, field or variable, and addresses are nearly everywhere.
/// </summary>
public readonly record struct IpAddr : IComparable<IpAddr>, ISpanFormattable
{
    // Whoever chooses addresses must not be able to choose where they go in a table.
    private static readonly ulong HashSeed = (ulong)Random.Shared.NextInt64();

    private readonly ulong _high;
    private readonly ulong _low;
    private readonly IpVersion _version;

    private IpAddr(ulong high, ulong low, IpVersion version)
    {
        _high = high;
        _low = low;
        _version = version;
    }

    /// <summary>The family; the default value of the struct is IPv4 0.0.0.0.</summary>
    public IpVersion Version => _version == 0 ? IpVersion.V4 : _version;

    /// <summary>The address as a number, IPv4 in the low 32 bits; for arithmetic that is seldom done.</summary>
    public UInt128 Bits => new(_high, _low);

    /// <summary>The upper half of that number; 0 for IPv4.</summary>
    public ulong High => _high;

    /// <summary>The lower half of that number.</summary>
    public ulong Low => _low;

    public bool IsV4 => Version == IpVersion.V4;
    public bool IsV6 => Version == IpVersion.V6;

    /// <summary>Length of the address in bits: 32 or 128.</summary>
    public int BitLength => IsV4 ? 32 : 128;

    /// <summary>Length of the address in bytes: 4 or 16.</summary>
    public int ByteLength => IsV4 ? 4 : 16;

    public bool IsUnspecified => (_high | _low) == 0;
    public bool IsLoopback => IsV4 ? _low >> 24 == 127 : _high == 0 && _low == 1;
    public bool IsLinkLocal => IsV4 ? _low >> 16 == 0xA9FE : _high >> 54 == 0x3FA;
    public bool IsMulticast => IsV4 ? _low >> 28 == 0xE : _high >> 56 == 0xFF;

    public static IpAddr AnyV4 => FromV4(0);
    public static IpAddr AnyV6 => FromV6(0, 0);

    public static IpAddr FromV4(uint hostOrder) => new(0, hostOrder, IpVersion.V4);
    public static IpAddr FromV6(ulong high, ulong low) => new(high, low, IpVersion.V6);
    public static IpAddr FromV6(UInt128 hostOrder) => FromV6((ulong)(hostOrder >> 64), (ulong)hostOrder);
    public static IpAddr From(UInt128 hostOrder, IpVersion version) => new((ulong)(hostOrder >> 64), (ulong)hostOrder, version);

    /// <summary>The bits of both halves, as of one of that family.</summary>
    internal static IpAddr From(ulong high, ulong low, IpVersion version) => new(high, low, version);

    /// <summary>Reads 4 or 16 bytes in network order; other lengths are a caller's bug.</summary>
    public static IpAddr FromBytes(ReadOnlySpan<byte> networkOrder) => networkOrder.Length switch
    {
        4 => FromV4(BinaryPrimitives.ReadUInt32BigEndian(networkOrder)),
        16 => FromV6(BinaryPrimitives.ReadUInt64BigEndian(networkOrder), BinaryPrimitives.ReadUInt64BigEndian(networkOrder[8..])),
        _ => throw new ArgumentException("an address has 4 or 16 bytes", nameof(networkOrder)),
    };

    /// <summary>Writes 4 or 16 bytes in network order and returns how many.</summary>
    public int WriteTo(Span<byte> destination)
    {
        if (IsV4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)_low);
            return 4;
        }
        BinaryPrimitives.WriteUInt64BigEndian(destination, _high);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], _low);
        return 16;
    }

    public byte[] ToBytes()
    {
        var bytes = new byte[ByteLength];
        WriteTo(bytes);
        return bytes;
    }

    /// <summary>The address <paramref name="offset"/> further on, wrapping inside the family.</summary>
    public IpAddr Add(ulong offset)
    {
        if (IsV4)
            return FromV4((uint)_low + (uint)offset);
        var low = _low + offset;
        return FromV6(low < offset ? _high + 1 : _high, low);
    }

    /// <inheritdoc cref="Add(ulong)"/>
    public IpAddr Add(UInt128 offset) => IsV4 ? FromV4((uint)_low + (uint)offset) : FromV6(Bits + offset);

    public static bool TryParse(ReadOnlySpan<char> text, out IpAddr address)
    {
        address = default;
        if (text.Contains('%') || text.Contains('[') || !IPAddress.TryParse(text, out var parsed))
            return false;
        // .NET takes "1", "0x7f.1" and octal; only dotted quads without leading zeros are addresses here.
        if (parsed.AddressFamily == AddressFamily.InterNetwork && !IsDottedQuad(text))
            return false;
        address = From(parsed);
        return true;
    }

    public static IpAddr Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var a) ? a : throw new FormatException($"'{text}' is not an IP address");

    /// <summary>Converts from the library's type; an IPv4-mapped IPv6 address stays IPv6.</summary>
    public static IpAddr From(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (!address.TryWriteBytes(bytes, out var n))
            throw new ArgumentException("not an IP address", nameof(address));
        return FromBytes(bytes[..n]);
    }

    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        return new IPAddress(bytes[..WriteTo(bytes)]);
    }

    public int CompareTo(IpAddr other) =>
        Version != other.Version ? Version < other.Version ? -1 : 1
        : _high != other._high ? _high.CompareTo(other._high) : _low.CompareTo(other._low);

    public bool Equals(IpAddr other) => Version == other.Version && _low == other._low && _high == other._high;

    public override int GetHashCode()
    {
        var hash = (_low ^ HashSeed) * 0x9E3779B97F4A7C15UL;
        hash = (hash ^ (hash >> 32) ^ _high ^ (ulong)Version) * 0xD6E8FEB86659FD93UL;
        return (int)(hash >> 32);
    }

    public static bool operator <(IpAddr a, IpAddr b) => a.CompareTo(b) < 0;
    public static bool operator >(IpAddr a, IpAddr b) => a.CompareTo(b) > 0;
    public static bool operator <=(IpAddr a, IpAddr b) => a.CompareTo(b) <= 0;
    public static bool operator >=(IpAddr a, IpAddr b) => a.CompareTo(b) >= 0;

    public override string ToString()
    {
        Span<char> text = stackalloc char[65];
        return TryFormat(text, out var n, default, null) ? new string(text[..n]) : ToIPAddress().ToString();
    }

    string IFormattable.ToString(string? format, IFormatProvider? formatProvider) => ToString();

    public bool TryFormat(Span<char> destination, out int charsWritten, ReadOnlySpan<char> format,
        IFormatProvider? provider)
    {
        if (!IsV4)
            return ToIPAddress().TryFormat(destination, out charsWritten);
        var v = (uint)_low;
        return destination.TryWrite($"{v >> 24}.{(v >> 16) & 255}.{(v >> 8) & 255}.{v & 255}", out charsWritten);
    }

    private static bool IsDottedQuad(ReadOnlySpan<char> text)
    {
        int dots = 0, digits = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '.')
            {
                if (digits == 0)
                    return false;
                dots++;
                digits = 0;
            }
            else if (!char.IsAsciiDigit(text[i]) || ++digits > 3 || (digits == 2 && text[i - 1] == '0'))
            {
                return false;
            }
        }
        return dots == 3 && digits > 0;
    }
}
