using Akka.Actor;
using Calico.Actors;
using Calico.Actors.Audit;
using Calico.Actors.Bgp;
using Calico.Actors.Cni;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Model.Resources;

namespace Calico.Node.Agent;

/// <summary>What the agent can say of itself, asked from its actors at the moment of asking.</summary>
public sealed class AgentState(AgentOptions options, NodeRefs refs, MeshLink link, IpamBoard ipam)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public AgentOptions Options => options;
    public MeshLink Link => link;

    /// <summary>The cluster's figures of IPAM, while this node's mesh is the one that keeps them.</summary>
    public IpamBoard Ipam => ipam;

    /// <summary>The CNI socket is open.</summary>
    public bool Started { get; set; }

    public Task<RouteProtocol.Status> RoutesAsync() => refs.Routes.Ask<RouteProtocol.Status>(new RouteProtocol.GetStatus(), Patience);
    public Task<LinkProtocol.Status> LinksAsync() => refs.Links.Ask<LinkProtocol.Status>(new LinkProtocol.GetStatus(), Patience);
    public Task<NftProtocol.Status> NftAsync() => refs.Enforcer.Ask<NftProtocol.Status>(new NftProtocol.GetStatus(), Patience);
    public Task<EnforcerProtocol.Status> PolicyAsync() => refs.Enforcer.Ask<EnforcerProtocol.Status>(new EnforcerProtocol.GetStatus(), Patience);
    public Task<LeaseProtocol.Status> LeaseAsync() => refs.Lease.Ask<LeaseProtocol.Status>(new LeaseProtocol.GetStatus(), Patience);
    public Task<ReconcilerProtocol.Status> ReconcilerAsync() => refs.Reconciler.Ask<ReconcilerProtocol.Status>(new ReconcilerProtocol.GetStatus(), Patience);
    public async Task<IReadOnlyList<IPPool>> PoolsAsync() =>
        (await refs.Facts.Ask<FactsProtocol.Pools>(new FactsProtocol.GetPools(""), Patience)).All;
    public IActorRef Speaker => refs.Speaker;
    public IActorRef Bfd => refs.Bfd;

    public Task<BgpProtocol.BgpStatus> BgpAsync() => SpeakerStatus.ReadAsync(refs.Speaker, refs.Bfd, Patience);

    /// <summary>
    /// Null if this node can forward for its own pods: blocks read, every policy known and in the kernel, the socket
    /// open, no pod without its address. Peers and cluster are no part of it. Otherwise the reasons.
    /// </summary>
    public async Task<string?> WhyNotReadyAsync()
    {
        var reasons = new List<string>();
        try
        {
            if (!(await LeaseAsync()).Loaded)
                reasons.Add("IPAM: the blocks of this node have not been read from the datastore");
            var policy = await PolicyAsync();
            if (!policy.InSync)
                reasons.Add(policy.Missing.IsEmpty
                    ? "policy: the mesh has not told yet which policies there are"
                    : $"policy: {policy.Missing.Length} policies have not arrived, {policy.Missing[0]} among them");
            if ((await NftAsync()).Fault is { } fault)
                reasons.Add($"nftables: {fault}");
            if ((await ReconcilerAsync()).Report is { } report)
                reasons.AddRange(report.Fenced.Concat(report.Pending).Select(r => $"IPAM: {r}"));
        }
        catch (AskTimeoutException e)
        {
            reasons.Add(e.Message);
        }
        if (!Started)
            reasons.Add("CNI: the socket is not open");
        return reasons.Count == 0 ? null : string.Join("\n", reasons);
    }
}
