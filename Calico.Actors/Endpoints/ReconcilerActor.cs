using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;

namespace Calico.Actors.Endpoints;

/// <summary>What is said to the reconciler. Local.</summary>
public static class ReconcilerProtocol
{
    public sealed record GetStatus : ILocalMessage;

    /// <param name="Report">Of the last reconciliation that ended; null while none has.</param>
    public sealed record Status(ReconcileReport? Report) : ILocalMessage;
}

/// <summary>
/// Keeps what the datastore says of this node true: begins a <see cref="Reconciliation"/> whenever blocks, this node's
/// endpoints or its Node resource changed, and now and then. Child of the node's guardian. Remembers nothing that the feed
/// does not tell again; its death costs one more comparison.
/// </summary>
public sealed class ReconcilerActor : ReceiveActor, IWithTimers
{
    private sealed class Look : ITick
    {
        public static readonly Look Instance = new();
    }

    private sealed record Done(ReconcileReport? Report, Exception? Failure) : ITick;

    /// <summary>Changes come in flocks: calls of the runtime, a feed that begins again.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(30);

    private readonly ReconcilerServices _services;
    private readonly IActorRef _upstream;
    private readonly Reconciliation _reconciliation;
    private readonly OwnEndpoints _own;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private ReconcileReport? _report;
    private bool _inSync;
    private bool _busy;
    private bool _again;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(ReconcilerServices services, IActorRef upstream) =>
        Akka.Actor.Props.Create(() => new ReconcilerActor(services, upstream));

    public ReconcilerActor(ReconcilerServices services, IActorRef upstream)
    {
        _services = services;
        _upstream = upstream;
        _reconciliation = new Reconciliation(services, _log);
        _own = new OwnEndpoints(services.Node);

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<LeaseProtocol.HeldBlocks>(_ => LookIn(Settle));
        Receive<Look>(_ => OnLook());
        Receive<Done>(OnDone);
        Receive<ReconcilerProtocol.GetStatus>(_ => Sender.Tell(new ReconcilerProtocol.Status(_report)));
    }

    protected override void PreStart()
    {
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        _services.Lease.Tell(new LeaseProtocol.Subscribe(Self));
        Timers.StartPeriodicTimer("period", Look.Instance, Period);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        if (_own.Learn(changed.Items) | (changed.InSync && !_inSync))
            LookIn(Settle);
        _inSync = changed.InSync;
    }

    private void LookIn(TimeSpan delay)
    {
        if (!Timers.IsTimerActive(nameof(Look)))
            Timers.StartSingleTimer(nameof(Look), Look.Instance, delay);
    }

    private void OnLook()
    {
        _again = _busy;
        if (_busy)
            return;
        _busy = true;
        _reconciliation.RunAsync(_inSync ? _own.Endpoints : null, _own.HasNode, _stopped.Token)
            .PipeTo(Self, success: r => new Done(r, null), failure: e => new Done(null, e));
    }

    private void OnDone(Done done)
    {
        _busy = false;
        if (done.Failure is { } failure)
            _log.Warning("what the datastore says of this node cannot be compared: {Cause}; trying again", failure.Message);
        _report = done.Report ?? _report;
        if (done.Failure is not null || done.Report!.Pending.Length > 0)
            LookIn(RetryAfter);
        else if (_again)
            LookIn(Settle);
        _again = false;
    }
}
