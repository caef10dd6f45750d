using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Feed;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Policy;
using Calico.Core.Policy.Distribution;
using Calico.Core.Policy.Index;

namespace Calico.Actors.Policy;

/// <summary>
/// Labels and addresses of every endpoint and network set of the cluster, and from them the members of every set that a
/// policy owned by this member refers to. One per member, fed by its replica; publishes members into the member's
/// policy log. Its death makes replica and owners tell it everything again.
/// </summary>
public sealed class IndexActor : ReceiveActor
{
    private sealed class Flush : Protocol.ITick
    {
        public static readonly Flush Instance = new();
    }

    private readonly IActorRef _replica;
    private readonly IActorRef _log;
    private readonly EndpointIndex _index = new();
    private readonly Dictionary<string, SetBuckets> _published = [];
    private readonly Dictionary<IActorRef, ImmutableArray<SetDefinition>> _held = [];
    private readonly HashSet<string> _new = [];
    private readonly HashSet<string> _released = [];
    private long _revision;
    private bool _inSync;
    private bool _flushing;

    public static Props Props(IActorRef replica, IActorRef policyLog) =>
        Akka.Actor.Props.Create(() => new IndexActor(replica, policyLog));

    public IndexActor(IActorRef replica, IActorRef policyLog)
    {
        _replica = replica;
        _log = policyLog;

        Receive<FeedProtocol.Changed>(OnChanged);
        Receive<IndexProtocol.HoldSets>(h => Hold(Sender, h.Sets));
        Receive<Terminated>(t => Hold(t.ActorRef, []));
        Receive<Flush>(_ => OnFlush());
    }

    protected override void PreStart() => _replica.Tell(new FeedProtocol.Subscribe(Self));

    private void OnChanged(FeedProtocol.Changed changed)
    {
        foreach (var item in changed.Items)
            Take(item);
        _revision = Math.Max(_revision, changed.Revision);
        _inSync |= changed.InSync;
        Schedule();
    }

    private void Take(FeedItem item)
    {
        if (!ResourceKey.TryParse(item.Key, out var key))
            return;
        if (key.Kind == ResourceKind.Profile)
            TakeProfile(key, item);
        else if (key.Kind == ResourceKind.WorkloadEndpoint || key.Kind == ResourceKind.HostEndpoint
            || key.Kind == ResourceKind.NetworkSet || key.Kind == ResourceKind.GlobalNetworkSet)
            TakeOwner(key, item);
    }

    private void TakeOwner(ResourceKey key, FeedItem item)
    {
        if (Read(key, item) is { } resource && EndpointReader.OwnerOf(resource) is { } owner)
            _index.SetOwner(item.Key, owner);
        else
            _index.RemoveOwner(item.Key);
    }

    private void TakeProfile(ResourceKey key, FeedItem item)
    {
        if (Read(key, item) is Profile profile)
            _index.SetProfileLabels(key.Name, [.. profile.Spec.LabelsToApply]);
        else
            _index.RemoveProfileLabels(key.Name);
    }

    private static Resource? Read(ResourceKey key, FeedItem item)
    {
        if (item.Value is not { } value)
            return null;
        try
        {
            return ResourceCodec.Decode(key.Kind, value.Span);
        }
        catch (InvalidResourceException e)
        {
            Context.GetLogger().Error("{Key} cannot be read and is treated as absent: {Cause}", key, e.Message);
            return null;
        }
    }

    private void Hold(IActorRef owner, ImmutableArray<SetDefinition> sets)
    {
        var before = _held.GetValueOrDefault(owner, []);
        foreach (var set in sets.Except(before))
        {
            if (!_index.HasSet(set.Id))
                _new.Add(set.Id);
            _index.AddSet(set);
        }
        foreach (var set in before.Except(sets))
        {
            _index.RemoveSet(set.Id);
            if (!_index.HasSet(set.Id))
                _released.Add(set.Id);
        }
        if (sets.IsEmpty)
        {
            _held.Remove(owner);
        }
        else if (_held.TryAdd(owner, sets))
        {
            Context.Watch(owner);
        }
        else
        {
            _held[owner] = sets;
        }
        Schedule();
    }

    // A burst of changes is one round of publishing.
    private void Schedule()
    {
        if (_flushing || !_inSync)
            return;
        _flushing = true;
        Self.Tell(Flush.Instance);
    }

    private void OnFlush()
    {
        _flushing = false;
        var items = ImmutableArray.CreateBuilder<FeedItem>();
        foreach (var setId in _released.Where(s => !_index.HasSet(s)))
        {
            if (_published.Remove(setId, out var gone))
                items.AddRange(gone.Clear(_revision));
        }
        _released.Clear();
        foreach (var delta in _index.TakeChanges().Where(d => _published.ContainsKey(d.SetId) && !_new.Contains(d.SetId)))
            items.AddRange(_published[delta.SetId].Apply(delta, _revision));
        foreach (var setId in _new.Where(_index.HasSet))
        {
            _published[setId] = new SetBuckets(setId);
            items.AddRange(_published[setId].Reset(_index.Members(setId), _revision));
        }
        _new.Clear();
        if (items.Count > 0)
            _log.Tell(new FeedProtocol.Publish(items.ToImmutable()));
    }
}
