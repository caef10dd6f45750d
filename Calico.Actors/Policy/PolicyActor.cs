using Akka.Actor;
using Akka.Event;
using Calico.Actors.Cluster.Owners;
using Calico.Actors.Feed;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Policy;
using Calico.Core.Policy.Distribution;

namespace Calico.Actors.Policy;

/// <summary>
/// Owns one policy or profile: compiles it once for the whole cluster and publishes the result. One per
/// datastore key in the mesh; fed by the replica of the member it lives on. When it moves or dies its entry stays in force on
/// every node until its successor has published, see <see cref="PolicyReceiver"/>.
/// </summary>
public sealed class PolicyActor : ReceiveActor
{
    private readonly string _key;
    private readonly IActorRef _replica;
    private readonly IActorRef _index;
    private readonly IActorRef _policyLog;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private long _published = -1;
    private bool _leaving;

    public static Props Props(string key, IActorRef replica, IActorRef index, IActorRef policyLog) =>
        Akka.Actor.Props.Create(() => new PolicyActor(key, replica, index, policyLog));

    public PolicyActor(string key, IActorRef replica, IActorRef index, IActorRef policyLog)
    {
        _key = key;
        _replica = replica;
        _index = index;
        _policyLog = policyLog;

        Receive<PolicyProtocol.TouchPolicy>(OnTouch);
        Receive<FeedProtocol.KeyIs>(k => OnResource(k.Item));
    }

    // A busy policy must not be passivated for want of touches: ask for the key at start, touches only wake us.
    protected override void PreStart() => _replica.Tell(new FeedProtocol.WatchKey(_key));

    protected override void PostStop()
    {
        _index.Tell(new IndexProtocol.HoldSets([]));
        _policyLog.Tell(new FeedProtocol.Publish([new FeedItem(PolicyEntry.KeyOf(_key), null, Math.Max(_published, 0))]));
    }

    private void OnTouch(PolicyProtocol.TouchPolicy touch)
    {
        if (touch.Revision > 0 || _published < 0)
            return;
        Leave();
    }

    private void OnResource(FeedItem item)
    {
        if (item.Value is null)
        {
            Leave();
            return;
        }
        if (item.Revision == _published)
            return;
        _leaving = false;
        _published = item.Revision;
        var entry = Compile(item);
        if (entry.Error is { } error)
            _log.Warning("policy {Key} at revision {Revision} is not enforced: {Error}", _key, item.Revision, error);
        // The index is told first, so that it has begun to fill the sets by the time nodes ask for them.
        _index.Tell(new IndexProtocol.HoldSets(entry.Policy?.Sets ?? entry.Profile?.Sets ?? []));
        _policyLog.Tell(new FeedProtocol.Publish([new FeedItem(PolicyEntry.KeyOf(_key), PolicyJson.Encode(entry), item.Revision)]));
    }

    private PolicyEntry Compile(FeedItem item)
    {
        string? error;
        try
        {
            if (!ResourceKey.TryParse(_key, out var key))
                return new PolicyEntry(_key, item.Revision, null, null, "not the key of a policy");
            switch (ResourceCodec.Decode(key.Kind, item.Value!.Value.Span))
            {
                case ITieredPolicy policy when PolicyCompiler.TryCompile(policy, item.Revision, out var compiled, out error):
                    return new PolicyEntry(_key, item.Revision, compiled, null, null);
                case ITieredPolicy policy:
                    PolicyCompiler.TryCompile(policy, item.Revision, out _, out error);
                    break;
                case Profile profile when PolicyCompiler.TryCompile(profile, item.Revision, out var compiled, out error):
                    return new PolicyEntry(_key, item.Revision, null, compiled, null);
                case Profile profile:
                    PolicyCompiler.TryCompile(profile, item.Revision, out _, out error);
                    break;
                default:
                    error = "not a policy";
                    break;
            }
        }
        catch (Exception e)
        {
            // Whatever is wrong with one policy must neither end this actor, which would only meet it again, nor others'.
            error = e.Message;
            if (e is not InvalidResourceException)
                _log.Error(e, "policy {Key} at revision {Revision}: the compiler failed", _key, item.Revision);
        }
        return new PolicyEntry(_key, item.Revision, null, null, error);
    }

    private void Leave()
    {
        if (_leaving)
            return;
        _leaving = true;
        Context.Parent.Tell(OwnerProtocol.Passivate.Instance);
    }
}
