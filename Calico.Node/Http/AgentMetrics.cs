using Akka.Actor;
using Calico.Node.Agent;
using Prometheus;

namespace Calico.Node.Http;

/// <summary>
/// Numbers of this node, read from its actors when somebody scrapes: Felix's names where Felix has the number, ours
/// (<c>calico_…</c>) otherwise.
/// </summary>
internal static class AgentMetrics
{
    private static readonly Gauge Endpoints = Metrics.CreateGauge("felix_active_local_endpoints", "Number of active endpoints on this host.");
    private static readonly Gauge Policies = Metrics.CreateGauge("felix_active_local_policies", "Number of active policies on this host.");
    private static readonly Gauge Selectors = Metrics.CreateGauge("felix_active_local_selectors", "Number of active selectors on this host.");
    private static readonly Gauge Host = Metrics.CreateGauge("felix_host", "Configured Felix hostname (as a label).", ["host"]);
    private static readonly Gauge KernelWrites = Metrics.CreateGauge("calico_kernel_writes_total", "Kernel objects written since the agent's start.", ["subsystem"]);
    private static readonly Gauge Rules = Metrics.CreateGauge("calico_nft_objects", "nftables objects of Calico in the kernel.", ["type"]);
    private static readonly Gauge Routes = Metrics.CreateGauge("calico_routes", "Routes of Calico.", ["state"]);
    private static readonly Gauge LinkDropped = Metrics.CreateGauge("calico_mesh_link_dropped_total", "Messages between the node's halves that found their queue full.");

    public static void Register(AgentState agent)
    {
        Host.WithLabels(agent.Options.Node).Set(1);
        Metrics.DefaultRegistry.AddBeforeCollectCallback(async _ => await CollectAsync(agent));
    }

    // A subsystem that does not answer leaves its numbers as they were.
    private static async Task CollectAsync(AgentState agent)
    {
        LinkDropped.Set(agent.Link.Dropped);
        await Try(async () =>
        {
            var routes = await agent.RoutesAsync();
            KernelWrites.WithLabels("routes").Set(routes.Writes);
            Routes.WithLabels("wanted").Set(routes.Wanted);
            Routes.WithLabels("present").Set(routes.Present);
            Routes.WithLabels("failed").Set(routes.Failed);
            KernelWrites.WithLabels("links").Set((await agent.LinksAsync()).Writes);
            var nft = await agent.NftAsync();
            KernelWrites.WithLabels("nftables").Set(nft.Writes);
            Rules.WithLabels("chain").Set(nft.Chains);
            Rules.WithLabels("rule").Set(nft.Rules);
            Rules.WithLabels("set").Set(nft.Sets);
        });
        await Try(async () =>
        {
            var policy = await agent.PolicyAsync();
            Endpoints.Set(policy.Endpoints);
            Policies.Set(policy.Policies);
            Selectors.Set(policy.Sets);
        });
        await Try(async () => IpamMetrics.Show(await agent.LeaseAsync(), await agent.PoolsAsync()));
        IpamMetrics.Show(agent.Ipam.Figures);
        await Try(async () => SpeakerMetrics.Show((await agent.BgpAsync()).Peers));
    }

    private static async Task Try(Func<Task> read)
    {
        try
        {
            await read();
        }
        catch (AskTimeoutException)
        {
        }
    }
}
