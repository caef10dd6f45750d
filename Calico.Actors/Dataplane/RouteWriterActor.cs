using System.Collections.Immutable;
using System.Diagnostics;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Model.Kubernetes;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Dataplane;

/// <summary>How to tell our routes from others', by facts of Calico: protocol 80, or boot on a workload's interface.</summary>
public sealed record RouteWriterOptions
{
    public const byte CalicoProtocol = 80;
    public const byte BootProtocol = 3;

    /// <summary>Of routes that BIRD wrote, Calico's or another.</summary>
    public const byte BirdProtocol = 12;

    public string InterfacePrefix { get; init; } = KubeNames.DefaultInterfacePrefix;
}

/// <summary>
/// The one writer of this node's routes, on a thread of its own. On start it adopts what the kernel has; it writes
/// differences only, and removes nothing that it found until every source has spoken. What others change under it is noticed and put
/// right, what goes with a link or an address, too. Where another's route stands, a learned one waits until that is gone, unless it is BIRD's.
/// Its death changes nothing in the kernel; its successor adopts again and knows what was wanted.
/// </summary>
public sealed class RouteWriterActor : ReceiveActor, IWithTimers
{
    private sealed record Seen(IReadOnlyList<KernelEvent> Events) : Protocol.ITick;
    private sealed class Flush : Protocol.ITick
    {
        public static readonly Flush Instance = new();
    }

    private sealed class Retry : Protocol.ITick
    {
        public static readonly Retry Instance = new();
    }

    private sealed class LookAgain : Protocol.ITick
    {
        public static readonly LookAgain Instance = new();
    }

    /// <summary>Links and addresses change in bursts; what that did to the routes is looked at after this long.</summary>
    private static readonly TimeSpan Burst = TimeSpan.FromMilliseconds(50);

    private readonly RouteWriterOptions _options;
    private readonly IRouteTable _routes;
    private readonly ILinkTable _links;
    private readonly IKernelMonitor _monitor;
    private readonly RouteTracker _tracker;
    private readonly List<(long Id, IActorRef ReplyTo, ImmutableArray<RouteKey> Keys)> _waiting = [];
    private readonly Dictionary<RouteKey, string> _failed = [];
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private bool _flushing;

    public ITimerScheduler Timers { get; set; } = null!;

    // The sources say things once, and go on saying them while this one is started again: what they said so far must be
    // known before what is in the mailbox, so it outlives the actor. One actor for each Props.
    public static Props Props(INetworkNamespace host, RouteWriterOptions options)
    {
        var tracker = new RouteTracker();
        return Akka.Actor.Props.Create(() => new RouteWriterActor(host, options, tracker));
    }

    public RouteWriterActor(INetworkNamespace host, RouteWriterOptions options, RouteTracker tracker)
    {
        _options = options;
        _tracker = tracker;
        _routes = host.OpenRoutes();
        _links = host.OpenLinks();
        // What this writes it knows; of what others write it must hear.
        _monitor = host.OpenMonitor(KernelEventGroups.RoutesV4 | KernelEventGroups.RoutesV6 | KernelEventGroups.Links | KernelEventGroups.Addresses, new KernelEventFilter(Writer: _routes));

        Receive<RouteProtocol.ChangeRoutes>(OnChange);
        Receive<RouteProtocol.SourceComplete>(OnComplete);
        Receive<RouteProtocol.GetStatus>(_ => Sender.Tell(Status()));
        Receive<Flush>(_ => OnFlush());
        Receive<Retry>(_ => OnFlush());
        Receive<LookAgain>(_ => Adopt());
        Receive<Seen>(OnSeen);
        Receive<KernelWatch.Failed>(f => throw f.ToException());
    }

    protected override void PreStart()
    {
        Adopt();
        _log.Info("routes: {Count} of ours are in the kernel", _tracker.ActualCount);
        _ = KernelWatch.FollowAsync(_monitor, Self, events => new Seen(events), _stopped.Token);
    }

    protected override void PreRestart(Exception reason, object message)
    {
        foreach (var (id, replyTo, keys) in _waiting)
            replyTo.Tell(new RouteProtocol.RoutesCommitted(id, [.. keys.Select(k => (k, "the writer of routes starts again"))]));
        base.PreRestart(reason, message);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _monitor.Dispose();
        _routes.Dispose();
        _links.Dispose();
        _stopped.Dispose();
    }

    private void Adopt()
    {
        var ours = Ours(_routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.CalicoProtocol)))
            .Concat(Ours(_routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.BootProtocol)))).ToList();
        _tracker.Adopt(ours, _routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.BirdProtocol)).Select(r => r.Key));
        Schedule();
    }

    private IEnumerable<Route> Ours(IReadOnlyList<Route> routes)
    {
        Dictionary<int, bool>? workload = null;
        foreach (var route in routes)
        {
            if (route.Protocol == RouteWriterOptions.CalicoProtocol)
            {
                yield return route;
                continue;
            }
            workload ??= _links.Dump().ToDictionary(l => l.Index, l => IsWorkload(l.Name));
            if (route.NextHops.Length == 1 && route.Key.Destination.IsHost && workload.GetValueOrDefault(route.NextHops[0].LinkIndex))
                yield return route;
        }
    }

    private bool IsWorkload(string link) => link.StartsWith(_options.InterfacePrefix, StringComparison.Ordinal);

    private void OnChange(RouteProtocol.ChangeRoutes change)
    {
        foreach (var key in change.Unwanted)
        {
            _tracker.Unwant(change.Source, key);
            if (_tracker.Wanted(key) is null)
                _failed.Remove(key);
        }
        foreach (var route in change.Wanted)
            _tracker.Want(change.Source, route);
        if (change.RequestId is { } id)
            _waiting.Add((id, Sender, [.. change.Wanted.Select(r => r.Key)]));
        Schedule();
    }

    private void OnComplete(RouteProtocol.SourceComplete complete)
    {
        _tracker.SourceComplete(complete.Source);
        Schedule();
    }

    // Everything that is in the mailbox already goes into one batch.
    private void Schedule()
    {
        if (_flushing)
            return;
        _flushing = true;
        Self.Tell(Flush.Instance);
    }

    private void OnFlush()
    {
        _flushing = false;
        var changes = _tracker.Pending().ToArray();
        var results = new Errno[changes.Length];
        if (changes.Length > 0)
            Apply(changes, results);
        foreach (var (id, replyTo, keys) in _waiting)
            replyTo.Tell(new RouteProtocol.RoutesCommitted(id, [.. keys.Where(_failed.ContainsKey).Select(k => (k, _failed[k]))]));
        _waiting.Clear();
        if (_tracker.HasWork)
            Timers.StartSingleTimer(nameof(Retry), Retry.Instance, TimeSpan.FromSeconds(2));
    }

    private void Apply(RouteChange[] changes, Errno[] results)
    {
        var began = Stopwatch.GetTimestamp();
        _routes.Apply(changes, results);
        DataplaneMetrics.Applied(began, results.Any(r => r is not Errno.None));
        for (var i = 0; i < changes.Length; i++)
            Settle(changes[i], results[i]);
    }

    private void Settle(RouteChange change, Errno result)
    {
        var key = change.Route.Key;
        if (result is Errno.None)
        {
            _tracker.Committed(change);
            if (_failed.Remove(key))
                _log.Info("route {Destination}: written after all", key.Destination);
            return;
        }
        var what = result is Errno.EEXIST ? "another's route has its place and stays" : result.ToString();
        var reason = $"route {key.Destination} {Describe(change.Route)}: {what}";
        var isNew = !_failed.TryGetValue(key, out var before);
        if (isNew)
            _log.Warning("{Reason}; trying again", reason);
        _failed[key] = reason;
        // Whose route that is only a look tells: with our writes and others' on their way at once it may be ours.
        if (result is Errno.ENOBUFS || (result is Errno.EEXIST && before != reason))
            LookSoon();
    }

    private void LookSoon()
    {
        if (!Timers.IsTimerActive(nameof(LookAgain)))
            Timers.StartSingleTimer(nameof(LookAgain), LookAgain.Instance, Burst);
    }

    private static string Describe(Route route) => route.NextHops.IsEmpty
        ? route.Kind.ToString().ToLowerInvariant()
        : string.Join(" ", route.NextHops.Select(n => n.Gateway is { } g ? $"via {g} link {n.LinkIndex}" : $"link {n.LinkIndex}"));

    private void OnSeen(Seen seen)
    {
        foreach (var e in seen.Events)
        {
            switch (e)
            {
                case KernelEvent.Overflow:
                    Adopt();
                    return;
                case KernelEvent.RouteChanged { Route.Key.Table: RouteKey.MainTable } r:
                    Observe(r.Route, r.Removed);
                    break;
                // The kernel does not say which IPv4 routes went along. A workload's link takes none but its own.
                case KernelEvent.LinkChanged { Link.Name: var name } when !IsWorkload(name):
                case KernelEvent.LinkRemoved { Name: var gone } when !IsWorkload(gone):
                case KernelEvent.AddressChanged { Removed: true, Address.Address.IsV4: true }:
                    LookSoon();
                    break;
            }
        }
        if (_tracker.HasWork)
            Schedule();
    }

    // Another's route in the place of a wanted one: ours is not there, and that one is not ours to remove later.
    private void Observe(Route route, bool removed)
    {
        var isBirds = route.Protocol == RouteWriterOptions.BirdProtocol;
        if (isBirds || !removed)
            _tracker.ObserveBird(route.Key, removed || !isBirds);
        var wanted = _tracker.Wanted(route.Key);
        var ours = route.Protocol == RouteWriterOptions.CalicoProtocol || route.Protocol == wanted?.Protocol;
        if (ours || wanted is not null)
            _tracker.Observe(route, removed || !ours);
    }

    private RouteProtocol.Status Status() =>
        new(_tracker.WantedCount, _tracker.ActualCount, _failed.Count, _routes.WriteCount, _tracker.IsComplete);
}
