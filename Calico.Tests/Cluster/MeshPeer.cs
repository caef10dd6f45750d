using System.Collections.Concurrent;
using System.Collections.Immutable;
using Akka.Actor;
using Akka.Cluster;
using Akka.Event;
using Akka.Remote;
using Calico.Actors.Audit;
using Calico.Actors.Cluster;
using Calico.Actors.Cluster.Owners;
using Calico.Actors.Gateway;

namespace Calico.Tests.Cluster;

/// <summary>One node of a <see cref="MeshBed"/>: a mesh system as the agent starts it, and the node's half behind its link.</summary>
internal sealed class MeshPeer(MeshBed bed, MeshOptions options)
{
    private static readonly TimeSpan ShutdownTime = TimeSpan.FromSeconds(30);

    private readonly ConcurrentQueue<string> _log = new();
    private ActorSystem? _system;

    public string Node => options.Node;
    public MeshOptions Options => options;
    public MemberStore Store { get; private set; } = null!;
    public NodeHalf Half { get; private set; } = null!;

    /// <summary>The cluster's figures of IPAM, if this is the member that has them.</summary>
    public IpamBoard Audit { get; } = new();

    public ActorSystem System => _system ?? throw new InvalidOperationException($"{Node} has not been started");
    public bool IsRunning => _system is { } system && !system.WhenTerminated.IsCompleted;

    /// <summary>What its mesh logged, all lives together.</summary>
    public IEnumerable<string> Log => _log;

    /// <summary>Its address in the mesh, by which the others know its policy log.</summary>
    public string Address { get; private set; } = "";

    public ClusterEvent.CurrentClusterState View => Akka.Cluster.Cluster.Get(System).State;

    /// <summary>The nodes that it sees up, in order.</summary>
    public ImmutableArray<string> Up =>
        [.. View.Members.Where(m => m.Status is MemberStatus.Up).Select(MeshPaths.NodeOf).Order(StringComparer.Ordinal)];

    /// <summary>The owners of a kind that are awake on this member.</summary>
    public async Task<ImmutableArray<string>> AwakeAsync(string kind) =>
        (await System.ActorSelection("/user/" + kind).Ask<OwnerProtocol.Awake>(OwnerProtocol.GetAwake.Instance, ShutdownTime)).Owners;

    /// <summary>Begins a life. The process before it is gone with its link, its queues and its connections.</summary>
    public void Start()
    {
        var link = new MeshLink();
        Store = new MemberStore(bed.Datastore);
        Half = new NodeHalf(bed.NodeHalves, link, Node);
        _system = MeshSystem.Start(options, new MeshPorts(Store, link, TimeProvider.System, bed.Probe) { Audit = Audit });
        Address = Akka.Cluster.Cluster.Get(_system).SelfAddress.ToString();
        var keeper = bed.NodeHalves.ActorOf(Props.Create(() => new LogKeeper(_log)));
        foreach (var level in new[] { typeof(Info), typeof(Warning), typeof(Error) })
            _system.EventStream.Subscribe(keeper, level);
    }

    /// <summary>Leaves as an agent does that is told to stop.</summary>
    public Task LeaveAsync() => CoordinatedShutdown.Get(System).Run(CoordinatedShutdown.ClrExitReason.Instance).WaitAsync(ShutdownTime);

    /// <summary>
    /// Ends as a process that is killed: its connections close first, so that nothing of its end can be said, neither
    /// to the others nor to the datastore.
    /// </summary>
    public async Task KillAsync()
    {
        var system = (ExtendedActorSystem)System;
        Store.Cut();
        await ((IRemoteActorRefProvider)system.Provider).Transport.Shutdown().WaitAsync(ShutdownTime);
        system.Abort();
        await system.WhenTerminated.WaitAsync(ShutdownTime);
    }

    public override string ToString() => !IsRunning
        ? $"{Node}: not running"
        : $"{Node}: sees {string.Join(" ", View.Members)}, leader {View.Leader}, unreachable [{string.Join(" ", View.Unreachable)}], "
            + $"watches [{string.Join(" ", Store.OpenWatches)}]";

    private sealed class LogKeeper : ReceiveActor
    {
        public LogKeeper(ConcurrentQueue<string> log) => Receive<LogEvent>(e => log.Enqueue(e.ToString()));
    }
}
