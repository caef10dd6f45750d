using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// A prefix as a table key: a small value without host bits, one type per family, so that one code path serves both
/// and nothing is allocated per route. <see cref="Cidr"/> is its readable form.
/// </summary>
public interface IPrefix<TSelf> : IEquatable<TSelf>
    where TSelf : unmanaged, IPrefix<TSelf>
{
    static abstract Families Family { get; }

    /// <summary>
    /// Reads one prefix of an NLRI field (RFC 4271 section 4.3): a length in bits and just enough octets for it. Bits
    /// behind the length are cleared. False: the length is impossible for the family or the octets are not there.
    /// </summary>
    static abstract bool TryRead(ref WireReader reader, out TSelf prefix);

    static abstract TSelf From(Cidr cidr);

    byte Length { get; }
    Cidr ToCidr();

    /// <summary>Octets that <see cref="Write"/> needs.</summary>
    int WireLength { get; }

    void Write(ref WireWriter writer);

    /// <summary>A well-spread 32-bit hash that is the same on every run.</summary>
    uint StableHash { get; }

    /// <summary>
    /// A destination that no unicast route may have (RFC 4271 section 6.3: ignore such a prefix): multicast, and what never
    /// leaves a machine or a link (RFC 6890): 0.0.0.0/8 and 127.0.0.0/8, the unspecified and the loopback address, fe80::/10.
    /// </summary>
    bool IsMartian { get; }
}

/// <summary>An IPv4 prefix: the address in the high 32 bits, the length in the low 8.</summary>
public readonly record struct Prefix4 : IPrefix<Prefix4>
{
    private readonly ulong _bits;

    private Prefix4(ulong bits) => _bits = bits;

    public static Families Family => Families.Ipv4Unicast;

    public byte Length => (byte)_bits;
    public int WireLength => 1 + ((Length + 7) >> 3);
    public bool IsMartian => (_bits >> 60 == 0xE && Length >= 4) || (_bits >> 56 is 0 or 127 && Length >= 8);

    public uint StableHash
    {
        get
        {
            // The address is in the upper half and ends in zeros: without the fold the lower bits of the result know nothing of it.
            var h = (_bits ^ (_bits >> 32)) * 0x9E3779B97F4A7C15UL;
            return (uint)(h >> 32) ^ (uint)h;
        }
    }

    public static Prefix4 From(Cidr cidr) => cidr.IsV4
        ? Of((uint)cidr.Address.Low, cidr.PrefixLength)
        : throw new ArgumentException("not an IPv4 prefix", nameof(cidr));

    public Cidr ToCidr() => new(IpAddr.FromV4((uint)(_bits >> 32)), Length);

    public static bool TryRead(ref WireReader reader, out Prefix4 prefix)
    {
        prefix = default;
        if (!reader.TryReadByte(out var length) || length > 32
            || !reader.TryReadBytes((length + 7) >> 3, out var octets))
            return false;
        uint address = 0;
        for (var i = 0; i < octets.Length; i++)
            address |= (uint)octets[i] << (24 - (8 * i));
        prefix = Of(address, length);
        return true;
    }

    public void Write(ref WireWriter writer)
    {
        writer.WriteByte(Length);
        for (var shift = 56; shift > 56 - Length; shift -= 8)
            writer.WriteByte((byte)(_bits >> shift));
    }

    public override string ToString() => ToCidr().ToString();

    private static Prefix4 Of(uint address, byte length)
    {
        var mask = length == 0 ? 0 : uint.MaxValue << (32 - length);
        return new((ulong)(address & mask) << 32 | length);
    }
}

/// <summary>An IPv6 prefix.</summary>
public readonly record struct Prefix6 : IPrefix<Prefix6>
{
    private readonly ulong _high;
    private readonly ulong _low;
    private readonly byte _length;

    private Prefix6(ulong high, ulong low, byte length)
    {
        _high = high;
        _low = low;
        _length = length;
    }

    public static Families Family => Families.Ipv6Unicast;

    public byte Length => _length;
    public int WireLength => 1 + ((_length + 7) >> 3);
    public bool IsMartian => (_high >> 56 == 0xFF && _length >= 8) || (_high >> 54 == 0x3FA && _length >= 10)
        || (_high == 0 && _low <= 1 && _length == 128);

    public uint StableHash
    {
        get
        {
            var h = (_high ^ _length) * 0x9E3779B97F4A7C15UL;
            h = (h ^ (h >> 29) ^ _low) * 0xBF58476D1CE4E5B9UL;
            return (uint)(h >> 32);
        }
    }

    public static Prefix6 From(Cidr cidr) => cidr.IsV4
        ? throw new ArgumentException("not an IPv6 prefix", nameof(cidr))
        : Of(cidr.Address.High, cidr.Address.Low, cidr.PrefixLength);

    public Cidr ToCidr() => new(IpAddr.FromV6(_high, _low), _length);

    public static bool TryRead(ref WireReader reader, out Prefix6 prefix)
    {
        prefix = default;
        if (!reader.TryReadByte(out var length) || length > 128
            || !reader.TryReadBytes((length + 7) >> 3, out var octets))
            return false;
        ulong high = 0, low = 0;
        for (var i = 0; i < octets.Length; i++)
        {
            if (i < 8)
                high |= (ulong)octets[i] << (56 - (8 * i));
            else
                low |= (ulong)octets[i] << (120 - (8 * i));
        }
        prefix = Of(high, low, length);
        return true;
    }

    public void Write(ref WireWriter writer)
    {
        writer.WriteByte(_length);
        for (var i = 0; i < (_length + 7) >> 3; i++)
            writer.WriteByte((byte)(i < 8 ? _high >> (56 - (8 * i)) : _low >> (120 - (8 * i))));
    }

    public override string ToString() => ToCidr().ToString();

    private static Prefix6 Of(ulong high, ulong low, byte length)
    {
        var highMask = length == 0 ? 0 : length >= 64 ? ulong.MaxValue : ulong.MaxValue << (64 - length);
        var lowMask = length <= 64 ? 0 : ulong.MaxValue << (128 - length);
        return new(high & highMask, low & lowMask, length);
    }
}

/// <summary>
/// Walks the prefixes of an NLRI field whose syntax was checked (<see cref="Nlri.IsWellFormed{T}"/>), each with its path
/// identifier in front where the peers agreed on that.
/// </summary>
public ref struct NlriReader<T>(ReadOnlySpan<byte> field, bool pathIds = false)
    where T : unmanaged, IPrefix<T>
{
    private WireReader _reader = new(field);

    public bool TryRead(out T prefix) => TryRead(out prefix, out _);

    /// <param name="prefix">The prefix.</param>
    /// <param name="pathId">0 where there are no identifiers.</param>
    public bool TryRead(out T prefix, out uint pathId)
    {
        prefix = default;
        pathId = 0;
        return !_reader.AtEnd && (!pathIds || _reader.TryReadUInt32(out pathId)) && T.TryRead(ref _reader, out prefix);
    }
}

public static class Nlri
{
    /// <summary>True when the field is a whole number of prefixes.</summary>
    public static bool IsWellFormed<T>(ReadOnlySpan<byte> field, bool pathIds = false)
        where T : unmanaged, IPrefix<T>
    {
        var r = new WireReader(field);
        while (!r.AtEnd)
        {
            if ((pathIds && !r.TryReadUInt32(out _)) || !T.TryRead(ref r, out _))
                return false;
        }
        return true;
    }

    /// <summary>The prefixes with their path identifiers, for tests and tools.</summary>
    public static IReadOnlyList<(Cidr Prefix, uint PathId)> ToPaths<T>(ReadOnlySpan<byte> field, bool pathIds)
        where T : unmanaged, IPrefix<T>
    {
        var list = new List<(Cidr, uint)>();
        var reader = new NlriReader<T>(field, pathIds);
        while (reader.TryRead(out var prefix, out var pathId))
            list.Add((prefix.ToCidr(), pathId));
        return list;
    }

    /// <summary>The same for a family that is known only now.</summary>
    /// <param name="family">Exactly one; of none, nothing can be in the field.</param>
    /// <param name="field">Checked already.</param>
    /// <param name="pathIds">The families whose prefixes have identifiers.</param>
    public static IReadOnlyList<(Cidr Prefix, uint PathId)> ToPaths(Families family, ReadOnlySpan<byte> field, Families pathIds) =>
        family == Families.Ipv6Unicast ? ToPaths<Prefix6>(field, pathIds.Has(family)) : ToPaths<Prefix4>(field, pathIds.Has(family));

    /// <summary>The prefixes as readable values, for tests and tools.</summary>
    public static IReadOnlyList<Cidr> ToList<T>(ReadOnlySpan<byte> field)
        where T : unmanaged, IPrefix<T>
    {
        var list = new List<Cidr>();
        var reader = new NlriReader<T>(field);
        while (reader.TryRead(out var prefix))
            list.Add(prefix.ToCidr());
        return list;
    }
}
