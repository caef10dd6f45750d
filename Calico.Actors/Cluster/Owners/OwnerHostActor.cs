using Akka.Actor;
using Akka.Event;

namespace Calico.Actors.Cluster.Owners;

/// <summary>
/// The parent of this member's owners of one kind. Wakes the owner that a message is for, and has it stop when nothing was said
/// to it for a while, when it asks for that, and when it is another member's.
/// <code>
///            message                 idle, Passivate, not ours
///   (none) ──────────► awake ──────────────────────────────────► stopping ──► (none); what came meanwhile is routed again
/// </code>
/// Every message is carried out, even by a host that thinks the owner should be elsewhere: then members have not heard the same
/// yet, and passing on could go in circles. An owner that fails is stopped; the next message wakes another.
/// </summary>
internal sealed class OwnerHostActor : ReceiveActor, IWithTimers
{
    private sealed class Look : Protocol.ITick
    {
        public static readonly Look Instance = new();
    }

    private sealed class Entry(IActorRef actor)
    {
        public IActorRef Actor => actor;
        public TimeSpan LastAsked { get; set; }
        public Queue<(IWithOwner Message, IActorRef Sender)>? ForSuccessor { get; set; }
    }

    /// <summary>Owners that must be awake are touched much more often than that.</summary>
    internal static readonly TimeSpan IdleTime = TimeSpan.FromMinutes(2);

    internal static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);

    /// <summary>Who wants something from an owner that is stopping says it again; this many need not.</summary>
    private const int MaxForSuccessor = 1000;

    private readonly Func<string, Props> _owner;
    private readonly Address _self;
    private readonly Uptime _uptime;
    private readonly Dictionary<string, Entry> _awake = [];
    private readonly Dictionary<IActorRef, string> _names = [];
    private OwnerTable _table = OwnerTable.Empty;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(Func<string, Props> owner, Address self, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new OwnerHostActor(owner, self, time));

    public OwnerHostActor(Func<string, Props> owner, Address self, TimeProvider time)
    {
        _owner = owner;
        _self = self;
        _uptime = new Uptime(time);

        Receive<IWithOwner>(Deliver);
        Receive<OwnerProtocol.Passivate>(_ => Stop(Sender));
        Receive<OwnerProtocol.Members>(OnMembers);
        Receive<OwnerProtocol.GetAwake>(_ => Sender.Tell(new OwnerProtocol.Awake([.. _awake.Keys.Order(StringComparer.Ordinal)])));
        Receive<Look>(_ => StopIdle());
        Receive<Terminated>(t => OnTerminated(t.ActorRef));
    }

    protected override void PreStart() => Timers.StartPeriodicTimer(nameof(Look), Look.Instance, LookEvery, LookEvery);

    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    private void Deliver(IWithOwner message)
    {
        if (!_awake.TryGetValue(message.Owner, out var entry))
            entry = Wake(message.Owner);
        entry.LastAsked = _uptime.Now;
        if (entry.ForSuccessor is null)
            entry.Actor.Forward(message);
        else if (entry.ForSuccessor.Count < MaxForSuccessor)
            entry.ForSuccessor.Enqueue((message, Sender));
    }

    private Entry Wake(string owner)
    {
        var actor = Context.Watch(Context.ActorOf(_owner(owner), Uri.EscapeDataString(owner)));
        _names[actor] = owner;
        return _awake[owner] = new Entry(actor);
    }

    private void OnMembers(OwnerProtocol.Members members)
    {
        _table = members.Table;
        foreach (var (owner, entry) in _awake.Where(e => !IsOurs(e.Key)).ToList())
            Stop(entry);
    }

    private bool IsOurs(string owner) => _table.MemberOf(owner) == _self;

    // One that woke here because somebody had not heard of a change yet is stopped here as well.
    private void StopIdle()
    {
        foreach (var (owner, entry) in _awake.ToList())
        {
            if (!IsOurs(owner) || _uptime.Now - entry.LastAsked >= IdleTime)
                Stop(entry);
        }
    }

    private void Stop(IActorRef actor)
    {
        if (_names.TryGetValue(actor, out var owner) && _awake.TryGetValue(owner, out var entry))
            Stop(entry);
    }

    // What it has put aside for later is lost with it; who wants it says it again.
    private static void Stop(Entry entry)
    {
        if (entry.ForSuccessor is not null)
            return;
        entry.ForSuccessor = new();
        entry.Actor.Tell(PoisonPill.Instance);
    }

    private void OnTerminated(IActorRef actor)
    {
        if (!_names.Remove(actor, out var owner) || !_awake.Remove(owner, out var entry))
            return;
        foreach (var (message, sender) in entry.ForSuccessor ?? [])
            Context.Parent.Tell(message, sender);
    }
}
