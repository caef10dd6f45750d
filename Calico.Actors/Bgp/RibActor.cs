using System.Buffers;
using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;

namespace Calico.Actors.Bgp;

/// <summary>
/// Owns the <see cref="Rib"/>. Child of the speaker; its death takes the speaker with it, because sessions without
/// their routes mean nothing. Inputs are applied as they come; outputs go out when the mailbox has been worked off
/// and the taker has room: chunks of UPDATEs to sessions, batches of best routes to the target. Nothing queues up in
/// between: the RIB knows by prefix what is due.
/// </summary>
internal sealed class RibActor : ReceiveActor, IWithTimers
{
    /// <summary>Room for the longest message, so that a fill always gets on.</summary>
    private const int ChunkBytes = 128 * 1024;

    private const int ChunksUnderWay = 3;
    private const int BatchesUnderWay = 2;
    private const int BatchRoutes = 2048;

    private sealed class UpPeer(IActorRef session, int epoch)
    {
        public IActorRef Session { get; } = session;
        public int Epoch { get; } = epoch;
        public int Chunks { get; set; }
    }

    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly IActorRef _target;
    private readonly SortedDictionary<ushort, UpPeer> _up = [];
    private Rib? _rib;
    private INextHopResolver _resolver = DirectNextHopResolver.Instance;
    private ConvergenceState _convergence = ConvergenceState.NotStarted;
    private bool _flushDue;
    private long _sequence;
    private long _applied;

    public RibActor(IActorRef target)
    {
        _target = target;
        Receive<RibConfigure>(Configure);
        Receive<BgpProtocol.OriginateRoutes>(Originate);
        Receive<BgpProtocol.OriginationComplete>(_ => Advance(_convergence with { OriginationComplete = true }));
        Receive<BgpProtocol.NextHopsChanged>(Resolve);
        Receive<BgpProtocol.BestRoutesApplied>(m => OnApplied(m.Sequence));
        Receive<BgpProtocol.RepeatBestRoutes>(_ => Repeat());
        Receive<BgpProtocol.GetBgpRoutes>(m => Sender.Tell(new BgpProtocol.BgpRoutes(_rib?.Look(m.Query) ?? RibPage.Empty)));
        Receive<BgpProtocol.ExplainRoute>(m => Sender.Tell(new BgpProtocol.BgpExplained(_rib?.Explain(m.Asked))));
        Receive<CompleteStatus>(Complete);
        Receive<RibPeerUp>(PeerUp);
        Receive<RibPeerChanged>(m => Then(r => r.PeerChanged(m.Peer)));
        Receive<RibPeerDown>(PeerDown);
        Receive<RibRemovePeer>(RemovePeer);
        Receive<RibDemoteStale>(m => Then(r => r.DemoteStale(m.Peer, m.Families)));
        Receive<RibSweepStale>(m => Then(r => r.SweepStale(m.Peer, m.Families)));
        Receive<RibApply>(Apply);
        Receive<RibRefresh>(m => Then(r => r.Refresh(m.Peer, m.Family)));
        Receive<RibChunkSent>(OnChunkSent);
        Receive<ConvergenceTimeOver>(_ => Advance(_convergence with { TimeIsOver = true }));
        Receive<FlushOutputs>(_ => Flush());
    }

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(IActorRef target) => Akka.Actor.Props.Create(() => new RibActor(target));

    private void Configure(RibConfigure m)
    {
        if (_rib is null)
        {
            _rib = new Rib(m.Config, _resolver);
            _convergence = ConvergenceState.NotStarted with
            {
                Started = true,
                Restarting = m.Restarting,
                Expected = [.. m.Expected]
            };
            Timers.StartSingleTimer(nameof(ConvergenceTimeOver), new ConvergenceTimeOver(), m.ConvergenceTime);
        }
        else
        {
            _rib.Reconfigure(m.Config);
            // Peers that are not configured any more need not be waited for.
            _convergence = _convergence with { Expected = _convergence.Expected.Intersect(m.Expected) };
        }
        Advance(_convergence);
    }

    private void Originate(BgpProtocol.OriginateRoutes m) => Then(rib =>
    {
        foreach (var prefix in m.Remove)
            rib.WithdrawLocal(prefix);
        foreach (var route in m.Add)
            rib.Originate(route.Prefix, route.Attributes);
    });

    private void Resolve(BgpProtocol.NextHopsChanged m)
    {
        _resolver = m.Resolver;
        if (_rib is null)
            return;
        Then(rib => rib.ResolveNextHops(m.Resolver, m.Changed.IsDefault ? null : m.Changed));
    }

    private void PeerUp(RibPeerUp m)
    {
        _up[m.Peer.Index] = new(Sender, m.Epoch);
        // A peer that restarted itself waits for our End-of-RIB; waiting for each other would only run out the clock.
        if (m.PeerRestarting)
            _convergence = _convergence.With(m.Name);
        else if (m.SendsEndOfRib)
            _convergence = _convergence.Await(m.Peer.Index, m.Name, m.Peer.Context.Families);
        Then(rib => rib.PeerUp(m.Peer));
        Advance(_convergence);
    }

    private void PeerDown(RibPeerDown m)
    {
        _up.Remove(m.Peer);
        Then(rib => rib.PeerDown(m.Peer, m.KeepStale));
    }

    private void RemovePeer(RibRemovePeer m)
    {
        _up.Remove(m.Peer);
        Then(rib => rib.RemovePeer(m.Peer));
        Advance(_convergence with { Expected = _convergence.Expected.Remove(m.Name) });
    }

    private void Apply(RibApply m)
    {
        Then(rib => rib.Apply(m.Peer, m.Batch));
        var ended = m.Batch.EndOfRib;
        Sender.Tell(new RoutesApplied(m.Connection, m.Batch));
        if (ended != Families.None)
            Advance(_convergence.Ended(m.Peer, ended));
    }

    private void OnChunkSent(RibChunkSent m)
    {
        if (!_up.TryGetValue(m.Peer, out var peer) || peer.Epoch != m.Epoch)
            return;
        peer.Chunks--;
        FlushSoon();
    }

    private void OnApplied(long sequence)
    {
        _applied = Math.Max(_applied, Math.Min(sequence, _sequence));
        FlushSoon();
    }

    private void Repeat()
    {
        _applied = _sequence;
        Then(rib => rib.RepeatBest());
    }

    private void Advance(ConvergenceState next)
    {
        _convergence = next;
        if (_rib is not null && next.EndOfRibAllowed)
            _rib.EndOfRibAllowed = true;
        FlushSoon();
    }

    private void Then(Action<Rib> change)
    {
        if (_rib is null)
            throw new InvalidOperationException("the RIB was not configured before it was used");
        change(_rib);
        foreach (var limit in _rib.TakeLimitsCrossed())
        {
            if (_up.TryGetValue(limit.Peer, out var peer))
                peer.Session.Tell(new PrefixLimitReached(peer.Epoch, limit));
        }
        FlushSoon();
    }

    private void FlushSoon()
    {
        if (_flushDue)
            return;
        _flushDue = true;
        Self.Tell(new FlushOutputs());
    }

    private void Flush()
    {
        _flushDue = false;
        if (_rib is null)
            return;
        foreach (var (index, peer) in _up)
        {
            while (peer.Chunks < ChunksUnderWay && _rib.HasUpdates(index) && SendChunk(_rib, index, peer))
            {
            }
        }
        while (_sequence - _applied < BatchesUnderWay && _rib.HasBestChanges)
            _target.Tell(new BgpProtocol.BestRoutesChanged(++_sequence, _rib.TakeBest(BatchRoutes)), Context.Parent);
        if (_convergence.MayAnnounce && !_rib.HasBestChanges)
            AnnounceConvergence();
    }

    private static bool SendChunk(Rib rib, ushort index, UpPeer peer)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        var length = rib.FillUpdates(index, buffer);
        if (length == 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            return false;
        }
        peer.Chunks++;
        peer.Session.Tell(new SendUpdates(peer.Epoch, buffer, length));
        return true;
    }

    private void AnnounceConvergence()
    {
        var converged = new BgpProtocol.InitialConvergence(_convergence.Missing.IsEmpty, _convergence.Missing);
        _convergence = _convergence with { Announced = true };
        if (converged.Complete)
            _log.Info("bgp converged: all expected peers sent their routes");
        else
            _log.Warning("bgp convergence time is over, still missing {Peers}", converged.MissingText);
        _target.Tell(converged, Context.Parent);
        Context.Parent.Tell(new Converged());
    }

    private void Complete(CompleteStatus m)
    {
        var peers = m.Peers.Select(p => _rib is null ? p.Peer
            : p.Peer with { Counters = Count(_rib, p.Index, p.Peer.Counters), RouterId = _rib.RouterIdOf(p.Index) });
        m.ReplyTo.Tell(m.Status with { Peers = [.. peers, .. m.Withheld], Converged = _convergence.Announced });
    }

    private static PeerCounters Count(Rib rib, ushort index, PeerCounters counters)
    {
        var v4 = rib.Counters(index, Families.Ipv4Unicast);
        var v6 = rib.Counters(index, Families.Ipv6Unicast);
        return counters with
        {
            Received = v4.Received + v6.Received,
            Advertised = v4.Advertised + v6.Advertised,
            MessagesOut = counters.MessagesOut + v4.UpdatesSent + v6.UpdatesSent,
        };
    }
}
