using System.Collections.Immutable;

namespace Calico.Core.Nft;

/// <summary>Type of a component of a set's key, with the numbers that nft keeps in the kernel beside it.</summary>
public enum NftDataType : byte
{
    Ipv4Addr = 7,
    Ipv6Addr = 8,
    InetProto = 12,
    InetService = 13,
    IfName = 41,
}

/// <summary>
/// A set, or with <see cref="IsVerdictMap"/> a map from a key to a verdict, without its members.
/// <para>
/// Sets of plain addresses and of concatenations are hash tables: a change costs the same whatever the size. Only a
/// set that must hold networks is an <see cref="Interval"/> set, whose key is one address or port.
/// </para>
/// </summary>
public sealed record NftSet
{
    /// <exception cref="ArgumentException">
    /// No key, intervals over more than one component, or two components that need the element's 16 bytes.
    /// </exception>
    public NftSet(string name, params ReadOnlySpan<NftDataType> key)
    {
        if (key.IsEmpty)
            throw new ArgumentException("a set needs a key", nameof(key));
        var wide = 0;
        foreach (var type in key)
            wide += IsWide(type) ? 1 : 0;
        if (wide > 1)
            throw new ArgumentException("an element holds one address or interface name", nameof(key));
        Name = name;
        Key = [.. key];
    }

    public string Name { get; }
    public ImmutableArray<NftDataType> Key { get; }

    /// <summary>The members are networks; the kernel keeps them as ranges.</summary>
    public bool Interval
    {
        get;
        init => field = !value || (Key.Length == 1 && Key[0] is NftDataType.Ipv4Addr or NftDataType.Ipv6Addr)
            ? value
            : throw new ArgumentException("intervals are supported over one address only");
    }

    /// <summary>A map from the key to a verdict.</summary>
    public bool IsVerdictMap { get; init; }

    /// <summary>The most members that the kernel accepts; 0 for no limit.</summary>
    public uint MaxSize { get; init; }

    /// <summary>Why the set is there; kept as its comment and not part of its definition.</summary>
    public Cause Cause { get; init; }

    /// <summary>Same key, flags and limit: the kernel's set can be used as it is.</summary>
    public bool SameDefinition(NftSet other) => Name == other.Name && Interval == other.Interval
        && IsVerdictMap == other.IsVerdictMap && MaxSize == other.MaxSize
        && Key.AsSpan().SequenceEqual(other.Key.AsSpan());

    public bool Equals(NftSet? other) => other is not null && SameDefinition(other) && Cause == other.Cause;
    public override int GetHashCode() => HashCode.Combine(Name, Interval, IsVerdictMap, Key.Length);
    public override string ToString() => NftText.Render(this);

    /// <summary>A set of single addresses: a hash table.</summary>
    public static NftSet OfAddresses(string name, Net.IpVersion version) => new(name, AddressType(version));

    /// <summary>A set of networks.</summary>
    public static NftSet OfNetworks(string name, Net.IpVersion version) =>
        new(name, AddressType(version)) { Interval = true };

    /// <summary>A set of address, protocol and port: named ports and services.</summary>
    public static NftSet OfAddressPorts(string name, Net.IpVersion version) =>
        new(name, AddressType(version), NftDataType.InetProto, NftDataType.InetService);

    /// <summary>A map from interface names to verdicts: endpoint dispatch.</summary>
    public static NftSet OfInterfaceVerdicts(string name) => new(name, NftDataType.IfName) { IsVerdictMap = true };

    /// <summary>The component takes the 16 bytes that an element has for one such.</summary>
    public static bool IsWide(NftDataType type) =>
        type is NftDataType.Ipv4Addr or NftDataType.Ipv6Addr or NftDataType.IfName;

    private static NftDataType AddressType(Net.IpVersion version) =>
        version == Net.IpVersion.V4 ? NftDataType.Ipv4Addr : NftDataType.Ipv6Addr;
}

/// <summary>One entry of a verdict map.</summary>
public readonly record struct NftMapEntry(NftElement Key, NftVerdict Verdict);
