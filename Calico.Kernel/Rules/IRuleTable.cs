using Calico.Core.Net;

namespace Calico.Kernel.Rules;

/// <summary>
/// A routing policy rule: packets that match look their route up in <paramref name="Table"/>. Rules are asked in the
/// order of <paramref name="Priority"/>; the kernel's own are at 0 (local), 32766 (main) and 32767 (default).
/// </summary>
public sealed record RoutingRule(IpVersion Family, uint Priority, uint Table)
{
    /// <summary>Matches packets whose mark under <see cref="MarkMask"/> is this.</summary>
    public uint Mark { get; init; }

    /// <summary>0 matches any mark.</summary>
    public uint MarkMask { get; init; }

    /// <summary>Where the packet comes from; null for anywhere.</summary>
    public Cidr? Source { get; init; }

    /// <summary>Where the packet goes; null for anywhere.</summary>
    public Cidr? Destination { get; init; }

    /// <summary>The device the packet came in on; null for any.</summary>
    public string? InputLink { get; init; }

    /// <summary>The rule is for packets that do <em>not</em> match.</summary>
    public bool Not { get; init; }

    /// <summary>Ignores routes that the table has with a prefix of this length or shorter; null ignores none.</summary>
    public int? SuppressPrefixLength { get; init; }

    /// <summary>Who made the rule (rtm_protocol); it tells no two rules apart.</summary>
    public byte Protocol { get; init; }
}

/// <summary>The routing policy rules of one network namespace. Not thread-safe: one writer owns it.</summary>
public interface IRuleTable : IDisposable
{
    /// <summary>All rules that look a table up, in the order the kernel asks them; null means both families.</summary>
    IReadOnlyList<RoutingRule> Dump(IpVersion? family = null);

    /// <summary>Adds the rule; one that is already there is success.</summary>
    void Add(RoutingRule rule);

    /// <summary>Removes the rule; an absent one is success.</summary>
    void Delete(RoutingRule rule);

    /// <summary>Modifying requests that the kernel accepted since this table was opened.</summary>
    long WriteCount { get; }
}
