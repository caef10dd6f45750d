using System.Collections.Immutable;
using Calico.Core.Bgp.Services;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>The resources that decide about sessions, as the feed has told them. Not thread-safe.</summary>
internal sealed class PeeringResources(PeeringInputs start, ImmutableArray<Cidr> clusterRanges)
{
    public PeeringInputs Inputs { get; private set; } = start;

    /// <summary>Whether a session shall have a password.</summary>
    public bool NeedsSecrets => !SecretNames.IsEmpty;

    /// <summary>The Secrets with the passwords of sessions.</summary>
    public ImmutableSortedSet<string> SecretNames => [.. Inputs.Peers.Values.Select(p => p.Spec.Password).Append(Inputs.Global.NodeMeshPassword)
        .Select(p => p?.SecretKeyRef?.Name).OfType<string>().Where(n => n.Length > 0)];

    /// <summary>Whether a filter asks for the interface of a route.</summary>
    public bool NeedsInterfaces => Inputs.Filters.Values.Any(f => f.Spec.ExportV4.Concat<BGPFilterRule>(f.Spec.ImportV4).Concat(f.Spec.ExportV6).Concat(f.Spec.ImportV6)
        .Any(r => !string.IsNullOrEmpty(r.Interface)));

    /// <summary>Ranges of services that are translated on every node: routes into them are not for this kernel.</summary>
    public ImmutableArray<Cidr> ServiceRanges { get; private set; } = [];

    /// <summary>The ranges of services that this node announces as a whole.</summary>
    public ImmutableArray<Cidr> AdvertisedRanges => IsExcluded ? [] : Ranges.Aggregates;

    /// <summary>All ranges of services that may be announced; none by a node that is excluded.</summary>
    public ServiceRanges OfferedRanges => IsExcluded ? new ServiceRanges() : Ranges;

    private ServiceRanges Ranges => Core.Bgp.Services.ServiceRanges.Of(Inputs.Global, clusterRanges);

    private bool IsExcluded => Inputs.Nodes.TryGetValue(Inputs.Node, out var self) && self.Metadata.Labels.ContainsKey(Core.Bgp.Services.ServiceRanges.ExcludeLabel);

    /// <summary>Makes the ranges of now those of <see cref="ServiceRanges"/>; true with what differs, if anything does.</summary>
    public bool TryTakeServiceRanges(out ImmutableArray<Cidr> different)
    {
        var now = Ranges.All;
        different = [.. now.Except(ServiceRanges), .. ServiceRanges.Except(now)];
        ServiceRanges = now;
        return !different.IsEmpty;
    }

    /// <summary>Returns whether that changes anything.</summary>
    public bool SetBlocks(ImmutableSortedSet<Cidr> blocks)
    {
        var isNew = !blocks.SetEquals(Inputs.Blocks);
        Inputs = Inputs with { Blocks = blocks };
        return isNew;
    }

    /// <summary>Takes a change; returns whether sessions may look different by it.</summary>
    /// <exception cref="InvalidResourceException">It cannot be read; nothing has changed.</exception>
    public bool Take(ResourceKey key, FeedItem item)
    {
        if (key.Kind == ResourceKind.Node)
            Inputs = Inputs with { Nodes = Changed(Inputs.Nodes, key, item) };
        else if (key.Kind == ResourceKind.BGPConfiguration)
            Inputs = Inputs with { Configurations = Changed(Inputs.Configurations, key, item) };
        else if (key.Kind == ResourceKind.BGPPeer)
            Inputs = Inputs with { Peers = Changed(Inputs.Peers, key, item) };
        else if (key.Kind == ResourceKind.BGPFilter)
            Inputs = Inputs with { Filters = Changed(Inputs.Filters, key, item) };
        else if (key.Kind == ResourceKind.IPPool)
            Inputs = Inputs with { Pools = Changed(Inputs.Pools, key, item) };
        else if (key.Kind == ResourceKind.WorkloadEndpoint)
            return TakeWorkload(key, item);
        else
            return false;
        return true;
    }

    // Pods come and go all the time, and hardly ever one speaks BGP.
    private bool TakeWorkload(ResourceKey key, FeedItem item)
    {
        var name = $"{key.Namespace}/{key.Name}";
        var isKnown = Inputs.Workloads.ContainsKey(name);
        var workload = item.Value is { } value ? (WorkloadEndpoint)ResourceCodec.Decode(key.Kind, value.Span) : null;
        if (workload is null || workload.Spec.Node != Inputs.Node)
        {
            if (!isKnown)
                return false;
            Inputs = Inputs with { Workloads = Inputs.Workloads.Remove(name) };
        }
        else
        {
            Inputs = Inputs with { Workloads = Inputs.Workloads.SetItem(name, workload) };
        }
        return Inputs.Peers.Values.Any(p => !string.IsNullOrEmpty(p.Spec.LocalWorkloadSelector));
    }

    private static ImmutableSortedDictionary<string, T> Changed<T>(ImmutableSortedDictionary<string, T> of, ResourceKey key, FeedItem item) where T : Resource =>
        item.Value is { } value ? of.SetItem(key.Name, (T)ResourceCodec.Decode(key.Kind, value.Span)) : of.Remove(key.Name);
}
