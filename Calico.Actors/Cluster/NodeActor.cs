using System.Collections.Immutable;
using Akka.Actor;
using Akka.Cluster.Sharding;
using Akka.Event;
using Calico.Actors.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Cluster;

/// <summary>
/// Owns the answer to "is this node there?". A sharded entity, one per node name, told every few seconds what is seen
/// of the node; holds nothing that the next observation does not bring back. When the node is known to be gone it has
/// the owners of the node's blocks take them back, again and again until they say so.
/// <code>
///            member                        not a member, host answers
///   Alive ◄──────────────► AgentDown ◄──────────────────────────────┐
///     │                        │ host silent for NodeGoneAfter      │ (probe)
///     │ Node resource deleted  ▼                                    │
///     └──────────────────────► Gone ── member again ──► Alive ──────┘
/// </code>
/// A dead agent alone takes nothing from its node: its kernel goes on forwarding for its pods.
/// </summary>
public sealed class NodeActor : ReceiveActor
{
    private sealed record Probed(bool Answers) : Protocol.ITick;

    private readonly MeshOptions _options;
    private readonly IHostProbe _probe;
    private readonly TimeProvider _time;
    private readonly IActorRef _blocks;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private NodeProtocol.NodeObserved? _seen;
    private NodeProtocol.Phase _phase;
    private DateTimeOffset _lastAnswer;
    private bool _probing;
    private int _missing;

    /// <param name="blocks">The shard region of the block owners.</param>
    public static Props Props(MeshOptions options, IHostProbe probe, TimeProvider time, IActorRef blocks) =>
        Akka.Actor.Props.Create(() => new NodeActor(options, probe, time, blocks));

    public NodeActor(MeshOptions options, IHostProbe probe, TimeProvider time, IActorRef blocks)
    {
        _options = options;
        _probe = probe;
        _time = time;
        _blocks = blocks;
        _lastAnswer = time.GetUtcNow();

        Receive<NodeProtocol.NodeObserved>(OnObserved);
        Receive<NodeProtocol.GetNode>(g => Sender.Tell(new NodeProtocol.NodeStatus(g.Node, _phase, _seen?.Address, _seen?.Blocks ?? [])));
        Receive<Probed>(OnProbed);
        Receive<BlockProtocol.HolderRetired>(r => _log.Debug("node {Node}: block {Block} is free of it", r.Node, r.Block));
        Receive<ReceiveTimeout>(_ => Context.Parent.Tell(new Passivate(PoisonPill.Instance)));
    }

    protected override void PreStart() => Context.SetReceiveTimeout(TimeSpan.FromMinutes(5));

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void OnObserved(NodeProtocol.NodeObserved observed)
    {
        _seen = observed;
        if (observed.ResourceExists)
            _missing = 0;
        if (observed.IsMember)
        {
            _lastAnswer = _time.GetUtcNow();
            Enter(NodeProtocol.Phase.Alive);
        }
        else if (!observed.ResourceExists)
        {
            // Once may be a resource that is being replaced.
            if (++_missing >= 2)
                Enter(NodeProtocol.Phase.Gone);
        }
        else if (_phase is not NodeProtocol.Phase.Gone)
        {
            Enter(NodeProtocol.Phase.AgentDown);
            ProbeHost(observed.Address);
        }
        if (_phase is NodeProtocol.Phase.Gone)
            TakeBackBlocks(observed);
    }

    private void Enter(NodeProtocol.Phase phase)
    {
        if (_phase == phase)
            return;
        if (_phase != 0 || phase != NodeProtocol.Phase.Alive)
            _log.Info("node {Node}: {From} -> {To}", _seen!.Node, _phase, phase);
        if (phase is NodeProtocol.Phase.AgentDown)
            _lastAnswer = _time.GetUtcNow();
        _phase = phase;
    }

    private void ProbeHost(IpAddr? address)
    {
        if (_probing || _options.NodeGoneAfter <= TimeSpan.Zero || address is not { } target)
            return;
        _probing = true;
        _probe.AnswersAsync(target, _stopped.Token).PipeTo(Self, success: a => new Probed(a), failure: _ => new Probed(true));
    }

    private void OnProbed(Probed probed)
    {
        _probing = false;
        if (probed.Answers)
            _lastAnswer = _time.GetUtcNow();
        var silent = _time.GetUtcNow() - _lastAnswer;
        if (_phase is NodeProtocol.Phase.AgentDown && silent >= _options.NodeGoneAfter)
        {
            _log.Warning("node {Node}: agent and host have been silent for {Silent}; taking its blocks back", _seen!.Node, silent);
            Enter(NodeProtocol.Phase.Gone);
            TakeBackBlocks(_seen);
        }
    }

    private void TakeBackBlocks(NodeProtocol.NodeObserved observed)
    {
        foreach (var block in observed.Blocks)
            _blocks.Tell(new BlockProtocol.RetireHolder(block, observed.Node));
    }
}
