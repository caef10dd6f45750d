using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Actors.Tunnels;

/// <summary>What is said to the owner of the tunnels' addresses. Local.</summary>
public static class TunnelProtocol
{
    public sealed record GetStatus : ILocalMessage;

    /// <param name="Settled">A comparison has ended since the last change.</param>
    /// <param name="Problems">Why an address is missing, a sentence each.</param>
    public sealed record Status(bool Settled, ImmutableArray<string> Problems) : ILocalMessage;
}

/// <summary>
/// Sees to it that this node has an address for each kind of tunnel that the pools ask for, and none for the others: begins a
/// comparison (<see cref="TunnelAddresses"/>) when pools, this node's resource or its blocks change, and now and then. Child of
/// the node's guardian. Remembers nothing that the feed does not tell again; its death costs one more comparison. Takes
/// nothing away before the feed has told every pool.
/// </summary>
public sealed class TunnelActor : ReceiveActor, IWithTimers
{
    private sealed class Look : ITick
    {
        public static readonly Look Instance = new();
    }

    private sealed record Done(ImmutableArray<string> Problems, Exception? Failure) : ITick;

    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Period = TimeSpan.FromMinutes(1);

    private readonly TunnelServices _services;
    private readonly IActorRef _upstream;
    private readonly TunnelAddresses _addresses;
    private readonly SortedDictionary<string, IPPool> _pools = new(StringComparer.Ordinal);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private ImmutableArray<string> _problems = [];
    private bool _inSync;
    private bool _busy;
    private bool _again;
    private bool _settled;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(TunnelServices services, IActorRef upstream) =>
        Akka.Actor.Props.Create(() => new TunnelActor(services, upstream));

    public TunnelActor(TunnelServices services, IActorRef upstream)
    {
        _services = services;
        _upstream = upstream;
        _addresses = new TunnelAddresses(services, _log);

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.MembersChanged>(_ => { });
        Receive<UpstreamProtocol.PoliciesChanged>(_ => { });
        Receive<LeaseProtocol.HeldBlocks>(_ => LookIn(Settle));
        Receive<Look>(_ => OnLook());
        Receive<Done>(OnDone);
        Receive<TunnelProtocol.GetStatus>(_ => Sender.Tell(new TunnelProtocol.Status(_settled, _problems)));
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
        var isNews = changed.InSync && !_inSync;
        _inSync = changed.InSync;
        foreach (var item in changed.Items)
        {
            if (ResourceKey.TryParse(item.Key, out var key))
                isNews |= Learn(key, item);
        }
        if (isNews)
            LookIn(Settle);
    }

    private bool Learn(ResourceKey key, FeedItem item)
    {
        if (key.Kind == ResourceKind.Node)
            return key.Name == _services.Node;
        if (key.Kind != ResourceKind.IPPool)
            return false;
        try
        {
            if (item.Value is { } value)
                _pools[key.Name] = (IPPool)StoredResource.Read(key, value.Span, item.Revision);
            else
                _pools.Remove(key.Name);
        }
        catch (InvalidResourceException e)
        {
            _log.Error("{Key} cannot be read and stays as it was: {Cause}", key, e.Message);
        }
        return true;
    }

    private void LookIn(TimeSpan delay)
    {
        _settled = false;
        if (!Timers.IsTimerActive(nameof(Look)))
            Timers.StartSingleTimer(nameof(Look), Look.Instance, delay);
    }

    private void OnLook()
    {
        _again = _busy;
        if (_busy || !_inSync)
            return;
        _busy = true;
        _addresses.RunAsync([.. _pools.Values], _stopped.Token)
            .PipeTo(Self, success: p => new Done(p, null), failure: e => new Done([], e));
    }

    private void OnDone(Done done)
    {
        _busy = false;
        var problems = done.Failure is { } failure ? [failure.Message] : done.Problems;
        foreach (var problem in problems.Except(_problems))
            _log.Warning("tunnels of {Node}: {Problem}; trying again", _services.Node, problem);
        _problems = problems;
        _settled = !_again && problems.IsEmpty;
        if (!problems.IsEmpty)
            LookIn(RetryAfter);
        else if (_again)
            LookIn(Settle);
        _again = false;
    }
}
