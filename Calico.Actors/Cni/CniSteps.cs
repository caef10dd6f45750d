using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Cni;
using Calico.Datastore;

namespace Calico.Actors.Cni;

/// <summary>What the conversations of several commands have in common: questions to the actors, and taking back a workload.</summary>
internal sealed class CniSteps(CniServices services)
{
    private long _lastRequest;

    public CniServices Services => services;

    public long NextId() => Interlocked.Increment(ref _lastRequest);

    /// <exception cref="CniCallException">The actor said no.</exception>
    /// <exception cref="AskTimeoutException">It did not answer in time.</exception>
    public async Task<T> AskAsync<T>(IActorRef actor, object message)
    {
        var answer = await actor.Ask<object>(message, services.StepTimeout);
        return answer switch
        {
            T expected => expected,
            LinkProtocol.Refused refused => throw Failure(CniErrorCode.Internal, refused.Reason),
            _ => throw new InvalidOperationException($"{actor.Path} answered {answer}"),
        };
    }

    /// <summary>No route of the node leads to the workload any more.</summary>
    public void RemoveRoutes(Workload workload) => services.Routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [],
        [.. RegistryActor.RoutesOf(workload, 0).Select(r => r.Key)]));

    /// <summary>Takes back whatever there is of a workload; returns when its addresses are released.</summary>
    public async Task UndoAsync(Workload workload)
    {
        services.Enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(workload.Id));
        services.Links.Tell(new LinkProtocol.Unwire(NextId(), workload.HostInterface));
        RemoveRoutes(workload);
        await ForgetAsync(workload);
        await ReleaseAsync(workload);
    }

    public Task ForgetAsync(Workload workload) =>
        AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Forget(workload));

    /// <summary>Releases the addresses, and deletes the workload endpoint with them.</summary>
    public Task ReleaseAsync(Workload workload) =>
        ReleaseAddressesAsync(workload, [Write.Delete(workload.EndpointKey(services.Node).Path)]);

    public async Task ReleaseAddressesAsync(Workload workload, ImmutableArray<Write> alongside)
    {
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Release(NextId(), workload.HandleId, alongside), services.StepTimeout);
        if (answer is LeaseProtocol.NotReleased no)
            throw Failure(CniErrorCode.TryAgainLater, $"the addresses of {workload.Namespace}/{workload.Name} are not released yet: {no.Reason}");
    }

    public static CniCallException Failure(CniErrorCode code, string message) => new(new CniError(code, message));
}
