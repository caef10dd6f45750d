using Akka.Actor;
using Akka.Event;
using Calico.Actors.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Cluster;

/// <summary>
/// Owns the answer to "is this node there?". One per node name in the mesh, told every few seconds what is seen
/// of the node; holds nothing that the next observation does not bring back. When the node is known to be gone it
/// deletes its workload endpoints, so that no policy goes on meaning their addresses, and then has the owners of the
/// node's blocks take them back, again and again until the datastore shows nothing of the node.
/// <code>
///            member                        not a member, host answers
///   Alive ◄──────────────► AgentDown ◄──────────────────────────────┐
///     │                        │ host silent for NodeGoneAfter      │ (probe)
///     │ Node resource deleted  ▼                                    │
///     └──────────────────────► Gone ── member again ──► Alive ──────┘
/// </code>
/// A resource that is there again ends a Gone that its absence began; a silent host is believed again as a member only.
/// A dead agent alone takes nothing from its node: its kernel goes on forwarding for its pods.
/// </summary>
public sealed class NodeActor : ReceiveActor
{
    private sealed record Probed(bool Answers) : Protocol.ITick;
    private sealed record EndpointsDeleted(NodeProtocol.NodeObserved Of, bool Succeeded, Exception? Failure) : Protocol.ITick;

    /// <summary>Observations come every few seconds; with a longer gap between two probes the host was not watched.</summary>
    private static readonly TimeSpan ProbeGap = TimeSpan.FromSeconds(20);

    /// <summary>A resource that is being replaced is back at once.</summary>
    private static readonly TimeSpan MissingFor = TimeSpan.FromSeconds(3);

    private readonly MeshOptions _options;
    private readonly IDatastore _datastore;
    private readonly IHostProbe _probe;
    private readonly Uptime _uptime;
    private readonly IActorRef _blocks;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private NodeProtocol.NodeObserved? _seen;
    private NodeProtocol.Phase _phase;
    private TimeSpan _lastAnswer;
    private TimeSpan _lastProbe;
    private bool _probing;
    private bool _deleting;
    private TimeSpan? _missingSince;
    private bool _isSilent;

    /// <param name="blocks">The region of the blocks' owners.</param>
    public static Props Props(MeshOptions options, IDatastore datastore, IHostProbe probe, TimeProvider time, IActorRef blocks) =>
        Akka.Actor.Props.Create(() => new NodeActor(options, datastore, probe, time, blocks));

    public NodeActor(MeshOptions options, IDatastore datastore, IHostProbe probe, TimeProvider time, IActorRef blocks)
    {
        _options = options;
        _datastore = datastore;
        _probe = probe;
        _uptime = new Uptime(time);
        _blocks = blocks;

        Receive<NodeProtocol.NodeObserved>(OnObserved);
        Receive<NodeProtocol.GetNode>(g => Sender.Tell(new NodeProtocol.NodeStatus(g.Node, _phase, _seen?.Address, _seen?.Blocks ?? [])));
        Receive<Probed>(OnProbed);
        Receive<EndpointsDeleted>(OnEndpointsDeleted);
        Receive<BlockProtocol.HolderRetired>(r => _log.Debug("node {Node}: block {Block} is free of it", r.Node, r.Block));
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void OnObserved(NodeProtocol.NodeObserved observed)
    {
        _seen = observed;
        _missingSince = observed.ResourceExists ? null : _missingSince ?? _uptime.Now;
        if (observed.IsMember)
        {
            _isSilent = false;
            _lastAnswer = _uptime.Now;
            Enter(NodeProtocol.Phase.Alive);
        }
        else if (_missingSince is { } since)
        {
            // At first it may be a resource that is being replaced.
            if (_uptime.Now - since >= MissingFor)
                Enter(NodeProtocol.Phase.Gone);
        }
        else if (!_isSilent)
        {
            Enter(NodeProtocol.Phase.AgentDown);
            ProbeHost(observed.Address);
        }
        if (_phase is NodeProtocol.Phase.Gone)
            TakeBack(observed);
    }

    private void Enter(NodeProtocol.Phase phase)
    {
        if (_phase == phase)
            return;
        if (_phase != 0 || phase != NodeProtocol.Phase.Alive)
            _log.Info("node {Node}: {From} -> {To}", _seen!.Node, _phase, phase);
        if (phase is NodeProtocol.Phase.AgentDown)
            _lastAnswer = _uptime.Now;
        _phase = phase;
    }

    private void ProbeHost(IpAddr? address)
    {
        if (_probing || _options.NodeGoneAfter <= TimeSpan.Zero || address is not { } target)
            return;
        // Silence that nobody listened to is none: while the feed moves, nobody observes for a while.
        if (_uptime.Now - _lastProbe > ProbeGap)
            _lastAnswer = _uptime.Now;
        _lastProbe = _uptime.Now;
        _probing = true;
        _probe.AnswersAsync(target, _stopped.Token).PipeTo(Self, success: a => new Probed(a), failure: _ => new Probed(true));
    }

    private void OnProbed(Probed probed)
    {
        _probing = false;
        if (probed.Answers)
            _lastAnswer = _uptime.Now;
        var silent = _uptime.Now - _lastAnswer;
        if (_phase is NodeProtocol.Phase.AgentDown && silent >= _options.NodeGoneAfter)
        {
            _log.Warning("node {Node}: agent and host have been silent for {Silent}; taking its blocks back", _seen!.Node, silent);
            _isSilent = true;
            Enter(NodeProtocol.Phase.Gone);
            TakeBack(_seen);
        }
    }

    private void TakeBack(NodeProtocol.NodeObserved observed)
    {
        if (_deleting)
            return;
        if (observed.Endpoints.IsEmpty)
        {
            foreach (var (block, epoch) in observed.Blocks)
                _blocks.Tell(new BlockProtocol.RetireHolder(block, observed.Node, epoch));
            return;
        }
        _deleting = true;
        DeleteAsync(observed).PipeTo(Self, success: r => new EndpointsDeleted(observed, r.Succeeded, null), failure: e => new EndpointsDeleted(observed, false, e));
    }

    // Only the endpoints tell where the node has borrowed, so those addresses go first.
    private async Task<TransactionResult> DeleteAsync(NodeProtocol.NodeObserved observed)
    {
        foreach (var borrowing in observed.Borrowed)
            await BorrowedAddresses.FreeAsync(_datastore, observed.Node, borrowing, alsoOwn: false, _stopped.Token);
        // One that was written since may have borrowed anew: it goes when it has been seen.
        return await _datastore.CommitAsync(new Transaction([.. observed.Endpoints.Select(e => Compare.At(e.Key, e.Revision))],
            [.. observed.Endpoints.Select(e => Write.Delete(e.Key))]), _stopped.Token);
    }

    private void OnEndpointsDeleted(EndpointsDeleted deleted)
    {
        _deleting = false;
        if (deleted.Failure is { } failure)
        {
            _log.Warning("node {Node}: its workload endpoints could not be deleted: {Cause}", deleted.Of.Node, failure.Message);
            return;
        }
        if (!deleted.Succeeded)
            return;
        _log.Info("node {Node}: {Count} workload endpoints deleted", deleted.Of.Node, deleted.Of.Endpoints.Length);
        // There may be more than fitted; the next observation tells.
        if (_phase is NodeProtocol.Phase.Gone && deleted.Of.Endpoints.Length < NodeProtocol.MaxEndpoints)
            TakeBack(deleted.Of with { Endpoints = [] });
    }
}
