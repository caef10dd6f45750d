using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Actors.Protocol;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Actors.Cni;

/// <summary>What calls of the runtime want to know of the cluster. Local.</summary>
public static class FactsProtocol
{
    public sealed record GetPools(string Namespace) : ILocalMessage
    {
        /// <summary>A profile that the asker needs.</summary>
        public string Profile { get; init; } = "";
    }

    public sealed record Pools(ImmutableArray<IPPool> All, IReadOnlyDictionary<string, string> NodeLabels,
        IReadOnlyDictionary<string, string> NamespaceLabels, bool InSync) : ILocalMessage
    {
        /// <summary>The profile asked for exists.</summary>
        public bool HasProfile { get; init; }
    }

    /// <summary>May the datastore be written? Answered with <see cref="Lock"/>.</summary>
    public sealed record GetLock : ILocalMessage;

    /// <summary><c>datastoreReady</c> of the cluster information is false: somebody moves the datastore.</summary>
    public sealed record Lock(bool IsLocked) : ILocalMessage;

    public sealed record GetPodNetworks : ILocalMessage;

    /// <summary>The networks that Kubernetes gave to the pods of this node.</summary>
    public sealed record PodNetworks(ImmutableArray<string> Cidrs) : ILocalMessage;
}

/// <summary>
/// Pools, labels of this node and of namespaces, the lock of the datastore, as the mesh tells them; answers calls of the runtime. Child of the
/// node's guardian. Keeps answering with what it knows while there is no mesh.
/// </summary>
public sealed class FactsActor : ReceiveActor
{
    private const string InheritedPrefix = "pcns.";

    private readonly string _node;
    private readonly IActorRef _upstream;
    private readonly SortedDictionary<string, IPPool> _pools = new(StringComparer.Ordinal);
    private readonly Dictionary<string, IReadOnlyDictionary<string, string>> _namespaces = [];
    private IReadOnlyDictionary<string, string> _nodeLabels = ImmutableDictionary<string, string>.Empty;
    private readonly HashSet<string> _profiles = new(StringComparer.Ordinal);
    private ImmutableArray<string> _podNetworks = [];
    private bool _isLocked;
    private bool _inSync;

    public static Props Props(string node, IActorRef upstream) => Akka.Actor.Props.Create(() => new FactsActor(node, upstream));

    public FactsActor(string node, IActorRef upstream)
    {
        _node = node;
        _upstream = upstream;

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
        Receive<FactsProtocol.GetPools>(g => Sender.Tell(new FactsProtocol.Pools([.. _pools.Values], _nodeLabels,
            _namespaces.GetValueOrDefault(g.Namespace, ImmutableDictionary<string, string>.Empty), _inSync)
        { HasProfile = _profiles.Contains(g.Profile) }));
        Receive<FactsProtocol.GetLock>(_ => Sender.Tell(new FactsProtocol.Lock(_isLocked)));
        Receive<FactsProtocol.GetPodNetworks>(_ => Sender.Tell(new FactsProtocol.PodNetworks(_podNetworks)));
    }

    protected override void PreStart() => _upstream.Tell(new UpstreamProtocol.Subscribe(Self));

    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        foreach (var item in changed.Items)
        {
            if (!ResourceKey.TryParse(item.Key, out var key))
                continue;
            try
            {
                Take(key, item);
            }
            catch (InvalidResourceException e)
            {
                Context.GetLogger().Error("{Key} cannot be read and stays as it was: {Cause}", key, e.Message);
            }
        }
        _inSync = changed.InSync;
    }

    private void Take(ResourceKey key, FeedItem item)
    {
        if (key.Kind == ResourceKind.IPPool)
        {
            if (item.Value is { } value)
                _pools[key.Name] = (IPPool)ResourceCodec.Decode(key.Kind, value.Span);
            else
                _pools.Remove(key.Name);
        }
        else if (key.Kind == ResourceKind.Node && key.Name == _node && item.Value is { } node)
        {
            var self = (NodeResource)ResourceCodec.Decode(key.Kind, node.Span);
            _nodeLabels = self.Metadata.Labels;
            _podNetworks = [.. self.Status.PodCIDRs];
        }
        else if (key.Kind == ResourceKind.ClusterInformation && key.Name == ClusterInformation.DefaultName)
        {
            _isLocked = item.Value is { } information
                && ((ClusterInformation)ResourceCodec.Decode(key.Kind, information.Span)).Spec.DatastoreReady == false;
        }
        else if (key.Kind == ResourceKind.Profile)
        {
            TakeProfile(key, item);
        }
    }

    private void TakeProfile(ResourceKey key, FeedItem item)
    {
        if (item.Value is null)
            _profiles.Remove(key.Name);
        else
            _profiles.Add(key.Name);
        if (key.Name.StartsWith(Profile.NamespacePrefix, StringComparison.Ordinal))
        {
            var ns = key.Name[Profile.NamespacePrefix.Length..];
            if (item.Value is { } profile)
                _namespaces[ns] = LabelsOf((Profile)ResourceCodec.Decode(key.Kind, profile.Span));
            else
                _namespaces.Remove(ns);
        }
    }

    private static Dictionary<string, string> LabelsOf(Profile profile) => profile.Spec.LabelsToApply
        .Where(l => l.Key.StartsWith(InheritedPrefix, StringComparison.Ordinal))
        .ToDictionary(l => l.Key[InheritedPrefix.Length..], l => l.Value);
}
