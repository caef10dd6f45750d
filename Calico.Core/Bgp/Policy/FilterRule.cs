using System.Buffers.Binary;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>
/// One rule of a BGPFilter, ready to be asked for each route. Every condition that is there must hold. Equal to
/// another that says the same.
/// </summary>
public sealed record FilterRule
{
    /// <summary>Refuses everything.</summary>
    public static FilterRule RejectAll { get; } = new() { Accepts = false };

    public required bool Accepts { get; init; }
    public PrefixMatch? Prefix { get; init; }

    /// <summary>The route was learned by BGP.</summary>
    public bool FromPeers { get; init; }

    /// <summary>A pattern with <c>*</c> and <c>?</c> for the interface that the route leaves by. Our own routes have none.</summary>
    public string? Interface { get; init; }

    /// <summary>The session is one of our own AS (true) or of another (false).</summary>
    public bool? IsInternal { get; init; }

    public RouteTag? Tag { get; init; }

    /// <summary>The AS path starts with these.</summary>
    public ValueList<Asn> PathPrefix { get; init; }

    public uint? Priority { get; init; }

    /// <summary>Made on a route that is accepted, in order.</summary>
    public ValueList<RouteEdit> Edits { get; init; }

    /// <summary>Costs no object.</summary>
    public bool Matches(in PolicyRoute route, AttributeTable attributes)
    {
        if (Prefix is { } prefix && !prefix.Matches(route.Prefix))
            return false;
        if (FromPeers && route.Source.IsLocal)
            return false;
        if (IsInternal is { } isInternal && (route.Target ?? route.Source).IsInternal != isInternal)
            return false;
        if (Priority is { } priority && RoutePriority.Of(route.AttributeSet, attributes) != priority)
            return false;
        if (Tag is { } tag && !tag.IsOn(attributes.Octets(route.AttributeSet)))
            return false;
        if (!PathPrefix.IsEmpty && !StartsWith(CanonicalAttributes.AsPathOf(attributes.Octets(route.AttributeSet)), PathPrefix))
            return false;
        return Interface is null || (attributes.Interface(route.AttributeSet) is { } name && IsLike(name, Interface));
    }

    /// <summary>The attribute set that the route has behind this rule; the one it had if nothing is changed.</summary>
    public int Decide(in PolicyRoute route, AttributeTable attributes)
    {
        if (!Accepts)
            return AttributeTable.None;
        return Edits.IsEmpty ? route.AttributeSet : Edited(route.AttributeSet, attributes);
    }

    private int Edited(int set, AttributeTable attributes)
    {
        var edited = attributes.Attributes(set);
        foreach (var edit in Edits.Items)
            edited = edit.Apply(edited);
        return attributes.Intern(edited, attributes.NextHop(set));
    }

    // What stands in a set has no order, so nothing starts with it.
    private static bool StartsWith(ReadOnlySpan<byte> path, ValueList<Asn> prefix)
    {
        var found = 0;
        while (!path.IsEmpty && found < prefix.Count)
        {
            path = AsPath.Next(path, out var type, out var numbers);
            if (type != SegmentType.Sequence)
                return false;
            for (; !numbers.IsEmpty && found < prefix.Count; numbers = numbers[4..])
            {
                if (BinaryPrimitives.ReadUInt32BigEndian(numbers) != prefix[found++].Value)
                    return false;
            }
        }
        return found == prefix.Count;
    }

    private static bool IsLike(ReadOnlySpan<char> name, ReadOnlySpan<char> pattern)
    {
        // Where to go on if the last star has to take one character more.
        var (at, of, retryAt, retryOf) = (0, 0, -1, -1);
        while (at < name.Length)
        {
            if (of < pattern.Length && pattern[of] == '*')
            {
                (retryAt, retryOf) = (at, ++of);
            }
            else if (of < pattern.Length && (pattern[of] == '?' || pattern[of] == name[at]))
            {
                at++;
                of++;
            }
            else if (retryAt >= 0)
            {
                (at, of) = (++retryAt, retryOf);
            }
            else
            {
                return false;
            }
        }
        return pattern[of..].TrimStart('*').IsEmpty;
    }
}
