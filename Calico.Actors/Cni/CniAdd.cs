using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Cni;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>
/// The conversation of an ADD.
/// <code>
///   lease: addresses + endpoint, durable ─┐
///   links: veth, host end down            ├─► addresses in the pod, policy in the kernel ─► links: up ─► route ─► result
///   enforcer: rules                       ┘                                                 journal
/// </code>
/// A failure takes back what was done.
/// </summary>
internal sealed class CniAdd(CniSteps steps, CniMetrics metrics)
{
    /// <summary>What the call asks of IPAM, checked against what there is.</summary>
    private sealed record AddressDemand(ImmutableArray<IpVersion> Families, ImmutableArray<PoolRef> Pools, ImmutableArray<IpAddr> Wanted);

    private readonly CniServices _services = steps.Services;

    public async Task<CniReply> RunAsync(CniCall call, CniNetworkConfig config)
    {
        using var timing = metrics.Start();
        var draft = Workload.From(call.Request, config, _services.InterfacePrefix);
        using var pod = call.OpenPod();
        // A call that asks for what cannot be had touches nothing.
        var demand = await DemandAsync(draft, config, call);
        var admitted = await steps.AskAsync<RegistryProtocol.Admitted>(_services.Registry, new RegistryProtocol.Admit(draft));
        var workload = admitted.Workload;
        if (admitted.IsKnown)
            return CniReply.Result(ResultOf(workload, config), config.Version);
        try
        {
            if (admitted.Replaces is { } earlier)
                await ReplaceAsync(earlier);
            workload = workload with { Mtu = config.Mtu > 0 ? config.Mtu : _services.DefaultMtu };
            workload = await MakeAsync(workload, demand, config, pod, timing);
            return CniReply.Result(ResultOf(workload, config), config.Version);
        }
        catch (Exception e)
        {
            // The runtime need not wait for what is taken back; its DEL waits for it in line.
            if (CniSteps.ReplyTo(e, config.Version) is { } failure)
                await call.TryAnswerAsync(failure);
            await TryUndoAsync(workload);
            throw;
        }
    }

    // Pair and rules need only the interface's name: both are being made while the addresses become durable.
    private async Task<Workload> MakeAsync(Workload workload, AddressDemand demand, CniNetworkConfig config, INetworkNamespace pod, CniTiming timing)
    {
        _services.Enforcer.Tell(new EnforcerProtocol.ExpectEndpoint(workload.ToLocalEndpoint()));
        var wiring = steps.AskAsync<LinkProtocol.Wired>(_services.Links, new LinkProtocol.Wire(steps.NextId(),
            new WiringRequest(workload.HostInterface, workload.PodInterface)
            {
                Mtu = workload.Mtu,
                Queues = config.NumQueues,
                Ipv6 = config.Ipam.AssignV6,
                AllowForwarding = config.AllowIpForwarding,
            }, pod));
        try
        {
            var addresses = await AllocateAsync(workload, demand);
            timing.Phase("ipam");
            workload = workload with { Addresses = [.. addresses.Select(a => a.ToString())] };
            var enforced = steps.AskAsync<EnforcerProtocol.Enforced>(_services.Enforcer, new EnforcerProtocol.SetEndpoint(steps.NextId(), workload.ToLocalEndpoint()));
            var wired = (await wiring).Pod;
            await steps.AskAsync<LinkProtocol.Addressed>(_services.Links, new LinkProtocol.Address(steps.NextId(), wired.Pod, addresses));
            timing.Phase("wire");
            workload = workload with { PodMac = wired.PodMac.ToString() };
            await PolicyInForceAsync(enforced, workload);
            timing.Phase("policy");
            await OpenAsync(workload, wired.HostIndex);
            timing.Phase("route");
            return workload;
        }
        catch
        {
            // Only here are the addresses known by which they can be taken back.
            steps.RemoveRoutes(workload);
            throw;
        }
        finally
        {
            await DisposeAsync(wiring);
        }
    }

    // The last step: the pod can be reached, and is remembered.
    private async Task OpenAsync(Workload workload, int hostIndex)
    {
        var recording = steps.AskAsync<RegistryProtocol.Recorded>(_services.Registry, new RegistryProtocol.Record(workload));
        await steps.AskAsync<LinkProtocol.Activated>(_services.Links, new LinkProtocol.Activate(steps.NextId(), workload.HostInterface,
            hostIndex, workload.ParsedAddresses.Any(a => a.IsV6)));
        var routes = await steps.AskAsync<RouteProtocol.RoutesCommitted>(_services.Routes, new RouteProtocol.ChangeRoutes(
            RouteSource.Workloads, RegistryActor.RoutesOf(workload, hostIndex), [], steps.NextId()));
        var recorded = await recording;
        if (!routes.Failed.IsEmpty)
            throw CniSteps.Failure(CniErrorCode.TryAgainLater, routes.Failed[0].Reason);
        if (recorded.Fault is { } fault)
            throw CniSteps.Failure(CniErrorCode.IoFailure, $"the workload cannot be recorded: {fault}");
    }

    private static async Task DisposeAsync(Task<LinkProtocol.Wired> wiring)
    {
        try
        {
            (await wiring).Pod.Pod.Dispose();
        }
        catch (Exception e) when (e is CniCallException or AskTimeoutException)
        {
            // Nothing was opened; whoever needed it has said so.
        }
    }

    // The pod has a new sandbox: interface and endpoint pass to it, the old one's addresses go with the old one's DEL.
    private Task ReplaceAsync(Workload earlier)
    {
        steps.RemoveRoutes(earlier);
        return steps.ForgetAsync(earlier);
    }

    private async Task PolicyInForceAsync(Task<EnforcerProtocol.Enforced> enforced, Workload workload)
    {
        try
        {
            await enforced;
        }
        catch (AskTimeoutException)
        {
            var why = await steps.AskAsync<EnforcerProtocol.Because>(_services.Enforcer, new EnforcerProtocol.WhyNot(workload.Id));
            throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"the policy of {workload.Namespace}/{workload.Name} is not in force: {why.Reason}");
        }
    }

    private async Task<AddressDemand> DemandAsync(Workload draft, CniNetworkConfig config, CniCall call)
    {
        if (config.Ipam.Type is not ("" or CniIpamConfig.CalicoType))
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"ipam type '{config.Ipam.Type}' is not supported by this node; use {CniIpamConfig.CalicoType}");
        var facts = await steps.AskAsync<FactsProtocol.Pools>(_services.Facts, new FactsProtocol.GetPools(draft.Namespace));
        var named = config.Ipam.V4Pools.Concat(config.Ipam.V6Pools).ToList();
        var pools = PoolChoice.For(facts.All, named, facts.NodeLabels, facts.NamespaceLabels, out var error);
        if (error is not null)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, error);
        var families = new List<IpVersion>();
        if (config.Ipam.AssignV4)
            families.Add(IpVersion.V4);
        if (config.Ipam.AssignV6)
            families.Add(IpVersion.V6);
        if (families.Count == 0)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "ipam assigns neither IPv4 nor IPv6 addresses");
        foreach (var family in families.Where(f => pools.All(p => p.Cidr.Version != f)))
            throw CniSteps.Failure(facts.InSync ? CniErrorCode.InvalidConfig : CniErrorCode.TryAgainLater, facts.InSync
                ? $"no IP{family.ToString().ToLowerInvariant()} pool may be used by {draft.Namespace}/{draft.Name} on {_services.Node}"
                : "the node has not heard from the mesh yet which pools there are");

        _ = CniArgs.TryParse(call.Request.Args, out var args, out _);
        ImmutableArray<IpAddr> wanted = args.Ip is { } ip && IpAddr.TryParse(ip, out var particular) ? [particular] : [];
        return new AddressDemand([.. families], pools, wanted);
    }

    private async Task<ImmutableArray<IpAddr>> AllocateAsync(Workload draft, AddressDemand demand)
    {
        var now = _services.Time.GetUtcNow();
        var key = draft.EndpointKey(_services.Node);
        var answer = await _services.Lease.Ask<object>(new LeaseProtocol.Allocate(steps.NextId(),
            new AllocationRequest(draft.HandleId, draft.AllocationAttributes(_services.Node, now), demand.Families, [.. demand.Pools.Select(p => p.Cidr)], demand.Wanted), demand.Pools,
            addresses => [Write.Put(key.Path, ResourceCodec.Encode((draft with { Addresses = [.. addresses.Select(a => a.ToString())] })
                .ToResource(_services.Node, now)))]), _services.StepTimeout);
        return answer switch
        {
            LeaseProtocol.Allocated allocated => allocated.Addresses,
            LeaseProtocol.NotAllocated no => throw CniSteps.Failure(no.Retryable ? CniErrorCode.TryAgainLater : CniErrorCode.Internal,
                $"no address for {draft.Namespace}/{draft.Name}: {no.Reason}"),
            _ => throw new InvalidOperationException($"the lease answered {answer}"),
        };
    }

    // The call has failed for a reason that must not be hidden by this one; the runtime's DEL releases the rest.
    private async Task TryUndoAsync(Workload workload)
    {
        try
        {
            await steps.RemoveAsync(workload);
        }
        catch (Exception e) when (e is CniCallException or AskTimeoutException)
        {
        }
    }

    private static CniResult ResultOf(Workload workload, CniNetworkConfig config) => new(
        [new CniInterface(workload.HostInterface), new CniInterface(workload.PodInterface, workload.PodMac, workload.NetnsPath) { Mtu = workload.Mtu }],
        [.. workload.ParsedAddresses.Select(a => new CniAddress(Cidr.Host(a), 1))],
        [.. workload.ParsedAddresses.Select(a => new CniRoute(Cidr.Host(a)))])
    { Dns = config.RuntimeDns };
}
