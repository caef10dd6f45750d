namespace Calico.Actors.Ipam;

/// <summary>When the lease answers a request that it can satisfy from the blocks that it holds.</summary>
public enum LeaseAnswer
{
    /// <summary>
    /// As soon as it is decided; the transaction is under way by then. Nobody else allocates in a block that is held, so the
    /// decision is only undone if the block is lost meanwhile, which undoes what is durable as well.
    /// </summary>
    Decided,

    /// <summary>When the datastore has it, as long as the datastore answers. For blocks in which others write unasked.</summary>
    Durable,
}

/// <summary>How a node's lease behaves.</summary>
public sealed record LeaseOptions
{
    /// <summary>How long a request may wait for a block or the datastore.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Requests beyond this many waiting are turned away at once.</summary>
    public int MaxWaiting { get; init; } = 1000;

    /// <summary>Blocks one host may hold while the configuration says nothing (Calico's own safeguard).</summary>
    public int MaxBlocks { get; init; } = 20;

    /// <summary>How often to look for blocks to give back, and for addresses that have rested.</summary>
    public TimeSpan SurplusEvery { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>When a request is answered (CALICO_IPAM_ANSWER).</summary>
    public LeaseAnswer Answer { get; init; } = LeaseAnswer.Decided;

    /// <summary>A datastore that takes longer than this for one request counts as away.</summary>
    public TimeSpan PromiseAfter { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How many answers may wait to become durable.</summary>
    public int MaxPromises { get; init; } = 10_000;

    /// <summary>
    /// How long a node that neither the datastore nor another node hears goes on giving out addresses. Below the time
    /// after which the others take it for gone; null where they never do.
    /// </summary>
    public TimeSpan? AloneLimit { get; init; }
}
