using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Actors.Protocol;
using Calico.Core.Policy.Distribution;
using Calico.Datastore;

namespace Calico.Actors.Policy;

/// <summary>
/// Answers whoever waits for a change to be in force (<see cref="EnforcementKeys"/>): one answer a request, when the
/// enforcer says that the kernel has it. Repeats what gets lost until the request is gone; its death costs a repetition.
/// </summary>
public sealed class EnforcementReporterActor : ReceiveActor, IWithTimers
{
    private sealed class Repeat : ITick
    {
        public static readonly Repeat Instance = new();
    }

    private sealed record Answered(string Id) : ITick;
    private sealed record Failed(string Id, Exception Cause) : ITick;

    private static readonly TimeSpan RepeatAfter = TimeSpan.FromSeconds(5);

    /// <summary>More requests than this at once are not waited for by people.</summary>
    private const int MaxOpen = 1000;

    private readonly string _node;
    private readonly IDatastore _datastore;
    private readonly IActorRef _upstream;
    private readonly IActorRef _enforcer;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly Dictionary<string, long> _open = [];
    private readonly CancellationTokenSource _stopped = new();

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(string node, IDatastore datastore, IActorRef upstream, IActorRef enforcer) =>
        Akka.Actor.Props.Create(() => new EnforcementReporterActor(node, datastore, upstream, enforcer));

    public EnforcementReporterActor(string node, IDatastore datastore, IActorRef upstream, IActorRef enforcer)
    {
        _node = node;
        _datastore = datastore;
        _upstream = upstream;
        _enforcer = enforcer;

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<EnforcerProtocol.EnforcedUpTo>(Answer);
        Receive<Answered>(a => _open.Remove(a.Id));
        Receive<Failed>(f => _log.Warning("policy: the answer to {Request} is not stored, it is repeated: {Cause}", f.Id, f.Cause.Message));
        Receive<Repeat>(_ => AskAll());
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
    }

    protected override void PreStart()
    {
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        Timers.StartPeriodicTimer(nameof(Repeat), Repeat.Instance, RepeatAfter, RepeatAfter);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        foreach (var item in changed.Items)
        {
            if (!EnforcementKeys.TryParseRequest(item.Key, out var id))
                continue;
            if (item.Value is not { } value)
            {
                _open.Remove(id);
            }
            else if (EnforcementKeys.TryRead(value, out var revision) && _open.Count < MaxOpen && _open.TryAdd(id, revision))
            {
                _enforcer.Tell(new EnforcerProtocol.TellWhenEnforced(id, revision));
            }
        }
    }

    private void AskAll()
    {
        foreach (var (id, revision) in _open)
            _enforcer.Tell(new EnforcerProtocol.TellWhenEnforced(id, revision));
    }

    private void Answer(EnforcerProtocol.EnforcedUpTo enforced)
    {
        if (!_open.ContainsKey(enforced.Id))
            return;
        var key = EnforcementKeys.Answer(enforced.Id, _node);
        var write = new Transaction([Compare.Absent(key)], [Write.Put(key, EnforcementKeys.Write(enforced.Revision), EnforcementKeys.TimeToLive)]);
        // A compare that fails means that an earlier answer arrived after all.
        _datastore.CommitAsync(write, _stopped.Token).PipeTo(Self, success: _ => new Answered(enforced.Id), failure: e => new Failed(enforced.Id, e));
    }
}
