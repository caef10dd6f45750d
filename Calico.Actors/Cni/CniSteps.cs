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

namespace Calico.Actors.Cni;

/// <summary>
/// What the conversations of several commands have in common: questions to the actors, addresses for a workload, and taking
/// one back.
/// </summary>
internal sealed class CniSteps(CniServices services)
{
    private long _lastRequest;

    public CniServices Services => services;

    public long NextId() => Interlocked.Increment(ref _lastRequest);

    /// <exception cref="CniCallException">The actor said no.</exception>
    /// <exception cref="AskTimeoutException">It did not answer in time.</exception>
    public async Task<T> AskAsync<T>(IActorRef actor, object message, TimeSpan? timeout = null)
    {
        var answer = await actor.Ask<object>(message, timeout ?? services.StepTimeout);
        return answer switch
        {
            T expected => expected,
            LinkProtocol.Refused refused => throw Failure(CniErrorCode.Internal, refused.Reason),
            _ => throw new InvalidOperationException($"{actor.Path} answered {answer}"),
        };
    }

    // ---- a workload --------------------------------------------------------------------------------------------------

    /// <summary>What a call names, under the node's name that its configuration asks for.</summary>
    public Workload DraftOf(CniRequest request, CniNetworkConfig config)
    {
        var draft = Workload.From(request, config, services.InterfacePrefix);
        var (node, place) = config.NodeName is { } given ? (given, "nodename of the network configuration")
            : NodeNameIn(config) is { } written ? (written, $"nodename_file of the network configuration, {config.NodeNameFile},")
            : (config.HostName, "hostname of the network configuration");
        if (node is not null && node != services.Node)
            throw Failure(CniErrorCode.InvalidConfig, $"{place} says '{node}', and the agent of this machine is '{services.Node}' (NODENAME of calico-node): "
                + "the pod's endpoint would be another node's, which deletes it; give both the same name");
        // They are parts of a key, which whoever reads it takes apart again.
        foreach (var (variable, name) in (ReadOnlySpan<(string, string)>)[("K8S_POD_NAMESPACE", draft.Namespace), ("K8S_POD_NAME", draft.Name)])
        {
            if (!CniInvocation.IsIdentifier(name))
                throw Failure(CniErrorCode.InvalidEnvironment,
                    $"CNI_ARGS has {variable}={name}, which must start with a letter or digit and contain only letters, digits, '_', '.' and '-'");
        }
        try
        {
            _ = draft.EndpointKey(services.Node);
            return draft;
        }
        catch (FormatException e)
        {
            throw Failure(CniErrorCode.InvalidConfig, e.Message);
        }
    }

    /// <summary>
    /// Nothing is given or taken while the datastore is being moved: whoever locked it has copied what was there, and would not
    /// see a change.
    /// </summary>
    /// <exception cref="CniCallException">It is locked.</exception>
    public async Task RefuseWhileLockedAsync(CniErrorCode code = CniErrorCode.TryAgainLater)
    {
        if ((await AskAsync<FactsProtocol.Lock>(services.Facts, new FactsProtocol.GetLock())).IsLocked)
            throw Failure(code, "the datastore is locked for a migration (datastoreReady of ClusterInformation default is false); "
                + "calicoctl datastore migrate unlock ends it");
    }

    private static string? NodeNameIn(CniNetworkConfig config)
    {
        if (config.NodeNameFile is not { } file)
            return null;
        try
        {
            if (File.Exists(file) && File.ReadAllText(file).Trim() is { Length: > 0 } name)
                return name;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failure(CniErrorCode.TryAgainLater, $"nodename_file {file} cannot be read: {e.Message}");
        }
        return config.IsNodeNameFileOptional
            ? null
            : throw Failure(CniErrorCode.TryAgainLater, $"nodename_file {file} is not there or empty; calico-node writes it when it is ready");
    }

    /// <summary>
    /// Addresses for the planned workload, which become durable together with its endpoint; or the endpoint alone where others gave the
    /// addresses.
    /// </summary>
    public async Task<Workload> AllocateAsync(CniPlan plan, bool writesEndpoint = true)
    {
        var draft = plan.Draft;
        var now = services.Time.GetUtcNow();
        Workload With(ImmutableArray<IpAddr> given) =>
            draft.HasForeignAddresses ? draft : draft with { Addresses = [.. given.Select(a => a.ToString())] };
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Allocate(NextId(),
            new AllocationRequest(draft.HandleId, draft.AllocationAttributes(services.Node, now), plan.Families, [.. plan.Pools.Select(p => p.Cidr)], plan.Wanted), plan.Pools,
            given => writesEndpoint
                ? [Write.Put(draft.EndpointKey(services.Node).Path, ResourceCodec.Encode(With(given).ToResource(services.Node, now)))]
                : []), services.StepTimeout);
        return answer switch
        {
            LeaseProtocol.Allocated allocated => With(allocated.Addresses) with { IsPromise = allocated.IsAway },
            LeaseProtocol.NotAllocated no => throw Failure(no.Retryable ? CniErrorCode.TryAgainLater : CniErrorCode.Internal,
                $"no address for {draft.Namespace}/{draft.Name}: {no.Reason}"),
            _ => throw new InvalidOperationException($"the lease answered {answer}"),
        };
    }

    /// <summary>
    /// The profile of a network without a policy type, made if it is missing: everything out, and in from whoever has it too,
    /// or from everywhere for Kubernetes' pods.
    /// </summary>
    public async Task EnsureProfileAsync(string name, bool isKubernetes)
    {
        if (services.Datastore is not { } datastore)
            return;
        var key = new ResourceKey(ResourceKind.Profile, null, name);
        var profile = new Profile
        {
            Metadata = new ObjectMeta { Name = name, Uid = Guid.NewGuid().ToString("D"), CreationTimestamp = services.Time.GetUtcNow() },
            Spec = new ProfileSpec
            {
                Egress = [new Rule { Action = RuleAction.Allow }],
                Ingress = [new Rule { Action = RuleAction.Allow, Source = isKubernetes ? new EntityRule() : new EntityRule { Selector = $"has({name})" } }],
                LabelsToApply = Core.Model.StringMap.Empty.With(name, ""),
            },
        };
        try
        {
            var made = await datastore.CommitAsync(new Transaction([Compare.Absent(key.Path)], [Write.Put(key.Path, ResourceCodec.Encode(profile))]))
                .WaitAsync(services.StepTimeout);
            if (made.Succeeded)
                services.Report($"made profile {name} for the network of that name");
        }
        catch (Exception e) when (e is DatastoreException or TimeoutException)
        {
            throw Failure(CniErrorCode.TryAgainLater, $"profile {name} of the network is missing and cannot be made: {e.Message}");
        }
    }

    // ---- taking back -------------------------------------------------------------------------------------------------

    /// <summary>No route of the node leads to the workload any more.</summary>
    public void RemoveRoutes(Workload workload) => services.Routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [],
        [.. RegistryActor.RoutesOf(workload, 0).Select(r => r.Key)]));

    /// <summary>
    /// Takes back whatever there is of a workload; returns when its addresses are released. In this order: what fails can
    /// be found and tried again, because the workload is forgotten last.
    /// </summary>
    public async Task RemoveAsync(Workload workload)
    {
        if (!workload.IsAddressOnly)
        {
            RemoveRoutes(workload);
            var unwired = await services.Links.Ask<object>(new LinkProtocol.Unwire(NextId(), workload.HostInterface), services.StepTimeout);
            if (unwired is LinkProtocol.Refused refused)
                throw Failure(CniErrorCode.TryAgainLater, refused.Reason);
            services.Enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(workload.Id));
        }
        await ReleaseAddressesAsync(workload, workload.IsAddressOnly ? [] : [Write.Delete(workload.EndpointKey(services.Node).Path)]);
        await ForgetAsync(workload);
    }

    /// <summary>The same after a failure, which must not be hidden by another one; the runtime's DEL releases the rest.</summary>
    public async Task TryRemoveAsync(Workload workload)
    {
        try
        {
            await RemoveAsync(workload);
        }
        catch (Exception e) when (e is CniCallException or AskTimeoutException)
        {
        }
    }

    /// <exception cref="CniCallException">The journal keeps it: after a restart it would be taken for a pod again.</exception>
    public async Task ForgetAsync(Workload workload)
    {
        if ((await AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Forget(workload))).Fault is { } fault)
            throw Failure(CniErrorCode.IoFailure, $"{workload.Id} is removed, and the record of it cannot be: {fault}");
    }

    public async Task ReleaseAddressesAsync(Workload workload, ImmutableArray<Write> alongside)
    {
        ImmutableArray<IpAddr> known = workload.HasForeignAddresses ? [] : [.. workload.ParsedAddresses];
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Release(NextId(), workload.HandleId, known, alongside), services.StepTimeout);
        if (answer is LeaseProtocol.NotReleased no)
            throw Failure(CniErrorCode.TryAgainLater, $"the addresses of {workload.Namespace}/{workload.Name} are not released yet: {no.Reason}");
    }

    /// <summary>What the runtime is told of a failure; null for one that is nobody's expectation.</summary>
    public static CniReply? ReplyTo(Exception failure, CniVersion version) => failure switch
    {
        CniCallException e => e.Error.ToReply(version),
        AskTimeoutException e => new CniError(CniErrorCode.TryAgainLater, $"the node did not answer in time: {e.Message}").ToReply(version),
        OperationCanceledException => new CniError(CniErrorCode.TryAgainLater,
            "the call was given up: its deadline has passed or the node is stopping").ToReply(version),
        _ => null,
    };

    public static CniCallException Failure(CniErrorCode code, string message) => new(new CniError(code, message));
}
