using System.Collections.Immutable;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Ipam;

/// <summary>A node's lease against real owners of blocks; only the mesh between them is missing.</summary>
public abstract class LeaseFixture : ActorFixture
{
    protected static readonly PoolRef Pool = new("default", Cidr.Parse("10.65.0.0/25"), 26);
    protected static readonly PoolRef Pool6 = new("six", Cidr.Parse("fd00:65::/121"), 122);

    private long _requests;

    protected IActorRef OwnersOfBlocks { get; }

    protected LeaseFixture(ITestOutputHelper output) : base(output) =>
        OwnersOfBlocks = Sys.ActorOf(Props.Create(() => new Mesh(BlockActor.Props(Store, Clock))), "mesh");

    /// <summary>Carries claims to the owner of each block, and says that the feed is complete.</summary>
    private sealed class Mesh : ReceiveActor
    {
        private readonly Dictionary<Cidr, IActorRef> _owners = [];
        private readonly Dictionary<string, IActorRef> _leases = [];

        public Mesh(Props owner)
        {
            Receive<UpstreamProtocol.Subscribe>(s => s.Subscriber.Tell(new UpstreamProtocol.ResourcesChanged([], true, 1)));
            Receive<UpstreamProtocol.AnswerTo>(a => _leases[a.Node] = a.Lease);
            Receive<MeshLinkProtocol.ToNode>(m => _leases[m.Message.To].Tell(m.Message));
            Receive<MeshLinkProtocol.ToBlock>(m =>
            {
                if (!_owners.TryGetValue(m.Command.Block, out var block))
                    _owners[m.Command.Block] = block = Context.ActorOf(owner);
                block.Forward(m.Command);
            });
        }
    }

    /// <summary>The leases are in a mesh, and each of them knows which node holds what.</summary>
    protected async Task JoinAsync(params (string Node, IActorRef Lease)[] leases)
    {
        var items = new List<FeedItem>();
        foreach (var key in Store.Keys.Where(k => k.StartsWith(IpamKeys.HostPrefix, StringComparison.Ordinal)))
        {
            var stored = (await Store.GetAsync(key))!;
            items.Add(new FeedItem(key, stored.Value, stored.ModRevision));
        }
        foreach (var (_, lease) in leases)
        {
            lease.Tell(new UpstreamProtocol.MembersChanged([.. leases.Select(l => new MeshMember("a-" + l.Node, l.Node, true))]));
            lease.Tell(new UpstreamProtocol.ResourcesChanged([.. items], true, Store.Revision));
        }
    }

    protected IActorRef Start(string node = "node1", LeaseOptions? options = null, IActorRef? mesh = null) =>
        Sys.ActorOf(LeaseActor.Props(Store, node, mesh ?? OwnersOfBlocks, Clock, options ?? new LeaseOptions { Answer = LeaseAnswer.Durable }));

    protected static string EndpointKey(string pod) => "/calico/resources/v3/projectcalico.org/workloadendpoints/default/node1-k8s-" + pod + "-eth0";

    protected LeaseProtocol.Allocate Allocate(string pod, ImmutableArray<PoolRef>? pools = null, params string[] wanted) => new(Interlocked.Increment(ref _requests),
        new AllocationRequest("k8s-pod-network." + pod,
            new Dictionary<string, string> { ["node"] = "node1", ["pod"] = pod, ["namespace"] = "default" }.ToImmutableSortedDictionary(),
            [.. (pools ?? [Pool]).Select(p => p.Cidr.Version).Distinct()], [.. (pools ?? [Pool]).Select(p => p.Cidr)],
            [.. wanted.Select(w => IpAddr.Parse(w))]),
        pools ?? [Pool], addresses => [Write.Put(EndpointKey(pod), System.Text.Encoding.UTF8.GetBytes(string.Join(' ', addresses)))]);

    protected LeaseProtocol.Release Release(string pod, params string[] addresses) =>
        new(++_requests, "k8s-pod-network." + pod, [.. addresses.Select(a => IpAddr.Parse(a))], [Write.Delete(EndpointKey(pod))]);

    protected async Task<string> AddAsync(IActorRef lease, string pod, ImmutableArray<PoolRef>? pools = null, params string[] wanted)
    {
        lease.Tell(Allocate(pod, pools, wanted), TestActor);
        return string.Join(' ', (await ExpectMsgAsync<LeaseProtocol.Allocated>(TimeSpan.FromSeconds(10))).Addresses);
    }

    protected async Task<LeaseProtocol.NotAllocated> RefusedAsync(IActorRef lease, LeaseProtocol.Allocate request)
    {
        lease.Tell(request, TestActor);
        return await ExpectMsgAsync<LeaseProtocol.NotAllocated>(TimeSpan.FromSeconds(10));
    }

    protected async Task<string> StoredEndpointAsync(string pod) =>
        await Store.GetAsync(EndpointKey(pod)) is { } stored ? System.Text.Encoding.UTF8.GetString(stored.Value.Span) : "";

    /// <summary>Every address that any block says is in use, with its handle.</summary>
    protected async Task<SortedDictionary<string, string>> AssignedAsync()
    {
        var assigned = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var key in Store.Keys.Where(k => k.StartsWith(IpamKeys.BlockPrefix, StringComparison.Ordinal)))
        {
            foreach (var (address, owner) in IpamJson.ParseBlock((await Store.GetAsync(key))!.Value).Assigned())
                assigned.Add(address.ToString(), owner.HandleId!);
        }
        return assigned;
    }

    protected ImmutableArray<string> Handles => [.. Store.Keys.Where(k => k.StartsWith(IpamKeys.HandlePrefix, StringComparison.Ordinal))];

    protected static ImmutableDictionary<IpAddr, string?> InUse(params (string Address, string? Handle)[] used) =>
        used.ToImmutableDictionary(u => IpAddr.Parse(u.Address), u => u.Handle);

    protected LeaseProtocol.Allocate Reclaim(string pod, string address) => Allocate(pod, null, address) with
    {
        IsReclaim = true,
        Alongside = _ => [],
    };

    protected async Task LoseAsync(string address, string? to = null)
    {
        var block = BlockCandidates.Containing(IpAddr.Parse(address), 26);
        OwnersOfBlocks.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.RetireHolder(block, "node1")), TestActor);
        await ExpectMsgAsync<BlockProtocol.HolderRetired>();
        if (to is null)
            return;
        OwnersOfBlocks.Tell(new MeshLinkProtocol.ToBlock(new BlockProtocol.ClaimBlock(block, to, 1)), TestActor);
        await ExpectMsgAsync<BlockProtocol.BlockGranted>();
    }

    protected async Task<ImmutableArray<LeaseProtocol.Tenant>> DoubtsAsync(IActorRef lease, params (string Pod, string Address)[] pods)
    {
        lease.Tell(new LeaseProtocol.Verify([.. pods.Select(p => new LeaseProtocol.Tenant("k8s-pod-network." + p.Pod, [IpAddr.Parse(p.Address)]))]), TestActor);
        return (await ExpectMsgAsync<LeaseProtocol.Doubts>()).Tenants;
    }

    protected static async Task<LeaseProtocol.HeldBlocks> UntilHeldAsync(TestProbe probe, Func<LeaseProtocol.HeldBlocks, bool> condition) =>
        (LeaseProtocol.HeldBlocks)await probe.FishForMessageAsync(m => m is LeaseProtocol.HeldBlocks h && condition(h), TimeSpan.FromSeconds(10));
}
