using System.Collections.Immutable;
using Calico.Core.Nft;

namespace Calico.Core.Policy.Render;

/// <summary>
/// The chains that find a host endpoint's chain by interface. As in Calico they are a shallow tree over the first
/// character in which names differ, not a verdict map, because the default is to carry on, not to drop:
///
///   cali-from-host-endpoint:    eth0: goto cali-fh-eth0 | wlan*: goto cali-from-host-endpoint-w | the "*" endpoint
/// </summary>
internal static class HostDispatch
{
    /// <summary>The root and child chains of one dispatch.</summary>
    /// <param name="root">Name of the root chain.</param>
    /// <param name="incoming">True to look at the in interface.</param>
    /// <param name="chainOf">The endpoint chain of an interface.</param>
    /// <param name="otherwise">Rules for interfaces that are not listed.</param>
    public static IEnumerable<RenderedChain> Render(string layer, string root, bool incoming,
        IEnumerable<string> interfaces, Func<string, string> chainOf, ImmutableArray<NftRule> otherwise)
    {
        var names = interfaces.Distinct().Order(StringComparer.Ordinal).ToList();
        var common = CommonPrefix(names);
        var rules = ImmutableArray.CreateBuilder<NftRule>();
        foreach (var branch in names.GroupBy(n => n[..Math.Min(n.Length, common.Length + 1)], StringComparer.Ordinal))
        {
            if (branch.Count() == 1)
            {
                rules.Add(Goto(branch.Single(), chainOf(branch.Single())));
                continue;
            }
            var child = $"{root}-{branch.Key[common.Length..]}";
            rules.Add(Goto(branch.Key + "*", child));
            yield return new RenderedChain(ChainNames.In(layer, child),
                [.. branch.Select(n => Goto(n, chainOf(n))), .. otherwise]);
        }
        yield return new RenderedChain(ChainNames.In(layer, root), [.. rules, .. otherwise]);

        NftRule Goto(string match, string chain) => new(StaticChains.Cause,
            incoming ? Terms.InInterface(match) : Terms.OutInterface(match), Terms.Counter,
            Terms.Goto(ChainNames.In(layer, chain)));
    }

    private static string CommonPrefix(List<string> names)
    {
        if (names.Count == 0)
            return "";
        // Sorted, so the first and the last differ the most.
        var length = names[0].AsSpan().CommonPrefixLength(names[^1]);
        return names[0][..length];
    }
}
