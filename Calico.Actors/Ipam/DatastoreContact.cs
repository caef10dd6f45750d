namespace Calico.Actors.Ipam;

/// <summary>
/// What a node knows of its contact with the datastore and with other nodes, and what follows for promises. A datastore
/// may answer reads and refuse writes, so each counts for itself. Not thread-safe.
/// </summary>
internal sealed class DatastoreContact(LeaseOptions options)
{
    /// <summary>Reads, or writes: when the first of those began that none after it has made good, and what the last failed for.</summary>
    private sealed record Line(TimeSpan? InVainSince, string? Trouble);

    private static readonly Line Fine = new(null, null);

    private Line _reads = Fine;
    private Line _writes = Fine;
    private TimeSpan _heard;

    /// <summary>What the last read or write failed for; null since each has succeeded.</summary>
    public string? Trouble => _writes.Trouble ?? _reads.Trouble;

    /// <summary>The datastore answers and does not let this node write: nothing that is promised would ever be kept.</summary>
    public bool IsRefused { get; private set; }

    /// <summary>Another member of the mesh can be reached, so that nobody takes this node for gone.</summary>
    public bool IsSeenByOthers { get; set; }

    public void ReadBegins(TimeSpan now) => _reads = Begins(_reads, now);
    public void ReadSucceeded(TimeSpan now) => _reads = Succeeded(now);
    public void ReadFailed(string reason) => _reads = _reads with { Trouble = reason };
    public void WriteBegins(TimeSpan now) => _writes = Begins(_writes, now);
    public void WriteSucceeded(TimeSpan now) => (_writes, IsRefused) = (Succeeded(now), false);
    /// <param name="reason">Why.</param>
    /// <param name="isRefused">It was not allowed, and waiting does not help.</param>
    public void WriteFailed(string reason, bool isRefused = false) => (_writes, IsRefused) = (_writes with { Trouble = reason }, isRefused);

    /// <summary>What the last write failed for is of no interest any more.</summary>
    public void NothingToWrite() => (_writes, IsRefused) = (Fine, false);

    /// <summary>Nothing has become durable, or could be read, for so long that nobody should wait for it.</summary>
    public bool IsAway(TimeSpan now) => InVain(now) >= options.PromiseAfter;

    /// <summary>
    /// Whether the blocks are certain to be this node's still: nobody takes them from a node that another one sees, nor
    /// from one that has been silent for less than the others wait.
    /// </summary>
    public bool MayAllocate(TimeSpan now) => IsSeenByOthers || options.AloneLimit is not { } limit || now - _heard < limit;

    /// <summary>Why somebody waits for the datastore.</summary>
    public string Describe(TimeSpan now) => $"{Trouble ?? "a request is under way"}, in vain for {InVain(now)?.TotalSeconds ?? 0:0} s";

    private TimeSpan? InVain(TimeSpan now) => now - (_writes.InVainSince ?? _reads.InVainSince);

    private static Line Begins(Line line, TimeSpan now) => line.InVainSince is null ? line with { InVainSince = now } : line;

    private Line Succeeded(TimeSpan now)
    {
        _heard = now;
        return Fine;
    }
}
