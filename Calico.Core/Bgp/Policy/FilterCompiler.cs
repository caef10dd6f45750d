using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>BGPFilter resources to rules. What the validator refuses makes a rule that refuses everything.</summary>
public static class FilterCompiler
{
    /// <summary>The rules of filters one behind the other, for one direction and family.</summary>
    /// <param name="filters">In the order in which they are asked; null stands for one that does not exist.</param>
    /// <param name="isExport">Export rules, else those for import.</param>
    /// <param name="version">The family.</param>
    public static ValueList<FilterRule> Compile(IEnumerable<BGPFilter?> filters, bool isExport, IpVersion version) =>
        new([.. filters.SelectMany(f => f is null ? [FilterRule.RejectAll] : RulesOf(f.Spec, isExport, version).Select(Compile))]);

    private static IEnumerable<BGPFilterRule> RulesOf(BGPFilterSpec spec, bool isExport, IpVersion version) => (isExport, version) switch
    {
        (true, IpVersion.V4) => spec.ExportV4,
        (true, _) => spec.ExportV6,
        (false, IpVersion.V4) => spec.ImportV4,
        _ => spec.ImportV6,
    };

    private static FilterRule Compile(BGPFilterRule rule)
    {
        var isSound = TryPrefix(rule, out var prefix);
        isSound &= TryTag(rule, out var tag);
        isSound &= TryEdits(rule, out var edits);
        if (!isSound)
            return FilterRule.RejectAll;
        return new FilterRule
        {
            Accepts = rule.Action == "Accept",
            Prefix = prefix,
            FromPeers = rule.Source == "RemotePeers",
            Interface = string.IsNullOrEmpty(rule.Interface) ? null : rule.Interface,
            IsInternal = rule.PeerType switch { "iBGP" => true, "eBGP" => false, _ => null },
            Tag = tag,
            PathPrefix = rule.AsPathPrefix,
            Priority = (uint?)rule.Priority,
            Edits = edits,
        };
    }

    private static bool TryPrefix(BGPFilterRule rule, out PrefixMatch? match)
    {
        match = null;
        if (string.IsNullOrEmpty(rule.Cidr))
            return true;
        if (!Cidr.TryParse(rule.Cidr, out var cidr) || !Enum.TryParse<MatchOperator>(rule.MatchOperator, out var by))
            return false;
        var (min, max) = (rule.PrefixLength?.Min ?? 0, rule.PrefixLength?.Max ?? cidr.Address.BitLength);
        if (min < 0 || max > cidr.Address.BitLength)
            return false;
        match = new PrefixMatch(cidr.Network, by, (byte)min, (byte)max);
        return true;
    }

    private static bool TryTag(BGPFilterRule rule, out RouteTag? tag)
    {
        tag = null;
        if (rule.Communities is not { } communities)
            return true;
        if (communities.Values.Count != 1 || !RouteTag.TryParse(communities.Values[0], out var only))
            return false;
        tag = only;
        return true;
    }

    private static bool TryEdits(BGPFilterRule rule, out ValueList<RouteEdit> edits)
    {
        var all = rule.Operations.Select(EditOf).ToList();
        edits = new([.. all.OfType<RouteEdit>()]);
        return all.Count == edits.Count;
    }

    private static RouteEdit? EditOf(BGPFilterOperation operation)
    {
        if (RouteTag.TryParse(operation.AddCommunity?.Value, out var tag))
            return new RouteEdit.AddTag(tag);
        if (operation.PrependASPath is { } prepend)
            return new RouteEdit.Prepend(prepend.Prefix);
        return operation.SetPriority?.Value is > 0 and var priority ? new RouteEdit.SetPriority((uint)priority) : null;
    }
}
