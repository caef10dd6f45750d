using System.Text.Json;

namespace Calico.Core.Ipam;

/// <summary>
/// The allocator's own settings, stored at <see cref="IpamKeys.Config"/>. Not the resource IPAMConfiguration, which with
/// etcd is another record that the allocator never reads.
/// </summary>
public sealed record IpamConfig
{
    public const string PersistenceEnabled = "Enabled";
    public const string PersistenceDisabled = "Disabled";

    /// <summary>What holds while nothing is stored.</summary>
    public static IpamConfig Default { get; } = new() { AutoAllocateBlocks = true, KubeVirtVMAddressPersistence = PersistenceEnabled };

    /// <summary>Hosts take no addresses from blocks of other hosts.</summary>
    public bool StrictAffinity { get; init; }

    /// <summary>Hosts claim blocks as they need them.</summary>
    public bool AutoAllocateBlocks { get; init; }

    /// <summary>0 leaves it to the allocator.</summary>
    public int MaxBlocksPerHost { get; init; }

    /// <summary>Whether a KubeVirt VM keeps its address; absent is Enabled.</summary>
    public string? KubeVirtVMAddressPersistence { get; init; }

    /// <summary>How long a released address rests before somebody gets it again.</summary>
    public int IPCooldownSeconds { get; init; }

    internal Dictionary<string, JsonElement>? Unknown { get; init; }

    public TimeSpan Cooldown => TimeSpan.FromSeconds(Math.Max(0, IPCooldownSeconds));

    /// <summary>Why these settings must not be stored, in Calico's words; null when they may.</summary>
    public string? Contradiction =>
        !StrictAffinity && !AutoAllocateBlocks ? "Cannot disable 'StrictAffinity' and 'AutoAllocateBlocks' at the same time"
        : MaxBlocksPerHost > 0 && !StrictAffinity ? "MaxBlocksPerHost requires StrictAffinity to be enabled"
        : null;
}
