using System.Collections.Immutable;
using Akka.Actor;
using Akka.Cluster;
using Calico.Actors.Cluster;
using Calico.Actors.Feed;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;

namespace Calico.Actors.Gateway;

/// <summary>
/// The mesh's end of the link to this node's forwarding half: passes its pulls to the right log, its claims to the
/// owners of blocks, and the answers and the membership back. One per member, below /user; stateless.
/// </summary>
public sealed class GatewayActor : ReceiveActor, IWithTimers
{
    private sealed class TellMembers : ITick
    {
        public static readonly TellMembers Instance = new();
    }

    private readonly MeshLink _link;
    private readonly IActorRef _replica;
    private readonly IActorRef _blocks;
    private readonly Akka.Cluster.Cluster _cluster = Akka.Cluster.Cluster.Get(Context.System);
    private readonly CancellationTokenSource _stopped = new();
    private ImmutableDictionary<string, string> _reachable = ImmutableDictionary<string, string>.Empty;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(MeshLink link, IActorRef replica, IActorRef blocks) =>
        Akka.Actor.Props.Create(() => new GatewayActor(link, replica, blocks));

    public GatewayActor(MeshLink link, IActorRef replica, IActorRef blocks)
    {
        _link = link;
        _replica = replica;
        _blocks = blocks;

        Receive<MeshLinkProtocol.PullFrom>(OnPull);
        Receive<MeshLinkProtocol.ToBlock>(c => _blocks.Tell(c.Command));
        Receive<MeshLinkProtocol.ToNode>(m => OnToNode(m.Message));
        Receive<IToNode>(m => _link.ToNode(new MeshLinkProtocol.FromNode(m)));
        Receive<FeedProtocol.News>(n => _link.ToNode(new MeshLinkProtocol.NewsFrom(SourceOf(n), n)));
        Receive<BlockProtocol.BlockGranted>(a => _link.ToNode(new MeshLinkProtocol.FromBlock(a)));
        Receive<BlockProtocol.BlockRefused>(a => _link.ToNode(new MeshLinkProtocol.FromBlock(a)));
        Receive<BlockProtocol.HolderRetired>(a => _link.ToNode(new MeshLinkProtocol.FromBlock(a)));
        // The cluster's own answer: its read view may not have seen yet what an event tells.
        Receive<ClusterEvent.IClusterDomainEvent>(_ => _cluster.SendCurrentClusterState(Self));
        Receive<TellMembers>(_ => _cluster.SendCurrentClusterState(Self));
        Receive<ClusterEvent.CurrentClusterState>(SendMembers);
    }

    protected override void PreStart()
    {
        _cluster.Subscribe(Self, ClusterEvent.InitialStateAsEvents, typeof(ClusterEvent.IMemberEvent), typeof(ClusterEvent.IReachabilityEvent));
        // A membership message that found the queue full is made good by the next.
        Timers.StartPeriodicTimer(nameof(TellMembers), TellMembers.Instance, TimeSpan.FromSeconds(10));
        _ = ForwardAsync(_link, Self, _stopped.Token);
    }

    protected override void PostStop()
    {
        _cluster.Unsubscribe(Self);
        _stopped.Cancel();
        _stopped.Dispose();
        _link.ToNode(new MeshLinkProtocol.Members([]));
    }

    private void OnPull(MeshLinkProtocol.PullFrom pull)
    {
        if (pull.Member is null)
            _replica.Tell(pull.Pull);
        else
            Context.ActorSelection(pull.Member + MeshPaths.PolicyLog).Tell(pull.Pull);
    }

    private void OnToNode(IToNode message)
    {
        if (_reachable.TryGetValue(message.To, out var address))
            Context.ActorSelection(address + MeshPaths.Gateway).Tell(message);
        else if (message is LendProtocol.Borrow borrow)
            _link.ToNode(new MeshLinkProtocol.FromNode(new LendProtocol.NotLent(borrow.From, borrow.To, borrow.RequestId, LendProtocol.Refusal.OutOfReach)));
    }

    private string? SourceOf(FeedProtocol.News news)
    {
        if (news.Feed is FeedName.Resources)
            return null;
        var address = Sender.Path.Address;
        return (address.HasLocalScope ? _cluster.SelfAddress : address).ToString();
    }

    private void SendMembers(ClusterEvent.CurrentClusterState state)
    {
        var unreachable = state.Unreachable;
        var members = state.Members
            .Where(m => m.Status is MemberStatus.Up or MemberStatus.WeaklyUp or MemberStatus.Leaving)
            .Select(m => new MeshMember(m.Address.ToString(), MeshPaths.NodeOf(m), !unreachable.Contains(m)))
            .OrderBy(m => m.Node, StringComparer.Ordinal).ToImmutableArray();
        // Two machines that call themselves alike are a mistake that must not end everybody's mesh.
        _reachable = members.Where(m => m.Reachable).GroupBy(m => m.Node, StringComparer.Ordinal).ToImmutableDictionary(g => g.Key, g => g.First().Address);
        _link.ToNode(new MeshLinkProtocol.Members(members));
    }

    private static async Task ForwardAsync(MeshLink link, IActorRef self, CancellationToken cancellation)
    {
        try
        {
            await foreach (var message in link.ForMesh.ReadAllAsync(cancellation))
                self.Tell(message);
        }
        catch (OperationCanceledException)
        {
        }
    }
}
