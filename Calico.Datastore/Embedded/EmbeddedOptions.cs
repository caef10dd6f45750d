namespace Calico.Datastore.Embedded;

/// <summary>How an <see cref="EmbeddedDatastore"/> keeps its file and its history.</summary>
public sealed record EmbeddedOptions
{
    /// <summary>The folder of the store; made if missing. It must be on a local disk: the file is memory-mapped.</summary>
    public required string Directory { get; init; }

    /// <summary>How long an overwritten value can still be listed and watched from. Default 10 min, Calico's period.</summary>
    public TimeSpan KeepHistoryFor { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>At most this many revisions of history are kept, however young. Default 100,000.</summary>
    public long KeepRevisions { get; init; } = 100_000;

    /// <summary>How often history is looked at for compaction. Default 1 min; zero is never.</summary>
    public TimeSpan CompactionInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The file's size at which writes are refused as <see cref="DatastoreFault.Exhausted"/>. Default 2 GiB.</summary>
    public long MaxBytes { get; init; } = 2L << 30;

    /// <summary>Transactions that one fsync may carry. Default 256.</summary>
    public int MaxGroup { get; init; } = 256;

    /// <summary>Calls that may wait for the writer before further ones wait for a place. Default 4,096.</summary>
    public int MaxQueued { get; init; } = 4_096;

    /// <summary>Connections for reads. Default 4.</summary>
    public int Readers { get; init; } = 4;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    internal string File => Path.Combine(Directory, "calico.db");

    internal void Validate()
    {
        List<string> problems = [];
        if (string.IsNullOrWhiteSpace(Directory))
            problems.Add("Directory is empty");
        if (KeepHistoryFor < TimeSpan.Zero)
            problems.Add("KeepHistoryFor is negative");
        if (KeepRevisions < 1)
            problems.Add("KeepRevisions is below 1");
        if (CompactionInterval < TimeSpan.Zero)
            problems.Add("CompactionInterval is negative");
        if (MaxBytes < 1 << 20)
            problems.Add("MaxBytes is below 1 MiB");
        if (MaxGroup < 1 || MaxQueued < 1 || Readers < 1)
            problems.Add("MaxGroup, MaxQueued and Readers are at least 1");
        if (problems.Count > 0)
            throw new DatastoreException(DatastoreFault.Invalid, $"embedded store: {string.Join("; ", problems)}");
    }
}
