using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// Which pools a pod or a tunnel may draw from (facts b.6): those that the request names, or else every enabled pool in
/// automatic mode whose selectors match; in both cases the pool must allow the use.
/// </summary>
public static class PoolChoice
{
    /// <summary>Calico's largest block: 4,096 addresses.</summary>
    private const int MaxBlockBits = 12;

    /// <param name="pools">Every pool, in order of name.</param>
    /// <param name="named">Names or CIDRs that the configuration or an annotation gives; empty for any.</param>
    /// <param name="nodeLabels">Labels of this node.</param>
    /// <param name="namespaceLabels">Labels of the pod's namespace.</param>
    /// <param name="error">A named pool that cannot be used, and why.</param>
    /// <param name="use">What the address is for, as a pool's allowedUses names it.</param>
    public static ImmutableArray<PoolRef> For(IEnumerable<IPPool> pools, IReadOnlyCollection<string> named,
        IReadOnlyDictionary<string, string> nodeLabels, IReadOnlyDictionary<string, string> namespaceLabels, out string? error,
        string use = IPPoolUse.Workload)
    {
        error = null;
        var all = pools.ToList();
        if (named.Count == 0)
        {
            return [.. all.Where(p => Serves(p, nodeLabels) && p.Spec.AssignmentMode != "Manual" && Allows(p, use)
                && Matches(p.Spec.NamespaceSelector, namespaceLabels))
                .Select(RefOf).OfType<PoolRef>()];
        }
        var chosen = ImmutableArray.CreateBuilder<PoolRef>();
        foreach (var name in named)
        {
            var pool = all.FirstOrDefault(p => p.Name == name || p.Spec.Cidr == name);
            error ??= pool is null ? $"pool '{name}' does not exist"
                : pool.Spec.Disabled ? $"pool '{name}' is disabled"
                : !Allows(pool, use) ? $"pool '{name}' does not allow {use.ToLowerInvariant()}s"
                : null;
            if (pool is not null && RefOf(pool) is { } reference)
                chosen.Add(reference);
        }
        return chosen.ToImmutable();
    }

    /// <summary>Whether a node with these labels may have blocks of the pool.</summary>
    public static bool Serves(IPPool pool, IReadOnlyDictionary<string, string> nodeLabels) =>
        !pool.Spec.Disabled && Matches(pool.Spec.NodeSelector, nodeLabels);

    /// <summary>Every pool, also those that give nothing to new pods.</summary>
    public static ImmutableArray<PoolRef> All(IEnumerable<IPPool> pools) => [.. pools.Select(RefOf).OfType<PoolRef>()];

    // Without a list a pool is for workloads and tunnels.
    private static bool Allows(IPPool pool, string use) =>
        pool.Spec.AllowedUses.Count == 0 ? use != IPPoolUse.LoadBalancer : pool.Spec.AllowedUses.Contains(use);

    private static bool Matches(string? selector, IReadOnlyDictionary<string, string> labels) =>
        string.IsNullOrEmpty(selector) || (Selector.TryParse(selector, out var parsed, out _) && parsed.Evaluate(labels));

    /// <summary>Null for one whose CIDR cannot be read, or cannot be cut into blocks of its size.</summary>
    public static PoolRef? RefOf(IPPool pool)
    {
        if (!Cidr.TryParse(pool.Spec.Cidr, out var cidr))
            return null;
        var size = pool.Spec.BlockSize != 0 ? pool.Spec.BlockSize
            : cidr.IsV4 ? IPPoolSpec.DefaultBlockSizeV4 : IPPoolSpec.DefaultBlockSizeV6;
        return size >= cidr.PrefixLength && size <= cidr.Address.BitLength && cidr.Address.BitLength - size <= MaxBlockBits ? new PoolRef(pool.Name, cidr, size) : null;
    }
}
