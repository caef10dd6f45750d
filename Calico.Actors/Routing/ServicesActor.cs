using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Protocol;
using Calico.Core.Bgp.Services;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes;

namespace Calico.Actors.Routing;

/// <summary>Between routing and the actor that watches services. Local.</summary>
internal static class ServiceProtocol
{
    /// <summary>What may be announced from now on. Answered with <see cref="RoutesChanged"/>, and again whenever that changes.</summary>
    public sealed record UseRanges(ServiceRanges Ranges) : ILocalMessage;

    /// <summary>All host routes of services that this node announces.</summary>
    public sealed record RoutesChanged(ImmutableSortedSet<Cidr> Routes) : ILocalMessage;
}

/// <summary>
/// Watches Services and EndpointSlices for routing, its parent, once there is a range to announce: nobody else needs
/// them, and the API server pays for each watch. Says nothing before it knows both kinds completely. A restart lists anew.
/// </summary>
internal sealed class ServicesActor : ReceiveActor, IWithTimers
{
    private sealed record Heard(PlainKind Kind, PlainChange Change) : ITick;

    private sealed record Lost(PlainKind Kind, Exception Cause) : ITick;

    private sealed record Again(PlainKind Kind) : ITick;

    private sealed class Look : ITick
    {
        public static readonly Look Instance = new();
    }

    /// <summary>Changes of services come in bursts; they are looked at together after this long.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(30);

    private readonly IPlainObjects _objects;
    private readonly ServiceTable _table;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();

    // Changes under way to this actor.
    private readonly SemaphoreSlim _credits = new(16);
    private ServiceRanges _ranges = new();
    private ImmutableSortedSet<Cidr>? _told;
    private bool _isFollowing;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(IPlainObjects objects, string node) => Akka.Actor.Props.Create(() => new ServicesActor(objects, node));

    public ServicesActor(IPlainObjects objects, string node)
    {
        _objects = objects;
        _table = new ServiceTable(node);
        Receive<ServiceProtocol.UseRanges>(OnRanges);
        Receive<Heard>(OnHeard);
        Receive<Lost>(OnLost);
        Receive<Again>(a => Follow(a.Kind));
        Receive<Look>(_ => Tell());
    }

    protected override void PostStop() => _stopped.Cancel();

    private void OnRanges(ServiceProtocol.UseRanges m)
    {
        _ranges = m.Ranges;
        _told = null;
        if (!_isFollowing && !_ranges.All.IsEmpty)
        {
            _isFollowing = true;
            Follow(PlainKind.Services);
            Follow(PlainKind.EndpointSlices);
        }
        Tell();
    }

    private void OnHeard(Heard m)
    {
        _credits.Release();
        var objects = m.Change.Objects.Select(o => (o.Namespace, o.Name, o.Json));
        if (m.Kind == PlainKind.Services)
            _table.TakeServices(objects, m.Change.IsAll);
        else
            _table.TakeSlices(objects, m.Change.IsAll);
        if (!Timers.IsTimerActive(nameof(Look)))
            Timers.StartSingleTimer(nameof(Look), Look.Instance, Settle);
    }

    private void OnLost(Lost m)
    {
        _log.Warning("services: {Kind} cannot be watched, what is announced stays as it is: {Cause}; tried again in {Pause}", m.Kind, m.Cause.Message, RetryAfter);
        Timers.StartSingleTimer(m.Kind, new Again(m.Kind), RetryAfter);
    }

    private void Tell()
    {
        if (_isFollowing && !_table.IsComplete)
            return;
        var routes = _ranges.All.IsEmpty ? [] : _table.Routes(_ranges);
        if (_told is not null && routes.SetEquals(_told))
            return;
        _told = routes;
        Context.Parent.Tell(new ServiceProtocol.RoutesChanged(routes));
    }

    private void Follow(PlainKind kind) => _ = FollowAsync(_objects, kind, _credits, Self, _stopped.Token);

    private static async Task FollowAsync(IPlainObjects objects, PlainKind kind, SemaphoreSlim credits, IActorRef self, CancellationToken cancellation)
    {
        try
        {
            await foreach (var change in objects.FollowAsync(new PlainSelection(kind), cancellation))
            {
                await credits.WaitAsync(cancellation);
                self.Tell(new Heard(kind, change));
            }
        }
        catch (Exception) when (cancellation.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            self.Tell(new Lost(kind, e));
        }
    }
}
