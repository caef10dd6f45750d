using System.Collections.Concurrent;
using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Actors.Protocol;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Policy.Distribution;
using Calico.Core.Policy.Graph;

namespace Calico.Tests.Cluster;

/// <summary>
/// What the forwarding half of a node does with its mesh, without the forwarding: the real upstream actor, and behind
/// it one that keeps what a node keeps of resources, members and compiled policies.
/// </summary>
internal sealed class NodeHalf
{
    private readonly IActorRef _upstream;
    private readonly ConcurrentDictionary<string, FeedItem> _resources = new();
    private readonly ConcurrentDictionary<string, ConcurrentDictionary<string, long>> _logs = new();
    private readonly ConcurrentQueue<string> _gaps = new();
    private readonly ConcurrentDictionary<long, TaskCompletionSource<IWireMessage>> _claims = new();
    private volatile IReadOnlyList<MeshMember> _members = [];
    private volatile bool _hasEveryPolicy;
    private long _requests;

    public NodeHalf(ActorSystem system, MeshLink link, string node)
    {
        _upstream = system.ActorOf(UpstreamActor.Props(link, node));
        _upstream.Tell(new UpstreamProtocol.AnswerTo(node, system.ActorOf(Props.Create(() => new Claimant(this)))));
        system.ActorOf(Props.Create(() => new Reader(this)));
    }

    /// <summary>Policies that this node knew in their current revision and then knew no more.</summary>
    public ImmutableArray<string> Gaps => [.. _gaps];

    /// <summary>This node has every policy that it knows to exist in compiled form.</summary>
    public bool HasEveryPolicy => _hasEveryPolicy;

    public IReadOnlyList<MeshMember> Members => _members;

    public FeedItem? Resource(string key) => _resources.GetValueOrDefault(key);

    /// <summary>The revision at which a member's policy log has a policy, as this node has read that log.</summary>
    public long? InLogOf(string member, string policy) =>
        _logs.TryGetValue(member, out var log) && log.TryGetValue(PolicyEntry.KeyOf(policy), out var revision) ? revision : null;

    /// <summary>Claims as the lease does: the same again until somebody answers.</summary>
    public async Task<IWireMessage> ClaimAsync(BlockProtocol.ClaimBlock claim)
    {
        for (var attempt = 0; ; attempt++)
        {
            var request = claim with { RequestId = Interlocked.Increment(ref _requests) };
            var answer = _claims[request.RequestId] = new TaskCompletionSource<IWireMessage>(TaskCreationOptions.RunContinuationsAsynchronously);
            _upstream.Tell(new MeshLinkProtocol.ToBlock(request));
            try
            {
                return await answer.Task.WaitAsync(TimeSpan.FromSeconds(2));
            }
            catch (TimeoutException) when (attempt < 20)
            {
                _claims.TryRemove(request.RequestId, out _);
            }
        }
    }

    private sealed class Claimant : ReceiveActor
    {
        public Claimant(NodeHalf half)
        {
            Receive<BlockProtocol.BlockGranted>(a => half.Answered(a.RequestId, a));
            Receive<BlockProtocol.BlockRefused>(a => half.Answered(a.RequestId, a));
        }
    }

    private void Answered(long requestId, IWireMessage answer)
    {
        if (_claims.TryRemove(requestId, out var claim))
            claim.TrySetResult(answer);
    }

    private sealed class Reader : ReceiveActor
    {
        private readonly NodeHalf _half;
        private readonly PolicyReceiver _receiver = new(new NodePolicyGraph(), PolicyJson.Decode);

        public Reader(NodeHalf half)
        {
            _half = half;
            Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
            Receive<UpstreamProtocol.PoliciesChanged>(OnPolicies);
            Receive<UpstreamProtocol.MembersChanged>(OnMembers);
        }

        protected override void PreStart() => _half._upstream.Tell(new UpstreamProtocol.Subscribe(Self));

        private void OnResources(UpstreamProtocol.ResourcesChanged changed)
        {
            foreach (var item in changed.Items)
            {
                if (item.Value is null)
                    _half._resources.TryRemove(item.Key, out _);
                else
                    _half._resources[item.Key] = item;
                if (ResourceKey.TryParse(item.Key, out var key) && key.Kind == ResourceKind.GlobalNetworkPolicy)
                    _receiver.ResourceIs(item.Key, item.Value is null ? null : item.Revision);
            }
            if (changed.InSync)
                _receiver.ResourcesInSync();
            Look(mayMiss: true);
        }

        private void OnPolicies(UpstreamProtocol.PoliciesChanged changed)
        {
            var log = _half._logs.GetOrAdd(changed.Member, _ => new());
            foreach (var item in changed.Items)
            {
                if (item.Value is null)
                    log.TryRemove(item.Key, out _);
                else
                    log[item.Key] = item.Revision;
            }
            _receiver.Apply(changed.Member, changed.Items);
            Look(mayMiss: false);
        }

        private void OnMembers(UpstreamProtocol.MembersChanged changed)
        {
            foreach (var gone in _half.Members.Where(m => changed.Members.All(n => n.Address != m.Address)))
            {
                _receiver.MemberGone(gone.Address);
                _half._logs.TryRemove(gone.Address, out _);
            }
            _half._members = changed.Members;
            Look(mayMiss: false);
        }

        private void Look(bool mayMiss)
        {
            var had = _half.HasEveryPolicy;
            _half._hasEveryPolicy = _receiver.InSync;
            if (had && !_receiver.InSync && !mayMiss)
                _half._gaps.Enqueue(string.Join(" ", _receiver.Missing.Select(m => $"{m.Key}@{m.Value}")));
        }
    }
}
