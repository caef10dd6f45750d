using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>A community of RFC 1997, written <c>64512:100</c>.</summary>
public readonly record struct Community(uint Value)
{
    public static Community Of(ushort asn, ushort value) => new((uint)asn << 16 | value);
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Value >> 16}:{Value & 0xFFFF}");
}

/// <summary>A community of RFC 4360: eight octets whose first one or two are the type.</summary>
public readonly record struct ExtendedCommunity(ulong Value)
{
    public override string ToString() => Value.ToString("x16", CultureInfo.InvariantCulture);
}

/// <summary>A community of RFC 8092, written <c>64512:1:2</c>.</summary>
public readonly record struct LargeCommunity(uint GlobalAdministrator, uint LocalData1, uint LocalData2)
{
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{GlobalAdministrator}:{LocalData1}:{LocalData2}");
}

/// <summary>Who aggregated a route (RFC 4271 section 5.1.7).</summary>
public readonly record struct Aggregator(Asn Asn, RouterId Id);

/// <summary>A transitive attribute without a meaning here; it is passed on with the Partial bit (RFC 4271 section 5).</summary>
public readonly record struct UnknownAttribute(byte Type, ImmutableArray<byte> Value)
{
    public bool Equals(UnknownAttribute other) =>
        Type == other.Type && Value.AsSpan().SequenceEqual(other.Value.AsSpan());
    public override int GetHashCode() => HashCode.Combine(Type, Value.Length);
}

/// <summary>
/// An attribute set as an object, for policies, originated routes, tools and tests. The RIB holds the canonical octets
/// (<see cref="CanonicalAttributes"/>) instead; both forms say the same.
/// </summary>
public sealed record PathAttributes
{
    private const AttributeFlags OptionalTransitive = AttributeFlags.Optional | AttributeFlags.Transitive;

    /// <summary>What a route of our own starts with.</summary>
    public static PathAttributes Local { get; } = new();

    public Origin Origin { get; init; }
    public AsPath AsPath { get; init; } = AsPath.Empty;
    public uint? Med { get; init; }
    public uint? LocalPref { get; init; }
    public bool AtomicAggregate { get; init; }
    public Aggregator? Aggregator { get; init; }
    public ImmutableArray<Community> Communities { get; init; } = [];
    public RouterId? OriginatorId { get; init; }
    public ImmutableArray<RouterId> ClusterList { get; init; } = [];
    public ImmutableArray<ExtendedCommunity> ExtendedCommunities { get; init; } = [];
    public ImmutableArray<LargeCommunity> LargeCommunities { get; init; } = [];

    /// <summary>The AS from which the route went down or across (RFC 9234).</summary>
    public Asn? OnlyToCustomer { get; init; }

    /// <summary>In ascending order of type.</summary>
    public ImmutableArray<UnknownAttribute> Unknown { get; init; } = [];

    /// <summary>Reads a canonical set.</summary>
    public static PathAttributes Decode(ReadOnlySpan<byte> canonical)
    {
        var set = new PathAttributes();
        var r = new AttributeReader(canonical);
        while (r.TryRead(out _, out var type, out var value))
            set = set.With(type, value);
        return set;
    }

    /// <summary>The canonical octets.</summary>
    public byte[] Encode()
    {
        var w = new WireWriter(new byte[EncodedBound()]);
        CanonicalAttributes.Write(ref w, AttributeFlags.Transitive, AttributeType.Origin, [(byte)Origin]);
        CanonicalAttributes.Write(ref w, AttributeFlags.Transitive, AttributeType.AsPath, AsPath.Octets);
        if (Med is { } med)
            CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Optional, AttributeType.MultiExitDisc, med);
        if (LocalPref is { } localPref)
            CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Transitive, AttributeType.LocalPref, localPref);
        if (AtomicAggregate)
            CanonicalAttributes.WriteHead(ref w, AttributeFlags.Transitive, AttributeType.AtomicAggregate, 0);
        if (Aggregator is { } aggregator)
        {
            CanonicalAttributes.WriteHead(ref w, OptionalTransitive, AttributeType.Aggregator, 8);
            w.WriteUInt32(aggregator.Asn.Value);
            w.WriteUInt32(aggregator.Id.Value);
        }
        if (!Communities.IsEmpty)
        {
            CanonicalAttributes.WriteHead(ref w, OptionalTransitive, AttributeType.Communities, Communities.Length * 4);
            foreach (var c in Communities)
                w.WriteUInt32(c.Value);
        }
        if (OriginatorId is { } originator)
            CanonicalAttributes.WriteUInt32(ref w, AttributeFlags.Optional, AttributeType.OriginatorId,
                originator.Value);
        if (!ClusterList.IsEmpty)
        {
            CanonicalAttributes.WriteHead(ref w, AttributeFlags.Optional, AttributeType.ClusterList,
                ClusterList.Length * 4);
            foreach (var c in ClusterList)
                w.WriteUInt32(c.Value);
        }
        EncodeLate(ref w);
        return w.Written.ToArray();
    }

    public bool Equals(PathAttributes? other) => other is not null && Encode().AsSpan().SequenceEqual(other.Encode());

    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Encode());
        return hash.ToHashCode();
    }

    // Those above type 10, where unknown ones may stand between them.
    private void EncodeLate(ref WireWriter w)
    {
        var unknown = 0;
        WriteUnknownBelow(ref w, AttributeType.ExtendedCommunities, ref unknown);
        if (!ExtendedCommunities.IsEmpty)
        {
            CanonicalAttributes.WriteHead(ref w, OptionalTransitive, AttributeType.ExtendedCommunities,
                ExtendedCommunities.Length * 8);
            foreach (var c in ExtendedCommunities)
                w.WriteUInt64(c.Value);
        }
        WriteUnknownBelow(ref w, AttributeType.LargeCommunities, ref unknown);
        if (!LargeCommunities.IsEmpty)
        {
            CanonicalAttributes.WriteHead(ref w, OptionalTransitive, AttributeType.LargeCommunities,
                LargeCommunities.Length * 12);
            foreach (var c in LargeCommunities)
            {
                w.WriteUInt32(c.GlobalAdministrator);
                w.WriteUInt32(c.LocalData1);
                w.WriteUInt32(c.LocalData2);
            }
        }
        WriteUnknownBelow(ref w, AttributeType.OnlyToCustomer, ref unknown);
        if (OnlyToCustomer is { } onlyTo)
            CanonicalAttributes.WriteUInt32(ref w, OptionalTransitive, AttributeType.OnlyToCustomer, onlyTo.Value);
        WriteUnknownBelow(ref w, (AttributeType)byte.MaxValue, ref unknown);
        while (unknown < Unknown.Length)
            WriteUnknown(ref w, Unknown[unknown++]);
    }

    private void WriteUnknownBelow(ref WireWriter w, AttributeType limit, ref int next)
    {
        while (next < Unknown.Length && Unknown[next].Type < (byte)limit)
            WriteUnknown(ref w, Unknown[next++]);
    }

    private static void WriteUnknown(ref WireWriter w, UnknownAttribute unknown) =>
        CanonicalAttributes.Write(ref w, OptionalTransitive | AttributeFlags.Partial, (AttributeType)unknown.Type,
            unknown.Value.AsSpan());

    private int EncodedBound() => 64 + AsPath.Octets.Length + (4 * (Communities.Length + ClusterList.Length + 2))
        + (8 * ExtendedCommunities.Length) + (12 * LargeCommunities.Length) + 16 + Unknown.Sum(u => u.Value.Length + 4);

    private PathAttributes With(AttributeType type, ReadOnlySpan<byte> value) => type switch
    {
        AttributeType.Origin => this with { Origin = (Origin)value[0] },
        AttributeType.AsPath => this with { AsPath = AsPath.TryParse(value, true, out var path) ? path : AsPath.Empty },
        AttributeType.MultiExitDisc => this with { Med = BinaryPrimitives.ReadUInt32BigEndian(value) },
        AttributeType.LocalPref => this with { LocalPref = BinaryPrimitives.ReadUInt32BigEndian(value) },
        AttributeType.AtomicAggregate => this with { AtomicAggregate = true },
        AttributeType.Aggregator => this with
        {
            Aggregator = new(new Asn(BinaryPrimitives.ReadUInt32BigEndian(value)),
                new RouterId(BinaryPrimitives.ReadUInt32BigEndian(value[4..]))),
        },
        AttributeType.Communities =>
            this with
            {
                Communities = ReadAll(value, 4, static v =>
            new Community(BinaryPrimitives.ReadUInt32BigEndian(v)))
            },
        AttributeType.OriginatorId =>
            this with { OriginatorId = new RouterId(BinaryPrimitives.ReadUInt32BigEndian(value)) },
        AttributeType.ClusterList =>
            this with
            {
                ClusterList = ReadAll(value, 4, static v =>
            new RouterId(BinaryPrimitives.ReadUInt32BigEndian(v)))
            },
        AttributeType.ExtendedCommunities => this with
        {
            ExtendedCommunities = ReadAll(value, 8, static v =>
                new ExtendedCommunity(BinaryPrimitives.ReadUInt64BigEndian(v))),
        },
        AttributeType.LargeCommunities => this with
        {
            LargeCommunities = ReadAll(value, 12, static v =>
                new LargeCommunity(BinaryPrimitives.ReadUInt32BigEndian(v),
                BinaryPrimitives.ReadUInt32BigEndian(v[4..]), BinaryPrimitives.ReadUInt32BigEndian(v[8..]))),
        },
        AttributeType.OnlyToCustomer => this with { OnlyToCustomer = new Asn(BinaryPrimitives.ReadUInt32BigEndian(value)) },
        _ => this with { Unknown = Unknown.Add(new((byte)type, [.. value])) },
    };

    private delegate T ReadOne<T>(ReadOnlySpan<byte> value);

    private static ImmutableArray<T> ReadAll<T>(ReadOnlySpan<byte> value, int size, ReadOne<T> read)
    {
        var all = ImmutableArray.CreateBuilder<T>(value.Length / size);
        for (var i = 0; i + size <= value.Length; i += size)
            all.Add(read(value[i..]));
        return all.MoveToImmutable();
    }
}
