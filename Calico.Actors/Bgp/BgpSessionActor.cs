using System.Net;
using System.Net.Sockets;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// One peer: owns its connections and timers and runs its <see cref="SessionMachine"/>. Child of the speaker. What it
/// tells the RIB is in the order in which the peer said it. When it stops, its connections close without a
/// NOTIFICATION, which peers with graceful restart take for a restart; its routes then go from the RIB, because a
/// successor starts from nothing.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001",
    Justification = "An actor is not disposed: PostStop releases what it owns")]
internal sealed partial class BgpSessionActor : ReceiveActor, IWithTimers
{
    private static readonly TimeSpan FailuresQuietTime = TimeSpan.FromSeconds(30);

    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly ushort _index;
    private readonly IActorRef _rib;
    private readonly SessionCounters _counters;
    private readonly TimeProvider _time;
    private readonly Random _random = new();
    private readonly Dictionary<ConnectionId, BgpConnection> _connections = [];
    private readonly Lazy<SessionTimers> _timers;
    private readonly RateLimitedLog _failures;
    private DownReason? _told;
    private PeerConfig _peer;
    private SpeakerConfig _speaker;
    private SessionConfig _config;
    private SessionState _state = SessionState.Initial;
    private CancellationTokenSource? _dial;
    private int _dialNumber;
    private int _lastConnection;
    private int _epoch;

    public BgpSessionActor(ushort index, PeerConfig peer, SpeakerConfig speaker, IActorRef rib,
        SessionCounters counters, TimeProvider time, IActorRef bfd)
    {
        (_index, _peer, _speaker, _rib, _counters, _time, _bfd) = (index, peer, speaker, rib, counters, time, bfd);
        _config = peer.ToSession(speaker, speaker.Restarting);
        _timers = new(() => new SessionTimers(Timers, time));
        _failures = new(time, FailuresQuietTime);

        Receive<StartSession>(_ => Step(new SessionEvent.Start()));
        Receive<StopSession>(m => Step(new SessionEvent.Stop(m.CeaseSubcode, m.Text)));
        Receive<GiveUpPeer>(m => Step(new SessionEvent.PeerGone(m.Text)));
        Receive<ReconfigureSession>(Reconfigure);
        Receive<UpdateSpeaker>(m => Use(_peer, m.Speaker));
        Receive<ReleaseSession>(_ => Context.Stop(Self));
        Receive<TransportAccepted>(m => Connected(m.Socket, Direction.Incoming));
        Receive<DialSucceeded>(OnDialSucceeded);
        Receive<DialFaulted>(OnDialFaulted);
        Receive<SessionTick>(OnTick);
        Receive<MessageRead>(OnMessage);
        Receive<RoutesRead>(OnRoutes);
        Receive<RefreshAsked>(OnRefreshAsked);
        Receive<RoutesApplied>(m => Find(m.Connection)?.Processed(m.Batch));
        Receive<ProblemSeen>(m =>
            _log.Warning("bgp session {Peer}: routes treated as withdrawn: {Problem} ({Suppressed} more since the last such line)",
            _peer.Name, m.Problem, m.Suppressed));
        Receive<SendUpdates>(OnSendUpdates);
        Receive<PrefixLimitReached>(OnLimit);
        ReceiveBfd();
        Receive<ChunkSent>(m => _rib.Tell(new RibChunkSent(_index, m.Epoch)));
    }

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(ushort index, PeerConfig peer, SpeakerConfig speaker, IActorRef rib,
        SessionCounters counters, TimeProvider time, IActorRef bfd) =>
        Akka.Actor.Props.Create(() => new BgpSessionActor(index, peer, speaker, rib, counters, time, bfd));

    protected override void PostStop()
    {
        StopDial();
        foreach (var connection in _connections.Values)
            connection.Abort();
        _rib.Tell(new RibPeerDown(_index, Families.None));
    }

    private void Reconfigure(ReconfigureSession m)
    {
        var (peer, speaker) = (_peer, _speaker);
        Use(m.Peer, m.Speaker);
        if (m.Reset)
            Step(new SessionEvent.Restart(CeaseError.OtherConfigurationChange, "configuration changed"));
        else if (_state.Main is { } main && ConcernsRoutes(peer, speaker))
            RepeatRoutes(main, ConcernsTheirs(peer, speaker));
        else if (_state.Main is { } same && ConcernsLimits(peer))
            _rib.Tell(new RibPeerChanged(PeerOf(same.Id, same.Agreement!)));
    }

    private void Use(PeerConfig peer, SpeakerConfig speaker)
    {
        (_peer, _speaker) = (peer, speaker);
        _config = peer.ToSession(speaker, speaker.Restarting);
        WatchPath();
    }

    // Limits alone need no routes again.
    private bool ConcernsLimits(PeerConfig peer) => peer.MaxPrefixes != _peer.MaxPrefixes
        || peer.MaxPrefixesWarning != _peer.MaxPrefixesWarning;

    private bool ConcernsRoutes(PeerConfig peer, SpeakerConfig speaker) =>
        ConcernsTheirs(peer, speaker) || !Equals(peer.Export, _peer.Export) || peer.NextHopMode != _peer.NextHopMode
        || peer.ReflectorClient != _peer.ReflectorClient;

    // Which of the peer's routes are taken, and as what.
    private bool ConcernsTheirs(PeerConfig peer, SpeakerConfig speaker) =>
        !Equals(peer.Import, _peer.Import) || peer.AllowedOwnAs != _peer.AllowedOwnAs || speaker.ClusterId != _speaker.ClusterId || AddressesDiffer(speaker);

    private bool AddressesDiffer(SpeakerConfig speaker) => speaker.AddressV4 != _speaker.AddressV4 || speaker.AddressV6 != _speaker.AddressV6;

    // New rules for the routes of a living session: tell ours again, and ask for the peer's if they concern these.
    private void RepeatRoutes(Connection main, bool alsoTheirs)
    {
        _rib.Tell(new RibPeerChanged(PeerOf(main.Id, main.Agreement!)));
        if (!alsoTheirs || !main.Agreement!.RouteRefresh)
            return;
        foreach (var family in main.Agreement.Context.Families.Each())
            Find(main.Id)!.Send(new RouteRefreshMessage(AfiSafi.Of(family), RefreshSubtype.Request).Encode());
    }

    private void OnMessage(MessageRead m)
    {
        Find(m.Connection)?.Heard();
        if (m.Event is SessionEvent.NotificationReceived { Message: var said })
            _counters.CountNotification(isSent: false, said.Code, said.Subcode);
        Step(m.Event);
    }

    private void OnDialSucceeded(DialSucceeded m)
    {
        if (m.Number == _dialNumber && _state.Dialing)
            Connected(m.Socket, Direction.Outgoing);
        else
            m.Socket.Dispose();
    }

    private void OnDialFaulted(DialFaulted m)
    {
        if (m.Number == _dialNumber)
            Step(new SessionEvent.DialFailed(m.Fault, m.Detail));
    }

    private void OnTick(SessionTick m)
    {
        if (!_timers.Value.IsExpired(m.Timer))
            return;
        var connection = Find(m.Timer.Connection);
        // While our own RIB is behind, nothing is read, and silence says nothing about the peer.
        if (m.Timer.Kind == TimerKind.Hold && connection is { IsBehind: true })
            _timers.Value.Start(m.Timer, _config.HoldTime);
        else if (m.Timer.Kind == TimerKind.SendHold && SendHoldLeft(connection) is { } left)
            _timers.Value.Start(m.Timer, left);
        else
            Step(new SessionEvent.TimerExpired(m.Timer));
    }

    // Null if the peer has taken nothing of what we have for it for too long.
    private TimeSpan? SendHoldLeft(BgpConnection? connection)
    {
        if (connection is null || _state.Find(connection.Id)?.Agreement is not { } agreement)
            return null;
        var left = agreement.SendHoldTime - connection.SendStalled;
        return left > TimeSpan.Zero ? left : null;
    }

    private void OnRoutes(RoutesRead m)
    {
        Step(new SessionEvent.UpdatesReceived(m.Connection));
        if (_state.Main?.Id != m.Connection)
        {
            Find(m.Connection)?.Processed(m.Batch);
            return;
        }
        var ended = m.Batch.EndOfRib;
        _rib.Tell(new RibApply(_index, m.Connection, m.Batch));
        if (ended != Families.None)
            Step(new SessionEvent.EndOfRibReceived(ended));
    }

    private void OnRefreshAsked(RefreshAsked m)
    {
        Find(m.Connection)?.Heard();
        Step(new SessionEvent.RefreshReceived(m.Connection));
        if (_state.Main?.Id == m.Connection)
            _rib.Tell(new RibRefresh(_index, m.Family));
    }

    private void OnLimit(PrefixLimitReached m)
    {
        if (m.Epoch != _epoch || _state.Main is not { } main)
            return;
        if (m.Limit.Exceeded)
            Step(new SessionEvent.PrefixLimitExceeded(main.Id, m.Limit.Family, m.Limit.Limit));
        else
            _log.Warning("bgp session {Peer}: {Share:0} % of the {Limit} prefixes of {Family} are used; above that number the session ends",
                _peer.Name, _peer.MaxPrefixesWarning * 100, m.Limit.Limit, m.Limit.Family);
    }

    private void OnSendUpdates(SendUpdates m)
    {
        if (m.Epoch == _epoch && _state.Main is { } main && Find(main.Id) is { } connection)
            connection.SendChunk(m);
        else
            System.Buffers.ArrayPool<byte>.Shared.Return(m.Buffer);
    }

    private void Connected(Socket socket, Direction direction)
    {
        BgpConnection connection;
        try
        {
            BgpSockets.Prepare(socket, _peer);
            connection = new BgpConnection(new(++_lastConnection), direction, socket, Self, _counters, _time);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The peer was gone again before we got to it.
            socket.Dispose();
            if (direction == Direction.Outgoing)
                Step(new SessionEvent.DialFailed(TransportFault.Reset, e.Message));
            return;
        }
        _connections.Add(connection.Id, connection);
        Step(new SessionEvent.TransportConnected(connection.Id, direction));
        // Also if it was refused: its loops see it closed properly.
        connection.Start();
    }

    private void Step(SessionEvent e)
    {
        var before = _state;
        var clock = new SessionClock(_time.GetUtcNow(), 0.75 + (_random.NextDouble() * 0.25));
        (_state, var effects) = SessionMachine.Step(_state, e, _config, clock);
        foreach (var effect in effects)
            Perform(effect);
        if (_state.Phase != before.Phase || _state.Down != before.Down || _state.Stale != before.Stale
            || _state.Running != before.Running)
            Report(before.Phase);
    }

    private void Perform(SessionEffect effect)
    {
        switch (effect)
        {
            case SessionEffect.Dial:
                Dial();
                break;
            case SessionEffect.StopDial:
                StopDial();
                break;
            case SessionEffect.SendOpen x:
                Find(x.Connection)?.Send(x.Open.Encode());
                break;
            case SessionEffect.SendKeepalive x:
                Find(x.Connection)?.Send(KeepaliveMessage.Bytes);
                break;
            case SessionEffect.SendNotification x:
                Find(x.Connection)?.Send(x.Message.Encode());
                _counters.CountNotification(isSent: true, x.Message.Code, x.Message.Subcode);
                break;
            case SessionEffect.Agree x:
                Find(x.Connection)?.Agree(x.Agreement.Context);
                break;
            case SessionEffect.CloseTransport x:
                if (_connections.Remove(x.Connection, out var connection))
                    connection.Close();
                break;
            case SessionEffect.StartTimer x:
                _timers.Value.Start(x.Timer, x.Duration);
                break;
            case SessionEffect.RewindTimer x:
                _timers.Value.Rewind(x.Timer);
                break;
            case SessionEffect.StopTimer x:
                _timers.Value.Stop(x.Timer);
                break;
            case SessionEffect.SessionUp x:
                _epoch++;
                _counters.CountEstablished();
                WatchPath();
                _rib.Tell(new RibPeerUp(PeerOf(x.Connection, x.Agreement), _peer.Name, _epoch,
                    x.Agreement.PeerOpen.Capabilities.GracefulRestart is not null, x.Agreement.PeerRestarting));
                break;
            case SessionEffect.SessionDown x:
                if (x.Reason is DownReason.PathFailed)
                    _counters.CountPathFailure();
                _rib.Tell(new RibPeerDown(_index, x.KeepStale));
                break;
            case SessionEffect.DemoteStale x:
                _rib.Tell(new RibDemoteStale(_index, x.Families));
                break;
            case SessionEffect.SweepStale x:
                _rib.Tell(new RibSweepStale(_index, x.Families));
                break;
        }
    }

    private RibPeer PeerOf(ConnectionId id, Agreement agreement)
    {
        var local = Find(id)!.LocalAddress;
        return new()
        {
            Index = _index,
            Address = _peer.Address,
            As = _peer.As,
            LocalAs = _config.LocalAs,
            RouterId = agreement.PeerRouterId,
            Context = agreement.Context,
            NextHopV4 = local.IsV4 || agreement.Context.ExtendedNextHop ? local : _speaker.AddressV4,
            NextHopV6 = local.IsV6 ? local : _speaker.AddressV6,
            NextHopMode = _peer.NextHopMode,
            Role = _peer.Role,
            ReflectorClient = _peer.ReflectorClient,
            AllowedOwnAs = _peer.AllowedOwnAs,
            MaxPrefixes = _peer.MaxPrefixes,
            WarnPrefixes = _peer.MaxPrefixes is { } max ? (int)Math.Ceiling(max * _peer.MaxPrefixesWarning) : null,
            EnhancedRefresh = agreement.PeerOpen.Capabilities.EnhancedRouteRefresh,
            KnowsLongLived = agreement.KnowsLongLived,
            Import = _peer.Import,
            Export = _peer.Export,
        };
    }

    private void Dial()
    {
        StopDial();
        var number = ++_dialNumber;
        _dial = new CancellationTokenSource();
        _ = DialAsync(number, _peer, _dial.Token).PipeTo(Self);
    }

    private void StopDial()
    {
        _dial?.Cancel();
        _dial?.Dispose();
        _dial = null;
    }

    private static async Task<object> DialAsync(int number, PeerConfig peer, CancellationToken stop)
    {
        Socket? socket = null;
        try
        {
            socket = BgpSockets.CreateForDial(peer);
            await socket.ConnectAsync(new IPEndPoint(peer.Address.ToIPAddress(), peer.Port), stop);
            return new DialSucceeded(number, socket);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ArgumentException)
        {
            socket?.Dispose();
            var fault = e is SocketException s ? BgpSockets.FaultOf(s.SocketErrorCode) : TransportFault.Other;
            return new DialFaulted(number, fault, e.Message);
        }
    }

    private void Report(SessionPhase before)
    {
        if (_state.Phase == SessionPhase.Established && before != SessionPhase.Established)
        {
            _told = null;
            _log.Info("bgp session {Peer}: {Before} -> {Phase}: up", _peer.Name, before, _state.Phase);
        }
        else if (before == SessionPhase.Established && _state.Phase != before)
        {
            _told = _state.LastDown;
            _log.Info("bgp session {Peer}: {Before} -> {Phase}: {Reason}", _peer.Name, before, _state.Phase, _state.LastDown?.Sentence);
        }
        else if (IsNews(_state.Down) && _failures.ShouldLog(out var suppressed))
        {
            _told = _state.Down;
            _log.Warning("bgp session {Peer}: does not come up: {Reason} ({Suppressed} more since the last such line)", _peer.Name, _state.Down!.Sentence, suppressed);
        }
        else
        {
            _log.Debug("bgp session {Peer}: {Before} -> {Phase}: {Reason}", _peer.Name, before, _state.Phase, _state.Down?.Sentence ?? "up");
        }
        TellSpeaker();
    }

    // One that fails for the same reason again and again has said it.
    private bool IsNews(DownReason? reason) => reason is not (null or DownReason.NotStarted or DownReason.WaitingForPeer or DownReason.Stopped) && reason != _told;

    private void TellSpeaker() => Context.Parent.Tell(new SessionChanged(_peer.Name, _state.Phase, _state.Since, _state.Down, _state.LastDown,
        _state.Stale != Families.None, !_state.Running)
    {
        Path = _watched?.Endpoint,
        Unwatchable = _unwatchable,
    });

    private BgpConnection? Find(ConnectionId id) => _connections.GetValueOrDefault(id);
}
