using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Protocol;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;

namespace Calico.Actors.Bfd;

/// <summary>
/// Owns the BFD engine, from the first neighbour that somebody wants watched on, and tells those who watch one how its session is;
/// changes of one session arrive in order. When it stops, neighbours are told that BFD is switched off here, which is no failure to
/// them. Its death and restart begins all sessions anew, with the same subscribers; a subscriber that stops takes its wishes along.
/// When it has stopped for good, nobody is watched any more: who relies on it ends with it (<see cref="SentinelActor"/>).
/// </summary>
public sealed class BfdActor : ReceiveActor
{
    private sealed record Changed(BfdChange Change) : ITick;
    private sealed record EngineFailed(Exception Cause) : ITick;
    private sealed record StatusRead(IActorRef ReplyTo, ImmutableArray<BfdSessionStatus> Sessions) : ITick;

    private readonly Func<IBfdEngine> _start;
    private readonly TimeProvider _time;
    private readonly BfdWatchers _watchers;
    private readonly CancellationTokenSource _stopped = new();
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private IBfdEngine? _engine;
    private bool _isAloneKnown;

    /// <param name="start">Makes the engine that the actor owns from then on, such as <see cref="BfdThread.Start(Calico.Kernel.Namespaces.INetworkNamespace)"/>.</param>
    public static Props Props(Func<IBfdEngine> start, TimeProvider time)
    {
        // One actor for each Props: what subscribers said once must be known to the successor.
        var watchers = new BfdWatchers();
        return Akka.Actor.Props.Create(() => new BfdActor(start, time, watchers));
    }

    public BfdActor(Func<IBfdEngine> start, TimeProvider time, BfdWatchers watchers)
    {
        _start = start;
        _time = time;
        _watchers = watchers;

        Receive<BfdProtocol.Watch>(OnWatch);
        Receive<BfdProtocol.Unwatch>(u => Remove(u.Endpoint, u.Subscriber));
        Receive<BfdProtocol.SetEnabled>(OnSetEnabled);
        Receive<BfdProtocol.GetBfdStatus>(_ => OnGetStatus());
        Receive<Changed>(c => OnChanged(c.Change));
        Receive<StatusRead>(OnStatusRead);
        Receive<Terminated>(OnTerminated);
        Receive<EngineFailed>(f => throw new InvalidOperationException("the BFD engine has ended", f.Cause));
    }

    protected override void PreStart()
    {
        foreach (var subscriber in _watchers.Subscribers)
            Context.Watch(subscriber);
        foreach (var (endpoint, parameters) in _watchers.Sessions)
            Engine().Watch(endpoint, parameters);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _engine?.Dispose();
        _stopped.Dispose();
    }

    // A thread, and a process with other habits of its collector, only where somebody needs them.
    private IBfdEngine Engine()
    {
        if (_engine is not null)
            return _engine;
        _engine = _start();
        NoteAhead();
        _ = FollowAsync(_engine, Self, _stopped.Token);
        return _engine;
    }

    private static async Task FollowAsync(IBfdEngine engine, IActorRef self, CancellationToken cancellation)
    {
        try
        {
            while (await engine.NextAsync(cancellation) is { } change)
                self.Tell(new Changed(change));
        }
        catch (Exception) when (cancellation.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            self.Tell(new EngineFailed(e));
        }
    }

    private void OnWatch(BfdProtocol.Watch watch)
    {
        if ((watch.Endpoint.Problem ?? watch.Parameters.Problem) is { } problem)
        {
            watch.Subscriber.Tell(new BfdProtocol.WatchRefused(watch.Endpoint, problem));
            return;
        }
        Context.Watch(watch.Subscriber);
        var isKnown = _watchers.Last(watch.Endpoint) is not null;
        if (_watchers.Add(watch.Endpoint, watch.Subscriber, watch.Parameters) is { } parameters)
            Engine().Watch(watch.Endpoint, parameters);
        // A session that begins is told by its first change.
        if (isKnown)
            watch.Subscriber.Tell(_watchers.Last(watch.Endpoint));
    }

    private void Remove(BfdEndpoint endpoint, IActorRef subscriber)
    {
        var (isLast, parameters) = _watchers.Remove(endpoint, subscriber);
        if (isLast)
            _engine?.Unwatch(endpoint);
        else if (parameters is not null)
            _engine?.Watch(endpoint, parameters);
        if (_watchers.WatchedBy(subscriber).Count == 0)
            Context.Unwatch(subscriber);
    }

    private void OnTerminated(Terminated terminated)
    {
        foreach (var endpoint in _watchers.WatchedBy(terminated.ActorRef))
            Remove(endpoint, terminated.ActorRef);
    }

    private void OnSetEnabled(BfdProtocol.SetEnabled change)
    {
        if (_watchers.IsWatched(change.Endpoint))
            _engine?.SetEnabled(change.Endpoint, change.Enabled);
    }

    private void NoteAhead()
    {
        if (_engine is not { } engine)
            return;
        if (!engine.SendsAhead && !_isAloneKnown)
            _log.Warning("bfd: the kernel does not send for this process (it allows no io_uring, or took no more of it); a neighbour takes a pause that exceeds its detection time for a failure");
        _isAloneKnown = !engine.SendsAhead;
    }

    private void OnChanged(BfdChange change)
    {
        NoteAhead();
        if (_watchers.Note(change, _time.GetUtcNow()) is not { } changed)
            return;
        _log.Info("bfd {Endpoint}: {State}, {Diagnostic}, the neighbour is {RemoteState}", change.Endpoint, change.State, change.Diagnostic, change.RemoteState);
        foreach (var subscriber in _watchers.SubscribersOf(change.Endpoint))
            subscriber.Tell(changed);
    }

    private void OnGetStatus()
    {
        var replyTo = Sender;
        if (_engine is null)
            replyTo.Tell(new BfdProtocol.BfdStatus(false, []));
        else
            _engine.StatusAsync().PipeTo(Self, success: sessions => new StatusRead(replyTo, sessions), failure: e => new EngineFailed(e));
    }

    private void OnStatusRead(StatusRead read)
    {
        NoteAhead();
        read.ReplyTo.Tell(new BfdProtocol.BfdStatus(_engine is { SendsAhead: true },
        [
            .. read.Sessions.Where(s => _watchers.IsWatched(s.Endpoint)).Select(s => new BfdProtocol.BfdNeighbour(s,
                _watchers.Last(s.Endpoint)?.Since ?? _time.GetUtcNow(), _watchers.SubscribersOf(s.Endpoint).Count)),
        ]));
    }
}
