using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Policy;
using Calico.Core.Cni;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>
/// The conversation of an ADD.
/// <code>
///   lease: addresses + endpoint ──────────┐
///   links: veth, host end down            ├─► addresses in the pod, policy in the kernel ─► links: up ─► route ─► result
///   enforcer: rules                       ┘                                                 journal
/// </code>
/// A failure takes back what was done.
/// </summary>
internal sealed class CniAdd(CniSteps steps, CniMetrics metrics)
{
    private readonly CniServices _services = steps.Services;

    public async Task<CniReply> RunAsync(CniCall call, CniNetworkConfig config, CancellationToken cancellation)
    {
        using var timing = metrics.Start();
        using var pod = call.OpenPod();
        var plan = await new CniPlanner(steps).PlanAsync(call, config);
        var admitted = await AdmitAsync(plan.Draft);
        if (admitted.IsKnown && IsWired(admitted.Workload, pod))
            return CniReply.Result(ResultOf(await JoinAsync(admitted.Workload, config, cancellation), plan), config.Version);
        if (admitted.IsKnown)
        {
            // The namespace is another one under the old container's id: what there was in the old one is gone.
            await steps.RemoveAsync(admitted.Workload);
            admitted = await AdmitAsync(plan.Draft);
        }
        plan = plan with { Draft = admitted.Workload, IsFurther = admitted.IsFurther };
        try
        {
            if (admitted.Replaces is { } earlier)
                await ReplaceAsync(earlier);
            return CniReply.Result(ResultOf(await MakeAsync(plan, config, pod, timing, cancellation), plan), config.Version);
        }
        catch (Exception e)
        {
            // The runtime need not wait for what is taken back; its DEL waits for it in line.
            if (CniSteps.ReplyTo(e, config.Version) is { } failure)
                await call.TryAnswerAsync(failure);
            await steps.TryRemoveAsync(plan.Draft);
            throw;
        }
    }

    private Task<RegistryProtocol.Admitted> AdmitAsync(Workload draft) =>
        steps.AskAsync<RegistryProtocol.Admitted>(_services.Registry, new RegistryProtocol.Admit(draft));

    // Pair and rules need only the interface's name: both are being made while the addresses are decided.
    private async Task<Workload> MakeAsync(CniPlan plan, CniNetworkConfig config, INetworkNamespace pod, CniTiming timing,
        CancellationToken cancellation)
    {
        var workload = plan.Draft;
        _services.Enforcer.Tell(new EnforcerProtocol.ExpectEndpoint(workload.ToLocalEndpoint()));
        var wire = steps.NextId();
        _services.Links.Tell(new LinkProtocol.Wire(wire,
            new WiringRequest(workload.HostInterface, workload.PodInterface)
            {
                Mtu = workload.Mtu,
                Queues = config.NumQueues,
                Ipv6 = plan.Families.Contains(IpVersion.V6) || workload.ParsedAddresses.Any(a => a.IsV6),
                AllowForwarding = config.AllowIpForwarding,
                PodMac = plan.PodMac,
                IsFurther = plan.IsFurther,
            }, pod));
        try
        {
            workload = await steps.AllocateAsync(plan);
            timing.Phase("ipam");
            var enforced = steps.AskAsync<EnforcerProtocol.Enforced>(_services.Enforcer, new EnforcerProtocol.SetEndpoint(steps.NextId(), workload.ToLocalEndpoint()),
                PatienceWithPolicy(config));
            var wired = await steps.AskAsync<LinkProtocol.Wired>(_services.Links, new LinkProtocol.Address(wire, [.. workload.ParsedAddresses])
            { Destinations = plan.Destinations });
            timing.Phase("wire");
            workload = workload with { PodMac = wired.PodMac.ToString() };
            await PolicyInForceAsync(enforced, workload, cancellation);
            timing.Phase("policy");
            await OpenAsync(workload, wired.HostIndex, plan.AllowsSpoofing);
            timing.Phase("route");
            return workload;
        }
        catch
        {
            // Only here are the addresses known by which they can be taken back.
            steps.RemoveRoutes(workload);
            await AbandonAsync(wire);
            throw;
        }
    }

    // policy_setup_timeout_seconds bounds the wait; without it the wait is as long as that of any step.
    private TimeSpan PatienceWithPolicy(CniNetworkConfig config) =>
        config.PolicySetupTimeout > _services.MaxPolicyPatience ? _services.MaxPolicyPatience
        : config.PolicySetupTimeout > TimeSpan.Zero ? config.PolicySetupTimeout : _services.StepTimeout;

    // The last step: the pod can be reached, and is remembered.
    private async Task OpenAsync(Workload workload, int hostIndex, bool allowsSpoofing)
    {
        var recording = steps.AskAsync<RegistryProtocol.Recorded>(_services.Registry, new RegistryProtocol.Record(workload));
        var routes = await steps.AskAsync<RouteProtocol.RoutesCommitted>(_services.Links, new LinkProtocol.Activate(steps.NextId(), workload.HostInterface,
            hostIndex, workload.ParsedAddresses.Any(a => a.IsV6))
        {
            AllowSpoofing = allowsSpoofing,
            Routes = (_services.Routes, new RouteProtocol.ChangeRoutes(RouteSource.Workloads, RegistryActor.RoutesOf(workload, hostIndex), [], steps.NextId())),
        });
        var recorded = await recording;
        if (!routes.Failed.IsEmpty)
            throw CniSteps.Failure(CniErrorCode.TryAgainLater, routes.Failed[0].Reason);
        if (recorded.Fault is { } fault)
            throw CniSteps.Failure(CniErrorCode.IoFailure, $"the workload cannot be recorded: {fault}");
    }

    // Waits for the writer to be done with the pod's namespace, which is closed next.
    private async Task AbandonAsync(long wire)
    {
        try
        {
            await steps.AskAsync<LinkProtocol.Abandoned>(_services.Links, new LinkProtocol.Abandon(wire));
        }
        catch (AskTimeoutException)
        {
            // What made the call fail is what its runtime is to hear.
        }
    }

    private static bool IsWired(Workload known, NetworkNamespace pod)
    {
        if (known.IsAddressOnly)
            return true;
        try
        {
            using var links = pod.OpenLinks();
            return links.Find(known.PodInterface) is { } link && (known.PodMac.Length == 0 || link.Mac.ToString() == known.PodMac);
        }
        catch (KernelException e)
        {
            throw CniSteps.Failure(CniErrorCode.InvalidNetns, e.Message);
        }
    }

    // The container joins a second network: it gets that one's profile, and keeps its interface and addresses.
    private async Task<Workload> JoinAsync(Workload known, CniNetworkConfig config, CancellationToken cancellation)
    {
        if (known.Network == config.Name || known.Orchestrator == Workload.KubernetesOrchestrator || known.IsAddressOnly
            || known.Profiles.Contains(config.Name))
            return known;
        var joined = known with { Profiles = known.Profiles.Add(config.Name) };
        await steps.AllocateAsync(new CniPlan(joined with { HasForeignAddresses = true }, [], [], []));
        await PolicyInForceAsync(steps.AskAsync<EnforcerProtocol.Enforced>(_services.Enforcer,
            new EnforcerProtocol.SetEndpoint(steps.NextId(), joined.ToLocalEndpoint()), PatienceWithPolicy(config)), joined, cancellation);
        var recorded = await steps.AskAsync<RegistryProtocol.Recorded>(_services.Registry, new RegistryProtocol.Record(joined));
        return recorded.Fault is { } fault ? throw CniSteps.Failure(CniErrorCode.IoFailure, $"the workload cannot be recorded: {fault}") : joined;
    }

    // The pod has a new sandbox: interface and endpoint pass to it, the old one's addresses go with the old one's DEL.
    private Task ReplaceAsync(Workload earlier)
    {
        steps.RemoveRoutes(earlier);
        return steps.ForgetAsync(earlier);
    }

    private async Task PolicyInForceAsync(Task<EnforcerProtocol.Enforced> enforced, Workload workload, CancellationToken cancellation)
    {
        try
        {
            await enforced.WaitAsync(cancellation);
        }
        catch (AskTimeoutException)
        {
            var why = await steps.AskAsync<EnforcerProtocol.Because>(_services.Enforcer, new EnforcerProtocol.WhyNot(workload.Id));
            throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"the policy of {workload.Namespace}/{workload.Name} is not in force: {why.Reason}");
        }
    }

    private static CniResult ResultOf(Workload workload, CniPlan plan) => new(
        [new CniInterface(workload.HostInterface), new CniInterface(workload.PodInterface, workload.PodMac, workload.NetnsPath) { Mtu = workload.Mtu }],
        [.. workload.ParsedAddresses.Select(a => new CniAddress(Cidr.Host(a), 1))],
        plan.ResultRoutes ?? [.. workload.ParsedAddresses.Select(a => new CniRoute(Cidr.Host(a)))])
    { Dns = plan.Dns };
}
