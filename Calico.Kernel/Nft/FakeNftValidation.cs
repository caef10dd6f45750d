using Calico.Core.Nft;

namespace Calico.Kernel.Nft;

/// <summary>
/// What the kernel checks when a batch is complete: from every base chain, how deep jumps go, and whether what is
/// reached may be at its hook.
/// </summary>
internal static class FakeNftValidation
{
    // EMLINK.
    private const Errno TooManyLinks = (Errno)31;

    public static (Errno Errno, string? Why) Check(FakeTableContents contents)
    {
        var depths = new Dictionary<string, int>();
        foreach (var chain in contents.Chains.Values.Where(c => c.Chain.Base is not null))
        {
            if (Depth(contents, chain.Chain.Name, depths, 0) > NftEvaluator.MaxJumps)
                return (TooManyLinks, "chains jump deeper than 16 or in a loop");
            if (Misplaced(contents, chain.Chain, chain.Chain.Name, []) is { } why)
                return (Errno.EOPNOTSUPP, why);
        }
        return (Errno.None, null);
    }

    // Goto counts as jump here, as in the kernel's own check. A loop is as deep as it wants to be.
    private static int Depth(FakeTableContents t, string chain, Dictionary<string, int> depths, int above)
    {
        if (above > NftEvaluator.MaxJumps)
            return above;
        if (depths.TryGetValue(chain, out var known))
            return known;
        var depth = 0;
        foreach (var target in Targets(t, chain))
            depth = Math.Max(depth, 1 + Depth(t, target, depths, above + 1));
        depths[chain] = depth;
        return depth;
    }

    private static IEnumerable<string> Targets(FakeTableContents t, string chain)
    {
        foreach (var rule in t.Chains[chain].Rules)
        {
            foreach (var target in rule.ReferencedChains)
                yield return target;
            foreach (var map in rule.Terms.OfType<NftStatement.VerdictMap>())
            {
                foreach (var verdict in t.Sets[map.Map].Verdicts.Values)
                {
                    if (verdict.Chain is { } target)
                        yield return target;
                }
            }
        }
    }

    private static string? Misplaced(FakeTableContents t, NftChain root, string chain, HashSet<string> seen)
    {
        if (!seen.Add(chain))
            return null;
        var at = root.Base!.Value;
        foreach (var term in t.Chains[chain].Rules.SelectMany(r => r.Terms))
        {
            var fits = term switch
            {
                NftStatement.Masquerade => at is { Type: NftChainType.Nat, Hook: NftHook.Postrouting },
                NftStatement.Snat => at is { Type: NftChainType.Nat, Hook: NftHook.Postrouting or NftHook.Input },
                NftStatement.Dnat => at is { Type: NftChainType.Nat, Hook: NftHook.Prerouting or NftHook.Output },
                NftStatement.Reject => at.Hook is not NftHook.Postrouting,
                NftMatch.NoReversePath => at.Hook is NftHook.Prerouting or NftHook.Input or NftHook.Forward,
                _ => true,
            };
            if (!fits)
                return $"{NftText.Render(term)} in {chain}, reached from {at.Type} {at.Hook}";
        }
        return Targets(t, chain).Select(next => Misplaced(t, root, next, seen)).FirstOrDefault(why => why is not null);
    }
}
