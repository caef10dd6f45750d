namespace Calico.Core.Cni;

/// <summary>How much of a call is logged; each level includes those after it.</summary>
public enum CniLogLevel
{
    Debug,
    Info,
    Warning,
    Error,
}

/// <summary>The <c>log_*</c> keys of a network configuration.</summary>
public sealed record CniLogOptions
{
    public const long DefaultMaxSize = 100L << 20;
    public const int DefaultMaxAgeDays = 30;
    public const int DefaultMaxCount = 10;

    public CniLogLevel Level { get; init; } = CniLogLevel.Info;

    /// <summary>Null: only the node's own log.</summary>
    public string? Path { get; init; }

    /// <summary>Bytes after which the file is put aside; the key counts megabytes.</summary>
    public long MaxSize { get; init; } = DefaultMaxSize;

    /// <summary>Files put aside are kept this long; the key counts days.</summary>
    public TimeSpan MaxAge { get; init; } = TimeSpan.FromDays(DefaultMaxAgeDays);

    /// <summary>So many files put aside are kept.</summary>
    public int MaxCount { get; init; } = DefaultMaxCount;
}
