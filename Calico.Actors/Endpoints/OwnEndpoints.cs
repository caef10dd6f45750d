using System.Collections.Immutable;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Actors.Endpoints;

/// <summary>A WorkloadEndpoint of this node as the feed told it last.</summary>
/// <param name="Revision">ModRevision of its key.</param>
public sealed record StoredEndpoint(ResourceKey Key, long Revision, string ContainerId, ImmutableArray<string> Networks);

/// <summary>
/// What the datastore holds of this node, followed in the feed: its Node resource and its pods' WorkloadEndpoints. Others'
/// are passed over by their name alone.
/// </summary>
public sealed class OwnEndpoints(string node)
{
    private readonly Dictionary<ResourceKey, StoredEndpoint> _endpoints = [];

    /// <summary>Whether an endpoint's name begins with the node's, in which dashes are doubled.</summary>
    public static bool IsOf(string node, ReadOnlySpan<char> name)
    {
        var escaped = node.Replace("-", "--", StringComparison.Ordinal);
        return name.StartsWith(escaped, StringComparison.Ordinal) && name[escaped.Length..] is ['-', not '-', ..];
    }

    /// <summary>Whether there is a Node resource of this node.</summary>
    public bool HasNode { get; private set; }

    public ImmutableDictionary<ResourceKey, StoredEndpoint> Endpoints => _endpoints.ToImmutableDictionary();

    /// <summary>Returns whether anything of this node was among the changes.</summary>
    public bool Learn(IEnumerable<FeedItem> items)
    {
        var any = false;
        foreach (var item in items)
        {
            if (!ResourceKey.TryParse(item.Key, out var key))
                continue;
            if (key.Kind == ResourceKind.Node && key.Name == node)
            {
                HasNode = item.Value is not null;
                any = true;
            }
            else if (key.Kind == ResourceKind.WorkloadEndpoint && IsOwn(key.Name))
            {
                Take(key, item);
                any = true;
            }
        }
        return any;
    }

    // Only what a runtime's call makes here; endpoints of other orchestrators are not ours to judge.
    private bool IsOwn(string name) => IsOf(node, name)
        && WorkloadEndpointName.TryParse(name, out var parsed) && parsed.Node == node
        && parsed.Orchestrator is Workload.KubernetesOrchestrator or Workload.CniOrchestrator;

    // One that cannot be read has nobody's container: it is nobody's, or written anew for its workload.
    private void Take(ResourceKey key, FeedItem item)
    {
        if (item.Value is not { } value)
        {
            _endpoints.Remove(key);
            return;
        }
        try
        {
            var spec = ((WorkloadEndpoint)ResourceCodec.Decode(key.Kind, value.Span)).Spec;
            _endpoints[key] = new StoredEndpoint(key, item.Revision, spec.ContainerID ?? "", [.. spec.IpNetworks]);
        }
        catch (InvalidResourceException)
        {
            _endpoints[key] = new StoredEndpoint(key, item.Revision, "", []);
        }
    }
}
