using System.Collections.Immutable;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;

namespace Calico.Core.Bgp.Session;

/// <summary>What a session can be told that Calico's BGPPeer has no field for: annotations of the BGPPeer, the same at both ends if it makes both.</summary>
/// <param name="Bfd">How the path is watched; null: not at all.</param>
/// <param name="Families">The families to exchange; None: that of the session's addresses.</param>
/// <param name="Role">What this node is to the peer (RFC 9234); null: no roles.</param>
public sealed record PeerAnnotations(BfdSetting? Bfd, Families Families, BgpRole? Role)
{
    /// <summary><c>ipv4</c>, <c>ipv6</c> or both, by a comma.</summary>
    public const string FamiliesKey = "projectcalico.org/bgp-families";

    /// <summary>A role of RFC 9234.</summary>
    public const string RoleKey = "projectcalico.org/bgp-role";

    private const string ExpectedFamilies = "ipv4, ipv6, or ipv4,ipv6";

    /// <param name="annotations">Those of the BGPPeer. What cannot be read counts as not said.</param>
    /// <param name="bfdOfAll">How paths are watched about which they say nothing.</param>
    public static PeerAnnotations Of(StringMap annotations, BfdSetting? bfdOfAll) => new(
        BfdSetting.Of(annotations, bfdOfAll),
        annotations.GetOrNull(FamiliesKey) is { } families && TryParseFamilies(families, out var set) ? set : Families.None,
        annotations.GetOrNull(RoleKey) is { } text && BgpRoles.TryParse(text, out var role) ? role : null);

    /// <summary>The values that cannot be read, with what is wrong.</summary>
    public static ImmutableArray<(string Value, string Problem)> Problems(StringMap annotations)
    {
        var problems = ImmutableArray.CreateBuilder<(string, string)>();
        if (annotations.GetOrNull(BfdSetting.Annotation) is { } bfd && BfdSetting.Problem(bfd) is { } problem)
            problems.Add((bfd, problem));
        if (annotations.GetOrNull(FamiliesKey) is { } families && !TryParseFamilies(families, out _))
            problems.Add((families, $"{FamiliesKey} must be {ExpectedFamilies}"));
        if (annotations.GetOrNull(RoleKey) is { } role && !BgpRoles.TryParse(role, out _))
            problems.Add((role, $"{RoleKey} must be one of {string.Join(", ", Enum.GetValues<BgpRole>().Select(r => r.Text()))}"));
        return problems.ToImmutable();
    }

    private static bool TryParseFamilies(string text, out Families families)
    {
        families = Families.None;
        foreach (var name in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var family = name.ToUpperInvariant() switch
            {
                "IPV4" => Families.Ipv4Unicast,
                "IPV6" => Families.Ipv6Unicast,
                _ => Families.None,
            };
            if (family == Families.None)
                return false;
            families |= family;
        }
        return true;
    }
}
