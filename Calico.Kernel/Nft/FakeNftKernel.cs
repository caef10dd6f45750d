using Calico.Core.Nft;

namespace Calico.Kernel.Nft;

/// <summary>
/// The nf_tables of a namespace that exists in memory only: what outlives a <see cref="FakeNftTable"/> as the
/// kernel outlives a process.
/// </summary>
public sealed class FakeNftKernel
{
    private readonly Queue<Errno> _failures = [];

    internal Dictionary<NftTable, FakeTableContents> Tables { get; } = [];

    /// <summary>Counts committed transactions.</summary>
    public uint Generation { get; internal set; } = 1;

    /// <summary>Makes the next commit fail with an errno, as a kernel out of memory would.</summary>
    public void FailNextCommit(Errno errno) => _failures.Enqueue(errno);

    internal Errno TakeFailure() => _failures.TryDequeue(out var errno) ? errno : Errno.None;
}

/// <summary>A chain of the fake: its rules and their handles, side by side.</summary>
internal sealed class FakeChain(NftChain chain)
{
    public NftChain Chain { get; set; } = chain;
    public List<NftRule> Rules { get; } = [];
    public List<ulong> Handles { get; } = [];
}

/// <summary>A table of the fake, with how often each chain and set is used.</summary>
internal sealed class FakeTableContents
{
    public Dictionary<string, FakeChain> Chains { get; } = [];
    public Dictionary<string, NftSetContents> Sets { get; } = [];
    public Dictionary<string, int> ChainUses { get; } = [];
    public Dictionary<string, int> SetUses { get; } = [];
    public ulong LastHandle { get; set; }

    public void Use(NftRule rule, int by)
    {
        foreach (var chain in rule.ReferencedChains)
            Use(ChainUses, chain, by);
        foreach (var set in rule.ReferencedSets)
            Use(SetUses, set, by);
    }

    public void Use(NftVerdict verdict, int by)
    {
        if (verdict.Chain is { } chain)
            Use(ChainUses, chain, by);
    }

    private static void Use(Dictionary<string, int> uses, string name, int by) =>
        uses[name] = uses.GetValueOrDefault(name) + by;
}
