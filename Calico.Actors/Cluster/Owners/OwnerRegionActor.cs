using Akka.Actor;
using Akka.Cluster;
using Akka.Event;

namespace Calico.Actors.Cluster.Owners;

/// <summary>
/// Where this member's actors send what is meant for an owner of one kind, wherever it is: passes it to the host on the member
/// that <see cref="OwnerTable"/> names among those that are up. One per kind and member, below /user, with the host of this
/// member's share as its child.
/// <code>
///   asker ── IWithOwner ──► region ──┬── this member's ──► host ──► owner
///                                    └── another's ──────► host there
/// </code>
/// It holds nothing but the membership, and asks nobody where an owner is: while members disagree for some seconds, an owner may
/// be awake twice. Owners bear that, because what they decide is true only once the datastore has accepted it. A message to a
/// member that has died and is not yet known to have is lost; who wants something says it again.
/// </summary>
internal sealed class OwnerRegionActor : ReceiveActor
{
    /// <summary>What is kept for later while this node is not a member of anything yet.</summary>
    private const int MaxWaiting = 1000;

    private const string HostName = "host";

    private readonly Akka.Cluster.Cluster _cluster = Akka.Cluster.Cluster.Get(Context.System);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly Queue<(IWithOwner Message, IActorRef Sender)> _waiting = new();
    private readonly Dictionary<Address, IActorRef> _hosts = [];
    private readonly IActorRef _host;
    private OwnerTable _table = OwnerTable.Empty;

    /// <param name="owner">Makes the owner that is called so.</param>
    public static Props Props(Func<string, Props> owner, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new OwnerRegionActor(owner, time));

    public OwnerRegionActor(Func<string, Props> owner, TimeProvider time)
    {
        _host = Context.ActorOf(OwnerHostActor.Props(owner, _cluster.SelfAddress, time), HostName);

        Receive<IWithOwner>(m => Route(m, Sender));
        // The cluster's own answer: its read view may not have seen yet what an event tells.
        Receive<ClusterEvent.IMemberEvent>(_ => _cluster.SendCurrentClusterState(Self));
        Receive<ClusterEvent.CurrentClusterState>(OnMembers);
        Receive<OwnerProtocol.GetAwake>(_host.Forward);
    }

    protected override void PreStart() => _cluster.Subscribe(Self, ClusterEvent.InitialStateAsSnapshot, typeof(ClusterEvent.IMemberEvent));

    protected override void PostStop() => _cluster.Unsubscribe(Self);

    // Its host gone, it would drop everything; a life of the mesh that has failed is followed by another.
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Escalate);

    private void OnMembers(ClusterEvent.CurrentClusterState state)
    {
        var table = OwnerTable.Of(state.Members.Where(m => m.Status is MemberStatus.Up).Select(m => m.Address));
        if (table.Members.SequenceEqual(_table.Members))
            return;
        _table = table;
        _hosts.Clear();
        foreach (var member in table.Members)
            _hosts[member] = member == _cluster.SelfAddress ? _host : HostOn(member);
        _host.Tell(new OwnerProtocol.Members(table));
        while (_hosts.Count > 0 && _waiting.TryDequeue(out var waiting))
            Route(waiting.Message, waiting.Sender);
    }

    private IActorRef HostOn(Address member) =>
        ((ExtendedActorSystem)Context.System).Provider.ResolveActorRef(new RootActorPath(member) / Self.Path.Elements / HostName);

    private void Route(IWithOwner message, IActorRef sender)
    {
        if (_table.MemberOf(message.Owner) is { } member)
            _hosts[member].Tell(message, sender);
        else if (_waiting.Count < MaxWaiting)
            _waiting.Enqueue((message, sender));
        else
            _log.Debug("{Message} is dropped: not a member yet", message);
    }
}
