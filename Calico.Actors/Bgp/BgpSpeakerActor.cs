using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// The BGP speaker of this node: owns the listening sockets and has one child per peer and one for the RIB.
/// <code>
///   ConfigureSpeaker, OriginateRoutes, NextHopsChanged            GetBgpStatus
///          |                                                          |
///   BgpSpeakerActor ==accepted socket==> BgpSessionActor (per peer) &lt;==> peer
///          |                                 |        ^
///          |                          routes |        | chunks of UPDATEs
///          +==========================>  RibActor ==BestRoutesChanged==> kernel's route writer
/// </code>
/// A session child that fails is made anew after a pause. The RIB's failure takes everything here down and up again,
/// with the peers' routes kept by their graceful restart. Its own death closes all sessions without a NOTIFICATION.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001",
    Justification = "An actor is not disposed: PostStop releases what it owns")]
public sealed class BgpSpeakerActor : ReceiveActor, IWithTimers
{
    private static readonly TimeSpan RetryListen = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RecreateAfter = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(30);

    private sealed record TryListen : INoSerializationVerificationNeeded, INotInfluenceReceiveTimeout,
        IDeadLetterSuppression;

    private sealed record Recreate(string Peer) : INoSerializationVerificationNeeded, INotInfluenceReceiveTimeout,
        IDeadLetterSuppression;

    private sealed record SessionStopped(string Peer, IActorRef Session) : INoSerializationVerificationNeeded;

    private sealed record RibStopped : INoSerializationVerificationNeeded;

    private sealed class Session(ushort index, PeerConfig config, IActorRef actor)
    {
        public ushort Index { get; } = index;
        public PeerConfig Config { get; set; } = config;
        public IActorRef Actor { get; set; } = actor;
        public SessionCounters Counters { get; } = new();
        public SessionChanged? Last { get; set; }
    }

    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly TimeProvider _time;
    private readonly IActorRef _bfd;
    private readonly IActorRef _routeTarget;
    private readonly SortedDictionary<Cidr, OriginatedRoute> _originated = [];
    private readonly SortedDictionary<string, Session> _sessions = new(StringComparer.Ordinal);
    private readonly BgpListeners _listeners;
    private readonly Dictionary<IActorRef, (ushort Index, string Name)> _leaving = [];
    private readonly RateLimitedLog _strangers;
    private IActorRef _rib = ActorRefs.Nobody;
    private SpeakerConfig? _config;
    private bool _originationComplete;
    private IActorRef? _decommissionedBy;
    private bool _converged;
    private ushort _lastIndex;

    public BgpSpeakerActor(IActorRef routeTarget, TimeProvider time, IActorRef bfd)
    {
        (_routeTarget, _time, _bfd) = (routeTarget, time, bfd);
        _strangers = new(time, QuietTime);
        _listeners = new(Self, _log);
        Receive<BgpProtocol.ConfigureSpeaker>(Configure);
        Receive<BgpProtocol.OriginateRoutes>(Originate);
        Receive<BgpProtocol.OriginationComplete>(OnOriginationComplete);
        Receive<BgpProtocol.PeersGone>(OnPeersGone);
        Receive<BgpProtocol.NextHopsChanged>(m => _rib.Forward(m));
        Receive<BgpProtocol.BestRoutesApplied>(m => _rib.Forward(m));
        Receive<BgpProtocol.RepeatBestRoutes>(m => _rib.Forward(m));
        Receive<BgpProtocol.GetBgpRoutes>(m => _rib.Forward(m));
        Receive<BgpProtocol.ExplainRoute>(m => _rib.Forward(m));
        Receive<BgpProtocol.GetBgpStatus>(_ => AnswerStatus());
        Receive<BgpProtocol.DecommissionSpeaker>(Decommission);
        Receive<SocketAccepted>(Accepted);
        Receive<ListenerFailed>(OnListenerFailed);
        Receive<SessionChanged>(OnSessionChanged);
        Receive<SessionStopped>(OnSessionStopped);
        Receive<Converged>(_ => OnConverged());
        Receive<TryListen>(_ => Listen());
        Receive<Recreate>(OnRecreate);
        Receive<RibStopped>(_ =>
            throw new InvalidOperationException("the RIB failed: sessions without their routes mean nothing"));
    }

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="routeTarget">Gets <see cref="BgpProtocol.BestRoutesChanged"/> and <see cref="BgpProtocol.InitialConvergence"/>.</param>
    /// <param name="time">The clock.</param>
    /// <param name="bfd">Who watches the paths to peers (<see cref="Bfd.BfdActor"/>); null: nobody.</param>
    public static Props Props(IActorRef routeTarget, TimeProvider time, IActorRef? bfd = null) =>
        Akka.Actor.Props.Create(() => new BgpSpeakerActor(routeTarget, time, bfd ?? ActorRefs.Nobody));

    // child      fault   outcome
    // session    any     stop; made anew after a pause (its state is on the wire and in the configuration)
    // rib        any     stop; the speaker fails with it and is restarted by its parent
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    protected override void PreStart()
    {
        _rib = Context.ActorOf(RibActor.Props(_routeTarget), "rib");
        Context.WatchWith(_rib, new RibStopped());
        _routeTarget.Tell(new BgpProtocol.SpeakerStarted());
    }

    // The successor starts from what was wanted; to the peers it looks like a graceful restart.
    protected override void PreRestart(Exception reason, object message)
    {
        base.PreRestart(reason, message);
        if (_config is not null)
            Self.Tell(new BgpProtocol.ConfigureSpeaker(_config with { Restarting = true }));
        Self.Tell(new BgpProtocol.OriginateRoutes([.. _originated.Values], []));
        if (_originationComplete)
            Self.Tell(new BgpProtocol.OriginationComplete());
    }

    protected override void PostStop()
    {
        _listeners.Dispose();
    }

    private void Configure(BgpProtocol.ConfigureSpeaker m)
    {
        var before = _config;
        // A restart is over once everything was heard; later configurations cannot start another.
        _config = m.Config with { Restarting = m.Config.Restarting && !_converged };
        var identityChanged = before is not null
            && (before.LocalAs != _config.LocalAs || before.RouterId != _config.RouterId);
        _rib.Tell(new RibConfigure(RibConfigOf(_config), _config.Restarting, _config.ConvergenceTime,
            [.. _config.Peers.Select(p => p.Name)]));
        foreach (var name in _sessions.Keys.Except(_config.Peers.Select(p => p.Name)).ToList())
            Remove(name);
        foreach (var peer in _config.Peers)
            Apply(peer, before, identityChanged);
        foreach (var withheld in _config.Withheld.Where(w => before?.Withheld.Contains(w) is not true))
            _log.Warning("bgp session {Peer}: held back: {Reason}", withheld.Peer.Name, withheld.Reason);
        if (before is null)
            TellOriginated();
        Listen();
    }

    private void Apply(PeerConfig peer, SpeakerConfig? before, bool identityChanged)
    {
        if (!_sessions.TryGetValue(peer.Name, out var session))
        {
            Create(peer);
            return;
        }
        var old = session.Config;
        session.Config = peer;
        var reset = identityChanged || old.NeedsReset(peer);
        var rulesChanged = before?.AddressV4 != _config!.AddressV4 || before?.AddressV6 != _config.AddressV6
            || before?.ClusterId != _config.ClusterId;
        if (reset || rulesChanged || old != peer)
            session.Actor.Tell(new ReconfigureSession(peer, _config, reset));
        else if (before?.Restarting != _config.Restarting)
            session.Actor.Tell(new UpdateSpeaker(_config));
    }

    private void Create(PeerConfig peer)
    {
        var session = new Session(NextIndex(), peer, ActorRefs.Nobody);
        _sessions.Add(peer.Name, session);
        Spawn(session);
    }

    private void Spawn(Session session)
    {
        session.Actor = Context.ActorOf(BgpSessionActor.Props(session.Index, session.Config, _config!, _rib,
            session.Counters, _time, _bfd));
        Context.WatchWith(session.Actor, new SessionStopped(session.Config.Name, session.Actor));
        session.Actor.Tell(new StartSession());
    }

    private void Remove(string name)
    {
        _sessions.Remove(name, out var session);
        _leaving.Add(session!.Actor, (session.Index, name));
        session.Actor.Tell(new StopSession(CeaseError.PeerDeconfigured, "no longer configured"));
        // Behind the stop, so that the NOTIFICATION is on its way before the connections are closed with the actor.
        session.Actor.Tell(new ReleaseSession());
        _log.Info("bgp session {Peer}: removed", name);
    }

    private void Listen()
    {
        if (!_listeners.Apply(_config!))
            Timers.StartSingleTimer(nameof(TryListen), new TryListen(), RetryListen);
    }

    private void OnListenerFailed(ListenerFailed m)
    {
        _listeners.Failed(m.Address, m.Error);
        Timers.StartSingleTimer(nameof(TryListen), new TryListen(), RetryListen);
    }

    private void Originate(BgpProtocol.OriginateRoutes m)
    {
        foreach (var prefix in m.Remove)
            _originated.Remove(prefix);
        foreach (var route in m.Add)
            _originated[route.Prefix] = route;
        if (_config is not null)
            _rib.Tell(m);
    }

    private void OnOriginationComplete(BgpProtocol.OriginationComplete m)
    {
        _originationComplete = true;
        if (_config is not null)
            _rib.Tell(m);
    }

    // What was said before there was a configuration.
    private void TellOriginated()
    {
        _rib.Tell(new BgpProtocol.OriginateRoutes([.. _originated.Values], []));
        if (_originationComplete)
            _rib.Tell(new BgpProtocol.OriginationComplete());
    }

    private void Accepted(SocketAccepted m)
    {
        var session = _sessions.Values.FirstOrDefault(s => s.Config.Address == m.Remote);
        if (session is not null && !session.Actor.IsNobody())
        {
            session.Actor.Tell(new TransportAccepted(m.Socket));
            return;
        }
        m.Socket.Dispose();
        if (session is null && _strangers.ShouldLog(out var suppressed))
        {
            _log.Warning("bgp connection from {Address} closed: {Why} ({Suppressed} more since the last such line)", m.Remote,
                _config!.Withheld.Any(w => w.Peer.Address == m.Remote) ? "its session is held back" : "no peer has this address", suppressed);
        }
    }

    private void OnPeersGone(BgpProtocol.PeersGone m)
    {
        foreach (var session in _sessions.Values.Where(s => m.Addresses.Contains(s.Config.Address)))
            session.Actor.Tell(new GiveUpPeer(m.Reason));
    }

    private void OnSessionChanged(SessionChanged m)
    {
        if (_sessions.TryGetValue(m.Name, out var session) && session.Actor.Equals(Sender))
            session.Last = m;
        AnswerDecommission();
    }

    private void OnSessionStopped(SessionStopped m)
    {
        if (_leaving.Remove(m.Session, out var left))
            _rib.Tell(new RibRemovePeer(left.Index, left.Name));
        else if (!_sessions.TryGetValue(m.Peer, out var session) || !session.Actor.Equals(m.Session))
            return;
        else
            RecreateLater(session);
    }

    private void RecreateLater(Session session)
    {
        _log.Warning("bgp session {Peer}: failed, starts over in {Pause}", session.Config.Name, RecreateAfter);
        session.Actor = ActorRefs.Nobody;
        session.Last = null;
        Timers.StartSingleTimer(session.Config.Name, new Recreate(session.Config.Name), RecreateAfter);
    }

    private void OnRecreate(Recreate m)
    {
        if (_sessions.TryGetValue(m.Peer, out var session) && session.Actor.IsNobody() && _decommissionedBy is null)
            Spawn(session);
    }

    private void OnConverged()
    {
        _converged = true;
        if (_config is not { Restarting: true })
            return;
        _config = _config with { Restarting = false };
        foreach (var session in _sessions.Values)
            session.Actor.Tell(new UpdateSpeaker(_config));
    }

    private void Decommission(BgpProtocol.DecommissionSpeaker m)
    {
        _decommissionedBy = Sender;
        foreach (var session in _sessions.Values)
            session.Actor.Tell(new StopSession(CeaseError.AdministrativeShutdown, m.Text));
        AnswerDecommission();
    }

    private void AnswerDecommission()
    {
        if (_decommissionedBy is null || !_sessions.Values.All(s => s.Actor.IsNobody() || s.Last is { Stopped: true }))
            return;
        _decommissionedBy.Tell(new BgpProtocol.SpeakerDecommissioned());
        _decommissionedBy = null;
    }

    private void AnswerStatus()
    {
        var status = new BgpProtocol.BgpStatus(_config is not null, _config?.LocalAs ?? default, _config?.RouterId
            ?? default,
            _listeners.Status, [], _converged);
        _rib.Tell(new CompleteStatus(status, [.. _sessions.Values.Select(s => (s.Index, StatusOf(s)))],
            [.. (_config?.Withheld ?? []).Select(StatusOf)], Sender));
    }

    private static PeerStatus StatusOf(WithheldPeer withheld) => new(withheld.Peer.Name, withheld.Peer.Kind, withheld.Peer.Address, withheld.Peer.As,
        SessionPhase.Idle, default, new DownReason.Withheld(withheld.Reason), null, false, new PeerCounters(0, 0, 0, 0, 0));

    private static PeerStatus StatusOf(Session session)
    {
        var config = session.Config;
        var last = session.Last;
        var counters = session.Counters.ToPeer();
        return new(config.Name, config.Kind, config.Address, config.As, last?.Phase ?? SessionPhase.Idle, last?.Since
            ?? default,
            last is null ? new DownReason.NotStarted() : last.Down, last?.LastDown, last?.Restarting ?? false,
                counters)
        {
            Bfd = config.Bfd,
            Path = last?.Path,
            Unwatchable = last?.Unwatchable,
        };
    }

    private static RibConfig RibConfigOf(SpeakerConfig config) => new(config.LocalAs, config.RouterId)
    {
        MaxPaths = config.MaxPaths,
        HasBestReader = config.HasRouteTarget,
        ClusterId = config.ClusterId ?? config.RouterId,
        OwnAddresses = [.. new[] { config.AddressV4, config.AddressV6 }.OfType<IpAddr>()],
    };

    private ushort NextIndex()
    {
        var taken = _sessions.Values.Select(s => s.Index).Concat(_leaving.Values.Select(l => l.Index)).ToHashSet();
        do
            _lastIndex = _lastIndex >= RibConfig.MaxPeers ? (ushort)1 : (ushort)(_lastIndex + 1);
        while (taken.Contains(_lastIndex));
        return _lastIndex;
    }
}
