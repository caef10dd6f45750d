using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Actors.Routing;

/// <summary>The resources that decide about sessions, as the feed has told them. Not thread-safe.</summary>
internal sealed class PeeringResources(PeeringInputs start)
{
    public PeeringInputs Inputs { get; private set; } = start;

    /// <summary>Whether a session shall have a password.</summary>
    public bool NeedsSecrets => Inputs.Global.NodeMeshPassword is not null || Inputs.Peers.Values.Any(p => p.Spec.Password is not null);

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
