using System.Buffers.Binary;
using System.Text;
using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>
/// One member of a set, in 24 bytes and without an object: an address, network or interface name, and a protocol and
/// port. Which of these count is said by the set's key (<see cref="NftSet.Key"/>). A set with 100,000 members is
/// an array or hash table of these.
/// <code>
///   high, low   address in host order, or the interface name's 16 bytes
///   extra       0..15 port | 16..23 protocol | 24..31 prefix length | 32..33 kind (1 IPv4, 2 IPv6, 3 interface)
/// </code>
/// </summary>
public readonly struct NftElement : IEquatable<NftElement>, IComparable<NftElement>
{
    private const ulong KindV4 = 1UL << 32;
    private const ulong KindV6 = 2UL << 32;
    private const ulong KindInterface = 3UL << 32;

    private readonly ulong _high;
    private readonly ulong _low;
    private readonly ulong _extra;

    private NftElement(ulong high, ulong low, ulong extra)
    {
        _high = high;
        _low = low;
        _extra = extra;
    }

    private ulong Kind => _extra & (3UL << 32);

    public ushort Port => (ushort)_extra;
    public byte Protocol => (byte)(_extra >> 16);

    /// <summary>The member's address; for a network its first one.</summary>
    public IpAddr Address => Kind == KindV4 ? IpAddr.FromV4((uint)_low) : IpAddr.FromV6(_high, _low);

    public Cidr Network => new(Address, (int)(byte)(_extra >> 24));

    public string InterfaceName
    {
        get
        {
            Span<byte> bytes = stackalloc byte[16];
            BinaryPrimitives.WriteUInt64BigEndian(bytes, _high);
            BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], _low);
            var zero = bytes.IndexOf((byte)0);
            return Encoding.UTF8.GetString(zero < 0 ? bytes : bytes[..zero]);
        }
    }

    /// <summary>A network (for interval sets), with its host bits cleared.</summary>
    public static NftElement Of(Cidr network) => Make(network.First, network.PrefixLength, 0, 0);

    /// <summary>A single address.</summary>
    public static NftElement Of(IpAddr address) => Make(address, address.BitLength, 0, 0);

    /// <summary>An address with a protocol and port, as in named-port and service sets.</summary>
    public static NftElement Of(IpAddr address, byte protocol, ushort port) =>
        Make(address, address.BitLength, protocol, port);

    /// <summary>A port by itself.</summary>
    public static NftElement OfPort(ushort port) => new(0, 0, port);

    /// <summary>A protocol by itself, or with a port.</summary>
    public static NftElement OfProtocol(byte protocol, ushort port = 0) => new(0, 0, ((ulong)protocol << 16) | port);

    /// <exception cref="ArgumentException">The name is empty or longer than 15 bytes.</exception>
    public static NftElement OfInterface(ReadOnlySpan<char> name)
    {
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        if (name.IsEmpty || Encoding.UTF8.GetByteCount(name) > 15)
            throw new ArgumentException($"'{name}' is no interface name", nameof(name));
        Encoding.UTF8.GetBytes(name, bytes);
        return new NftElement(BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]), KindInterface);
    }

    public bool Equals(NftElement other) => _high == other._high && _low == other._low && _extra == other._extra;
    public override bool Equals(object? obj) => obj is NftElement other && Equals(other);
    public override int GetHashCode() => HashCode.Combine(_high, _low, _extra);

    /// <summary>
    /// By family and address, then prefix length (a network before those inside it), protocol and port.
    /// </summary>
    public int CompareTo(NftElement other)
    {
        var byKind = Kind.CompareTo(other.Kind);
        if (byKind != 0)
            return byKind;
        var byBits = _high != other._high ? _high.CompareTo(other._high) : _low.CompareTo(other._low);
        return byBits != 0 ? byBits : _extra.CompareTo(other._extra);
    }

    public static bool operator ==(NftElement a, NftElement b) => a.Equals(b);
    public static bool operator !=(NftElement a, NftElement b) => !a.Equals(b);
    public static bool operator <(NftElement a, NftElement b) => a.CompareTo(b) < 0;
    public static bool operator >(NftElement a, NftElement b) => a.CompareTo(b) > 0;
    public static bool operator <=(NftElement a, NftElement b) => a.CompareTo(b) <= 0;
    public static bool operator >=(NftElement a, NftElement b) => a.CompareTo(b) >= 0;

    /// <summary>
    /// What an element looks like without knowing its set; <see cref="NftText"/> renders it by the set's key.
    /// </summary>
    public override string ToString()
    {
        var text = Kind switch
        {
            0 => "",
            KindInterface => InterfaceName,
            _ => Network.IsHost ? Address.ToString() : Network.ToString(),
        };
        return (_extra & 0xffffff) == 0 ? text : $"{text},{Protocol}:{Port}";
    }

    private static NftElement Make(IpAddr address, int prefixLength, byte protocol, ushort port) =>
        new(address.High, address.Low,
            (address.IsV4 ? KindV4 : KindV6) | ((ulong)prefixLength << 24) | ((ulong)protocol << 16) | port);
}
