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
using Calico.Kernel;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>The actors and facts that a call needs.</summary>
public sealed record CniServices(string Node, IActorRef Lease, IActorRef Links, IActorRef Routes, IActorRef Enforcer,
    IActorRef Registry, IActorRef Facts, TimeProvider Time)
{
    public string InterfacePrefix { get; init; } = "cali";

    /// <summary>MTU of pods whose configuration says nothing, in bytes.</summary>
    public uint DefaultMtu { get; init; } = 1500;

    /// <summary>How long one step may take before the runtime is told to try again.</summary>
    public TimeSpan StepTimeout { get; init; } = TimeSpan.FromSeconds(25);
}

/// <summary>
/// Carries out the calls of container runtimes, one linear conversation each. This is the edge of the actor system:
/// it asks, and the deadline of each question is the deadline of the call.
/// <code>
///   ADD   lease: addresses + endpoint, durable ─┐
///         links: veth, host end down            ├─► addresses in the pod, policy in the kernel ─► links: up ─► route ─► result
///         enforcer: rules                       ┘                                                 journal
/// </code>
/// A failure takes back what was done. Calls for one pod wait for each other.
/// </summary>
public sealed class CniHandler(CniServices services, CniMetrics metrics)
{
    private static readonly CniError NotReady = new(CniErrorCode.TryAgainLater, "");
    private readonly KeyedGate _gate = new();
    private long _lastRequest;

    public async Task HandleAsync(CniCall call, CancellationToken cancellation)
    {
        var version = CniVersion.Unspecified;
        CniReply reply;
        try
        {
            if (!CniNetworkConfig.TryParse(call.Request.Config, call.Request.Command, out var config, out var error))
            {
                reply = error!.ToReply(version);
            }
            else
            {
                version = config.Version;
                // By pod, not by container: a pod's new sandbox may come while its old one is being removed.
                using var turn = await _gate.EnterAsync(Workload.From(call.Request, config, services.InterfacePrefix).Id, cancellation);
                reply = await DispatchAsync(call, config);
            }
        }
        catch (CniCallException e)
        {
            reply = e.Error.ToReply(version);
        }
        catch (AskTimeoutException e)
        {
            reply = (NotReady with { Message = $"the node did not answer in time: {e.Message}" }).ToReply(version);
        }
        catch (OperationCanceledException)
        {
            reply = (NotReady with { Message = "the call was given up: its deadline has passed or the node is stopping" }).ToReply(version);
        }
        metrics.Count(call.Request.Command, reply);
        await call.ReplyAsync(reply);
    }

    private Task<CniReply> DispatchAsync(CniCall call, CniNetworkConfig config) =>
        call.Request.Command switch
        {
            CniCommand.Add => AddAsync(call, config),
            CniCommand.Del => DelAsync(call, config),
            CniCommand.Check => CheckAsync(call, config),
            CniCommand.Status => StatusAsync(),
            CniCommand.Gc => GcAsync(config),
            _ => throw Failure(CniErrorCode.InvalidEnvironment, $"the node does not answer {call.Request.Command}"),
        };

    // ---- ADD -----------------------------------------------------------------------------------------------------

    private async Task<CniReply> AddAsync(CniCall call, CniNetworkConfig config)
    {
        using var timing = metrics.Start();
        var draft = Workload.From(call.Request, config, services.InterfacePrefix);
        using var pod = OpenPod(call);
        var admitted = await AskAsync<RegistryProtocol.Admitted>(services.Registry, new RegistryProtocol.Admit(draft));
        var workload = admitted.Workload;
        if (admitted.IsKnown)
            return CniReply.Result(ResultOf(workload, config), config.Version);
        try
        {
            if (admitted.Replaces is { } earlier)
                await ReplaceAsync(earlier);
            workload = workload with { Mtu = config.Mtu > 0 ? config.Mtu : services.DefaultMtu };
            workload = await MakeAsync(workload, config, call, pod, timing);
            return CniReply.Result(ResultOf(workload, config), config.Version);
        }
        catch
        {
            await TryUndoAsync(workload);
            throw;
        }
    }

    // Pair and rules need only the interface's name: both are being made while the addresses become durable.
    private async Task<Workload> MakeAsync(Workload workload, CniNetworkConfig config, CniCall call, INetworkNamespace pod, CniTiming timing)
    {
        services.Enforcer.Tell(new EnforcerProtocol.ExpectEndpoint(workload.ToLocalEndpoint()));
        var wiring = AskAsync<LinkProtocol.Wired>(services.Links, new LinkProtocol.Wire(NextId(),
            new WiringRequest(workload.HostInterface, workload.PodInterface)
            {
                Mtu = workload.Mtu,
                Queues = config.NumQueues,
                Ipv6 = config.Ipam.AssignV6,
                AllowForwarding = config.AllowIpForwarding,
            }, pod));
        try
        {
            var addresses = await AllocateAsync(workload, config, call);
            timing.Phase("ipam");
            workload = workload with { Addresses = [.. addresses.Select(a => a.ToString())] };
            var enforced = AskAsync<EnforcerProtocol.Enforced>(services.Enforcer, new EnforcerProtocol.SetEndpoint(NextId(), workload.ToLocalEndpoint()));
            var wired = (await wiring).Pod;
            await AskAsync<LinkProtocol.Addressed>(services.Links, new LinkProtocol.Address(NextId(), wired.Pod, addresses));
            timing.Phase("wire");
            workload = workload with { PodMac = wired.PodMac.ToString() };
            await PolicyInForceAsync(enforced, workload);
            timing.Phase("policy");
            await OpenAsync(workload, wired.HostIndex);
            timing.Phase("route");
            return workload;
        }
        finally
        {
            await DisposeAsync(wiring);
        }
    }

    // The last step: the pod can be reached, and is remembered.
    private async Task OpenAsync(Workload workload, int hostIndex)
    {
        var recording = AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Record(workload, hostIndex));
        await AskAsync<LinkProtocol.Activated>(services.Links, new LinkProtocol.Activate(NextId(), workload.HostInterface,
            hostIndex, workload.ParsedAddresses.Any(a => a.IsV6)));
        var routes = await AskAsync<RouteProtocol.RoutesCommitted>(services.Routes, new RouteProtocol.ChangeRoutes(
            RouteSource.Workloads, RegistryActor.RoutesOf(workload, hostIndex), [], NextId()));
        var recorded = await recording;
        if (!routes.Failed.IsEmpty)
            throw Failure(CniErrorCode.TryAgainLater, routes.Failed[0].Reason);
        if (recorded.Fault is { } fault)
            throw Failure(CniErrorCode.IoFailure, $"the workload cannot be recorded: {fault}");
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
    private async Task ReplaceAsync(Workload earlier)
    {
        services.Routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [],
            [.. RegistryActor.RoutesOf(earlier, 0).Select(r => r.Key)]));
        await AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Forget(earlier));
    }

    private async Task PolicyInForceAsync(Task<EnforcerProtocol.Enforced> enforced, Workload workload)
    {
        try
        {
            await enforced;
        }
        catch (AskTimeoutException)
        {
            var why = await AskAsync<EnforcerProtocol.Because>(services.Enforcer, new EnforcerProtocol.WhyNot(workload.Id));
            throw Failure(CniErrorCode.TryAgainLater, $"the policy of {workload.Namespace}/{workload.Name} is not in force: {why.Reason}");
        }
    }

    private async Task<ImmutableArray<IpAddr>> AllocateAsync(Workload draft, CniNetworkConfig config, CniCall call)
    {
        if (config.Ipam.Type is not ("" or CniIpamConfig.CalicoType))
            throw Failure(CniErrorCode.InvalidConfig, $"ipam type '{config.Ipam.Type}' is not supported by this node; use {CniIpamConfig.CalicoType}");
        var facts = await AskAsync<FactsProtocol.Pools>(services.Facts, new FactsProtocol.GetPools(draft.Namespace));
        var named = config.Ipam.V4Pools.Concat(config.Ipam.V6Pools).ToList();
        var pools = PoolChoice.For(facts.All, named, facts.NodeLabels, facts.NamespaceLabels, out var error);
        if (error is not null)
            throw Failure(CniErrorCode.InvalidConfig, error);
        var families = new List<IpVersion>();
        if (config.Ipam.AssignV4)
            families.Add(IpVersion.V4);
        if (config.Ipam.AssignV6)
            families.Add(IpVersion.V6);
        if (families.Count == 0)
            throw Failure(CniErrorCode.InvalidConfig, "ipam assigns neither IPv4 nor IPv6 addresses");
        foreach (var family in families.Where(f => pools.All(p => p.Cidr.Version != f)))
            throw Failure(facts.InSync ? CniErrorCode.InvalidConfig : CniErrorCode.TryAgainLater, facts.InSync
                ? $"no IP{family.ToString().ToLowerInvariant()} pool may be used by {draft.Namespace}/{draft.Name} on {services.Node}"
                : "the node has not heard from the mesh yet which pools there are");

        _ = CniArgs.TryParse(call.Request.Args, out var args, out _);
        ImmutableArray<IpAddr> wanted = args.Ip is { } ip && IpAddr.TryParse(ip, out var particular) ? [particular] : [];
        var now = services.Time.GetUtcNow();
        var attributes = ImmutableSortedDictionary.CreateRange(StringComparer.Ordinal, new KeyValuePair<string, string>[]
        {
            new("namespace", draft.Namespace), new("node", services.Node), new("pod", draft.Name),
            new("timestamp", now.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fffffff '+0000 UTC'", System.Globalization.CultureInfo.InvariantCulture)),
        });
        var key = draft.EndpointKey(services.Node);
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Allocate(NextId(),
            new AllocationRequest(draft.HandleId, attributes, [.. families], [.. pools.Select(p => p.Cidr)], wanted), pools,
            addresses => [Write.Put(key.Path, ResourceCodec.Encode((draft with { Addresses = [.. addresses.Select(a => a.ToString())] })
                .ToResource(services.Node, now)))]), services.StepTimeout);
        return answer switch
        {
            LeaseProtocol.Allocated allocated => allocated.Addresses,
            LeaseProtocol.NotAllocated no => throw Failure(no.Retryable ? CniErrorCode.TryAgainLater : CniErrorCode.Internal,
                $"no address for {draft.Namespace}/{draft.Name}: {no.Reason}"),
            _ => throw new InvalidOperationException($"the lease answered {answer}"),
        };
    }

    // The call has failed for a reason that must not be hidden by this one; the runtime's DEL releases the rest.
    private async Task TryUndoAsync(Workload workload)
    {
        try
        {
            await UndoAsync(workload);
        }
        catch (Exception e) when (e is CniCallException or AskTimeoutException)
        {
        }
    }

    private async Task UndoAsync(Workload workload)
    {
        services.Enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(workload.Id));
        services.Links.Tell(new LinkProtocol.Unwire(NextId(), workload.HostInterface));
        services.Routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [],
            [.. RegistryActor.RoutesOf(workload, 0).Select(r => r.Key)]));
        await AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Forget(workload));
        await ReleaseAsync(workload);
    }

    // ---- DEL and the others --------------------------------------------------------------------------------------

    private async Task<CniReply> DelAsync(CniCall call, CniNetworkConfig config)
    {
        var found = await AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(call.Request.ContainerId, call.Request.InterfaceName));
        // Unknown is success: the ADD never finished, or this DEL is a repetition. Its addresses go back all the same.
        var workload = found.Workload ?? Workload.From(call.Request, config, services.InterfacePrefix);
        if (found.Workload is null)
        {
            await ReleaseAddressesAsync(workload, []);
            return CniReply.Done;
        }
        services.Routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [],
            [.. RegistryActor.RoutesOf(workload, 0).Select(r => r.Key)]));
        var unwired = await services.Links.Ask<object>(new LinkProtocol.Unwire(NextId(), workload.HostInterface), services.StepTimeout);
        if (unwired is LinkProtocol.Refused refused)
            throw Failure(CniErrorCode.TryAgainLater, refused.Reason);
        services.Enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(workload.Id));
        await ReleaseAsync(workload);
        await AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Forget(workload));
        return CniReply.Done;
    }

    private Task ReleaseAsync(Workload workload) =>
        ReleaseAddressesAsync(workload, [Write.Delete(workload.EndpointKey(services.Node).Path)]);

    private async Task ReleaseAddressesAsync(Workload workload, ImmutableArray<Write> alongside)
    {
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Release(NextId(), workload.HandleId, alongside), services.StepTimeout);
        if (answer is LeaseProtocol.NotReleased no)
            throw Failure(CniErrorCode.TryAgainLater, $"the addresses of {workload.Namespace}/{workload.Name} are not released yet: {no.Reason}");
    }

    private async Task<CniReply> CheckAsync(CniCall call, CniNetworkConfig config)
    {
        var found = await AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(call.Request.ContainerId, call.Request.InterfaceName));
        if (found.Workload is not { } workload)
            throw Failure(CniErrorCode.UnknownContainer, $"no workload of container {call.Request.ContainerId} with interface {call.Request.InterfaceName} is on {services.Node}");
        using var pod = OpenPod(call);
        using var links = pod.OpenLinks();
        var link = links.Find(workload.PodInterface)
            ?? throw Failure(CniErrorCode.Internal, $"interface {workload.PodInterface} is gone from the pod");
        var has = links.DumpAddresses(link.Index).Select(a => a.Address.Address).ToHashSet();
        foreach (var missing in workload.ParsedAddresses.Where(a => !has.Contains(a)))
            throw Failure(CniErrorCode.Internal, $"address {missing} is gone from {workload.PodInterface} in the pod");
        if (config.PreviousResult is { } previous && previous.Addresses.Any(a => !has.Contains(a.Address.Address)))
            throw Failure(CniErrorCode.InvalidConfig, "prevResult names an address that the pod does not have");
        return CniReply.Done;
    }

    private async Task<CniReply> StatusAsync()
    {
        var status = await AskAsync<EnforcerProtocol.Status>(services.Enforcer, new EnforcerProtocol.GetStatus());
        var lease = await AskAsync<LeaseProtocol.Status>(services.Lease, new LeaseProtocol.GetStatus());
        if (status.InSync && lease.Loaded)
            return CniReply.Done;
        throw Failure(CniErrorCode.NotAvailable, lease.Loaded
            ? "the node does not know every policy yet"
            : "the node has not read its address blocks yet");
    }

    private async Task<CniReply> GcAsync(CniNetworkConfig config)
    {
        if (config.ValidAttachments is not { } valid)
            return CniReply.Done;
        var all = await AskAsync<RegistryProtocol.All>(services.Registry, new RegistryProtocol.GetAll());
        foreach (var stale in all.Workloads.Where(w => w.Network == config.Name && !valid.Contains(new CniAttachment(w.ContainerId, w.PodInterface))))
            await UndoAsync(stale);
        return CniReply.Done;
    }

    // ---- small things --------------------------------------------------------------------------------------------

    private static CniResult ResultOf(Workload workload, CniNetworkConfig config) => new(
        [new CniInterface(workload.HostInterface), new CniInterface(workload.PodInterface, workload.PodMac, workload.NetnsPath) { Mtu = workload.Mtu }],
        [.. workload.ParsedAddresses.Select(a => new CniAddress(Cidr.Host(a), 1))],
        [.. workload.ParsedAddresses.Select(a => new CniRoute(Cidr.Host(a)))])
    { Dns = config.RuntimeDns };

    private static NetworkNamespace OpenPod(CniCall call)
    {
        if (call.Netns is not { } netns)
            throw Failure(CniErrorCode.InvalidNetns, $"network namespace '{call.Request.NetnsPath}' was not passed to the node");
        try
        {
            return NetworkNamespace.Open($"/proc/self/fd/{netns.DangerousGetHandle()}");
        }
        catch (KernelException e)
        {
            throw Failure(CniErrorCode.InvalidNetns, e.Message);
        }
    }

    private async Task<T> AskAsync<T>(IActorRef actor, object message)
    {
        var answer = await actor.Ask<object>(message, services.StepTimeout);
        return answer switch
        {
            T expected => expected,
            LinkProtocol.Refused refused => throw Failure(CniErrorCode.Internal, refused.Reason),
            _ => throw new InvalidOperationException($"{actor.Path} answered {answer}"),
        };
    }

    private long NextId() => Interlocked.Increment(ref _lastRequest);

    private static CniCallException Failure(CniErrorCode code, string message) => new(new CniError(code, message));
}

/// <summary>A call that ends with an error of the specification.</summary>
public sealed class CniCallException(CniError error) : Exception(error.Message)
{
    public CniError Error { get; } = error;
}
