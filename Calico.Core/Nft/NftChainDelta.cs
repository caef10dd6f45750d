using System.Collections.Immutable;

namespace Calico.Core.Nft;

/// <summary>A rule of a chain after an edit: one that stays, with its handle, or a new one.</summary>
internal readonly record struct NftPlacedRule(ulong Handle, NftRuleHash? Hash, bool IsNew);

/// <summary>One chain: its definition and rules on both sides.</summary>
internal sealed class NftChainDelta(string name)
{
    private ImmutableArray<NftPlacedRule> _planned = [];

    public string Name { get; } = name;
    public NftChain? Wanted { get; private set; }
    public IReadOnlyList<NftRule> Rules { get; private set; } = [];
    public NftChain? Known { get; private set; }
    public ImmutableArray<NftPlacedRule> KnownRules { get; private set; } = [];

    /// <summary>Changed since the last plan was made, so a commit of that plan does not make it clean.</summary>
    public bool Changed { get; set; }

    public bool IsGone => Wanted is null && Known is null;

    /// <summary>
    /// A chain cannot move to another hook or priority, or become a base chain; only its policy can change.
    /// </summary>
    public bool MustRecreate => Wanted is not null && Known is not null && !SameHook(Wanted.Base, Known.Base);

    public bool PolicyDiffers => Wanted?.Base is { } wanted && Known?.Base is { } known
        && wanted.Policy != known.Policy;

    public void Want(NftChain chain, IReadOnlyList<NftRule> rules)
    {
        Wanted = chain;
        Rules = rules;
        Changed = true;
    }

    public void Unwant()
    {
        Wanted = null;
        Rules = [];
        Changed = true;
    }

    public void Adopt(NftDumpedChain? dumped)
    {
        Known = dumped?.Chain;
        KnownRules = dumped is null ? [] : [.. dumped.Rules.Select(r => new NftPlacedRule(r.Handle, r.Hash, false))];
        Changed = true;
    }

    public bool References(IReadOnlySet<string> sets, IReadOnlySet<string> chains) =>
        Rules.Any(r => r.ReferencedSets.Any(sets.Contains) || r.ReferencedChains.Any(chains.Contains));

    /// <summary>
    /// Adds the operations that turn the kernel's rules into the wanted ones; <paramref name="afresh"/>: it has none.
    /// The rules of a chain that goes are left to its removal.
    /// </summary>
    public void PlanRules(List<NftOp> ops, bool afresh)
    {
        _planned = Wanted is null ? [] : NftEditScript.Plan(Name, afresh ? [] : KnownRules, Rules, ops);
        Changed = false;
    }

    /// <summary>The plan is in the kernel; takes the handles of new rules from the queue.</summary>
    public void Committed(NftChain? chain, ref ReadOnlySpan<ulong> newHandles)
    {
        Known = chain;
        var rules = ImmutableArray.CreateBuilder<NftPlacedRule>(_planned.Length);
        foreach (var rule in _planned)
        {
            if (!rule.IsNew)
            {
                rules.Add(rule);
                continue;
            }
            rules.Add(new NftPlacedRule(newHandles[0], rule.Hash, false));
            newHandles = newHandles[1..];
        }
        KnownRules = rules.MoveToImmutable();
        _planned = [];
    }

    private static bool SameHook(NftBaseHook? a, NftBaseHook? b) =>
        a is { } x && b is { } y ? x with { Policy = y.Policy } == y : a is null && b is null;
}

/// <summary>
/// The shortest list of rule operations that turns one list of rules into another. Rules are compared by hash: the
/// longest common subsequence stays, with its handles and counters; between two rules that stay, leavers are
/// replaced by newcomers as far as they go.
/// </summary>
internal static class NftEditScript
{
    public static ImmutableArray<NftPlacedRule> Plan(string chain, ImmutableArray<NftPlacedRule> known,
        IReadOnlyList<NftRule> wanted, List<NftOp> ops)
    {
        var keeps = Match(known, wanted);
        var placed = ImmutableArray.CreateBuilder<NftPlacedRule>(wanted.Count);
        var (k, w) = (0, 0);
        while (k < known.Length || w < wanted.Count)
        {
            // The next gap: leavers [k, nextK) and newcomers [w, nextW) before a rule that stays, or before the end.
            var nextW = w;
            while (nextW < wanted.Count && keeps[nextW] < 0)
                nextW++;
            var nextK = nextW < wanted.Count ? keeps[nextW] : known.Length;
            for (; k < nextK && w < nextW; k++, w++)
                ops.Add(new NftOp.ReplaceRule(chain, known[k].Handle, New(wanted[w], placed)));
            for (; k < nextK; k++)
                ops.Add(new NftOp.DeleteRule(chain, known[k].Handle));
            for (; w < nextW; w++)
            {
                var rule = New(wanted[w], placed);
                ops.Add(nextK < known.Length
                    ? new NftOp.InsertRule(chain, known[nextK].Handle, rule)
                    : new NftOp.AppendRule(chain, rule));
            }
            if (k < known.Length && w < wanted.Count)
            {
                placed.Add(known[k]);
                (k, w) = (k + 1, w + 1);
            }
        }
        return placed.MoveToImmutable();
    }

    private static NftRule New(NftRule rule, ImmutableArray<NftPlacedRule>.Builder placed)
    {
        placed.Add(new NftPlacedRule(0, rule.Hash, true));
        return rule;
    }

    /// <summary>For each wanted rule the known one that stays for it, or -1; ascending.</summary>
    private static int[] Match(ImmutableArray<NftPlacedRule> known, IReadOnlyList<NftRule> wanted)
    {
        var keeps = new int[wanted.Count];
        Array.Fill(keeps, -1);
        var head = 0;
        while (head < known.Length && head < wanted.Count && known[head].Hash == wanted[head].Hash)
        {
            keeps[head] = head;
            head++;
        }
        var tail = 0;
        while (tail < known.Length - head && tail < wanted.Count - head
            && known[^(tail + 1)].Hash == wanted[wanted.Count - 1 - tail].Hash)
        {
            keeps[wanted.Count - 1 - tail] = known.Length - 1 - tail;
            tail++;
        }
        MatchMiddle(known, wanted, head, tail, keeps);
        return keeps;
    }

    // Each wanted rule takes the first unused known one of its hash; the longest ascending run of these places stays
    // (patience sorting). For chains without repeated rules, which is what we render, that is the longest common
    // subsequence.
    private static void MatchMiddle(ImmutableArray<NftPlacedRule> known, IReadOnlyList<NftRule> wanted, int head,
        int tail, int[] keeps)
    {
        var (knownEnd, wantedEnd) = (known.Length - tail, wanted.Count - tail);
        if (head >= knownEnd || head >= wantedEnd)
            return;
        var places = new Dictionary<NftRuleHash, Queue<int>>();
        for (var i = head; i < knownEnd; i++)
        {
            if (known[i].Hash is not { } hash)
                continue;
            if (!places.TryGetValue(hash, out var queue))
                places[hash] = queue = new Queue<int>(1);
            queue.Enqueue(i);
        }
        var matches = new List<(int Wanted, int Known)>();
        for (var i = head; i < wantedEnd; i++)
        {
            if (places.TryGetValue(wanted[i].Hash, out var queue) && queue.TryDequeue(out var place))
                matches.Add((i, place));
        }
        var piles = new List<int>();
        var before = new int[matches.Count];
        for (var m = 0; m < matches.Count; m++)
        {
            var (low, high) = (0, piles.Count);
            while (low < high)
            {
                var middle = (low + high) / 2;
                if (matches[piles[middle]].Known < matches[m].Known)
                    low = middle + 1;
                else
                    high = middle;
            }
            before[m] = low > 0 ? piles[low - 1] : -1;
            if (low == piles.Count)
                piles.Add(m);
            else
                piles[low] = m;
        }
        for (var m = piles.Count > 0 ? piles[^1] : -1; m >= 0; m = before[m])
            keeps[matches[m].Wanted] = matches[m].Known;
    }
}
