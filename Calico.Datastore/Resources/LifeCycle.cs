using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Datastore.Resources;

/// <summary>The rules of a write that depend on what else is stored.</summary>
internal sealed class LifeCycle(IDatastore datastore)
{
    private const string BlockRoot = "/calico/ipam/v2/assignment/";

    /// <summary>
    /// Checks a write of <paramref name="resource"/> in place of <paramref name="previous"/> (null for a new one) and
    /// returns what must still hold when it is carried out.
    /// </summary>
    public async Task<ImmutableArray<Compare>> CheckWriteAsync(Resource resource, Resource? previous, CancellationToken cancellation)
    {
        switch (resource)
        {
            case ITieredPolicy policy:
                return [await TierOfAsync(resource.Key, policy.PolicySpec.TierOrDefault, cancellation)];
            case IPPool pool:
                await PoolAsync(pool, previous as IPPool, cancellation);
                return [];
            case WorkloadEndpoint endpoint:
                EndpointName(endpoint);
                return [];
            case KubeControllersConfiguration configuration:
                Controllers(configuration, isNew: previous is null);
                return [];
            default:
                return [];
        }
    }

    public async Task CheckDeleteAsync(Resource resource, CancellationToken cancellation)
    {
        if (resource is Profile { Name: Profile.DefaultAllow })
            throw ResourceException.NotSupported(resource.Key, "delete", "the profile is built in");
        if (resource is not Tier)
            return;
        if (Tier.BuiltIn.Any(t => t.Name == resource.Name))
            throw ResourceException.NotSupported(resource.Key, "delete", "every cluster has this tier");
        foreach (var kind in ResourceKind.All.Where(k => k.IsTieredPolicy))
        {
            var user = (await AllAsync(kind, cancellation)).FirstOrDefault(p => ((ITieredPolicy)p).PolicySpec.TierOrDefault == resource.Name);
            if (user is not null)
                throw ResourceException.NotSupported(resource.Key, "delete", $"cannot delete a non-empty tier: {user} is in it");
        }
    }

    /// <summary>
    /// Keys that go away together with a node: its endpoints, its own configurations and the peers that name it. Its
    /// addresses and blocks are IPAM's to release.
    /// </summary>
    public async Task<ImmutableArray<string>> DependentsAsync(Resource resource, CancellationToken cancellation)
    {
        if (resource is not NodeResource)
            return [];
        var name = resource.Name;
        var keys = ImmutableArray.CreateBuilder<string>();
        foreach (var endpoint in await AllAsync(ResourceKind.WorkloadEndpoint, cancellation))
            AddIf(((WorkloadEndpoint)endpoint).Spec.Node == name, endpoint);
        foreach (var endpoint in await AllAsync(ResourceKind.HostEndpoint, cancellation))
            AddIf(((HostEndpoint)endpoint).Spec.Node == name, endpoint);
        foreach (var peer in await AllAsync(ResourceKind.BGPPeer, cancellation))
            AddIf(((BGPPeer)peer).Spec.Node == name, peer);
        foreach (var kind in new[] { ResourceKind.FelixConfiguration, ResourceKind.BGPConfiguration })
        {
            var key = new ResourceKey(kind, null, "node." + name);
            if (await datastore.GetAsync(key.Path, cancellation) is not null)
                keys.Add(key.Path);
        }
        return keys.ToImmutable();

        void AddIf(bool belongs, Resource dependent)
        {
            if (belongs)
                keys.Add(dependent.Key.Path);
        }
    }

    private async Task<Compare> TierOfAsync(ResourceKey policy, string name, CancellationToken cancellation)
    {
        var key = new ResourceKey(ResourceKind.Tier, null, name);
        var tier = await datastore.GetAsync(key.Path, cancellation)
            ?? throw new ResourceException(ResourceFault.NotFound, key,
                $"resource does not exist: {key} with error: <nil>: {policy} needs its tier, create that first");
        return Compare.At(tier.Key, tier.ModRevision);
    }

    private static void EndpointName(WorkloadEndpoint endpoint)
    {
        var identifiers = WorkloadEndpointName.Of(endpoint.Spec);
        if (!identifiers.TryFormat(out var expected, out var problem))
            throw new InvalidResourceException(endpoint.ToString(), [new FieldError("spec", null, problem)]);
        if (expected != endpoint.Name)
            throw new InvalidResourceException(endpoint.ToString(),
                [new FieldError("metadata.name", endpoint.Name, $"the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec: expected name {expected}")]);
    }

    // Each template names the endpoints that it makes, and says which interfaces they are for.
    private static void Controllers(KubeControllersConfiguration configuration, bool isNew)
    {
        var errors = ImmutableArray.CreateBuilder<FieldError>();
        if (isNew && configuration.Name != "default")
            errors.Add(new FieldError("metadata.name", configuration.Name, "the only KubeControllersConfiguration is named default"));
        var names = new HashSet<string>(StringComparer.Ordinal);
        var templates = configuration.Spec.Controllers.Node?.HostEndpoint?.Templates ?? default;
        for (var i = 0; i < templates.Count; i++)
        {
            var at = $"spec.controllers.node.hostEndpoint.templates[{i}]";
            if (templates[i].GenerateName is not { } name)
                errors.Add(new FieldError($"{at}.generateName", null, "is required"));
            else if (!names.Add(name))
                errors.Add(new FieldError($"{at}.generateName", name, "must be unique: another template has it"));
            if (templates[i] is { InterfaceCIDRs.IsEmpty: true, InterfacePattern: null })
                errors.Add(new FieldError(at, null, "needs interfaceCIDRs or interfacePattern"));
        }
        if (errors.Count > 0)
            throw new InvalidResourceException(configuration.ToString(), errors.ToImmutable());
    }

    private async Task PoolAsync(IPPool pool, IPPool? previous, CancellationToken cancellation)
    {
        var errors = ImmutableArray.CreateBuilder<FieldError>();
        if (previous is not null)
        {
            if (previous.Spec.Cidr != pool.Spec.Cidr
                && !(Cidr.TryParse(previous.Spec.Cidr, out var before) && Cidr.TryParse(pool.Spec.Cidr, out var after) && before.Network == after.Network))
                errors.Add(new FieldError("spec.cidr", pool.Spec.Cidr, $"CIDR cannot be changed from {previous.Spec.Cidr}; make a new pool and move to it, or see what 'calicoctl ipam resize {pool.Name} --cidr={pool.Spec.Cidr} --dry-run' says"));
            if (((IPPool)ResourceDefaults.Apply(previous)).Spec.BlockSize != pool.Spec.BlockSize)
                errors.Add(new FieldError("spec.blockSize", $"{pool.Spec.BlockSize}", "Block size cannot be changed; make a new pool and move to it"));
            if (previous.Spec.AllowedUses.Contains(IPPoolUse.LoadBalancer) && pool.Spec.AllowedUses.Any(u => u != IPPoolUse.LoadBalancer))
                errors.Add(new FieldError("spec.allowedUses", string.Join(", ", pool.Spec.AllowedUses),
                    "cannot be changed from LoadBalancer to Workload or Tunnel"));
        }
        else
        {
            var cidr = Cidr.TryParseOrHost(pool.Spec.Cidr, out var parsed) ? parsed : default;
            foreach (var other in await AllAsync(ResourceKind.IPPool, cancellation))
            {
                if (other.Name != pool.Name && Cidr.TryParseOrHost(((IPPool)other).Spec.Cidr, out var taken) && taken.Overlaps(cidr))
                    errors.Add(new FieldError("IPPool.Spec.CIDR", pool.Spec.Cidr, $"IPPool({pool.Name}) CIDR overlaps with {other} CIDR {taken}: {PoolResize.Overlap(pool.Name, cidr, other.Name, taken)}"));
            }
            if (await BlockOfOtherSizeAsync(cidr, pool.Spec.BlockSize, cancellation) is { } block)
                errors.Add(new FieldError("IPPool.Spec.CIDR", pool.Spec.Cidr, $"IPPool blocksSize conflicts with existing allocation block {block}"));
        }
        if (errors.Count > 0)
            throw new InvalidResourceException(pool.ToString(), errors.ToImmutable());
    }

    private async Task<Cidr?> BlockOfOtherSizeAsync(Cidr pool, int blockSize, CancellationToken cancellation)
    {
        var prefix = $"{BlockRoot}{(pool.IsV4 ? "ipv4" : "ipv6")}/block/";
        await foreach (var stored in ScanAsync(prefix, cancellation))
        {
            var name = stored.Key[prefix.Length..];
            var dash = name.LastIndexOf('-');
            if (dash > 0 && Cidr.TryParse($"{name[..dash]}/{name[(dash + 1)..]}", out var block)
                && pool.Contains(block) && block.PrefixLength != blockSize)
                return block;
        }
        return null;
    }

    private async Task<List<Resource>> AllAsync(ResourceKind kind, CancellationToken cancellation)
    {
        var all = new List<Resource>();
        await foreach (var stored in ScanAsync(ResourceKey.Prefix(kind), cancellation))
        {
            if (!ResourceKey.TryParse(stored.Key, out var key))
                continue;
            try
            {
                all.Add(StoredResource.Read(key, stored.Value.Span, stored.ModRevision));
            }
            catch (InvalidResourceException)
            {
                // A value that nobody can read constrains nothing; lists report it.
            }
        }
        return all;
    }

    private async IAsyncEnumerable<KeyValue> ScanAsync(string prefix,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        string? next = null;
        var revision = 0L;
        do
        {
            var page = await datastore.ListAsync(prefix, next, revision, cancellation: cancellation);
            (next, revision) = (page.Next, page.Revision);
            foreach (var item in page.Items)
                yield return item;
        }
        while (next is not null);
    }
}
