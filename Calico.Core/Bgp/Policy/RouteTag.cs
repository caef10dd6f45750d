using System.Buffers.Binary;
using System.Globalization;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Policy;

/// <summary>A community as configurations write it: <c>65001:10</c> (RFC 1997) or <c>65001:1:10</c> (RFC 8092).</summary>
public readonly record struct RouteTag
{
    private RouteTag(Community community) => Standard = community;

    private RouteTag(LargeCommunity community) => Large = community;

    /// <summary>Exactly one of these is there.</summary>
    public Community? Standard { get; }

    /// <inheritdoc cref="Standard"/>
    public LargeCommunity? Large { get; }

    public static bool TryParse(string? text, out RouteTag tag)
    {
        tag = default;
        var parts = (text ?? "").Split(':');
        var numbers = new uint[parts.Length];
        for (var i = 0; i < parts.Length; i++)
        {
            if (!uint.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]))
                return false;
        }
        if (numbers is [<= ushort.MaxValue and var high, <= ushort.MaxValue and var low])
            tag = new RouteTag(Community.Of((ushort)high, (ushort)low));
        else if (numbers is [var a, var b, var c])
            tag = new RouteTag(new LargeCommunity(a, b, c));
        else
            return false;
        return true;
    }

    /// <summary>Whether a canonical attribute set carries it.</summary>
    public bool IsOn(ReadOnlySpan<byte> canonical) => Standard is { } standard ? Has(canonical, standard) : Large is { } large && Has(canonical, large);

    /// <summary>The attributes with it; the same object if they have it already.</summary>
    public PathAttributes AddTo(PathAttributes attributes)
    {
        if (Standard is { } standard && !attributes.Communities.Contains(standard))
            return attributes with { Communities = attributes.Communities.Add(standard) };
        if (Large is { } large && !attributes.LargeCommunities.Contains(large))
            return attributes with { LargeCommunities = attributes.LargeCommunities.Add(large) };
        return attributes;
    }

    public override string ToString() => Standard?.ToString() ?? Large?.ToString() ?? "";

    private static bool Has(ReadOnlySpan<byte> canonical, Community community)
    {
        if (!CanonicalAttributes.TryFind(canonical, AttributeType.Communities, out var all))
            return false;
        for (; all.Length >= 4; all = all[4..])
        {
            if (BinaryPrimitives.ReadUInt32BigEndian(all) == community.Value)
                return true;
        }
        return false;
    }

    private static bool Has(ReadOnlySpan<byte> canonical, LargeCommunity community)
    {
        if (!CanonicalAttributes.TryFind(canonical, AttributeType.LargeCommunities, out var all))
            return false;
        for (; all.Length >= 12; all = all[12..])
        {
            if (BinaryPrimitives.ReadUInt32BigEndian(all) == community.GlobalAdministrator
                && BinaryPrimitives.ReadUInt32BigEndian(all[4..]) == community.LocalData1
                && BinaryPrimitives.ReadUInt32BigEndian(all[8..]) == community.LocalData2)
                return true;
        }
        return false;
    }
}
