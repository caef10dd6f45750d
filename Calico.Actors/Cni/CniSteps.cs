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

    /// <summary>
    /// Takes back whatever there is of a workload; returns when its addresses are released. In this order: what fails can
    /// be found and tried again, because the workload is forgotten last.
    /// </summary>
    public async Task RemoveAsync(Workload workload)
    {
        RemoveRoutes(workload);
        var unwired = await services.Links.Ask<object>(new LinkProtocol.Unwire(NextId(), workload.HostInterface), services.StepTimeout);
        if (unwired is LinkProtocol.Refused refused)
            throw Failure(CniErrorCode.TryAgainLater, refused.Reason);
        services.Enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(workload.Id));
        await ReleaseAddressesAsync(workload, [Write.Delete(workload.EndpointKey(services.Node).Path)]);
        await ForgetAsync(workload);
    }

    public Task ForgetAsync(Workload workload) =>
        AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Forget(workload));

    public async Task ReleaseAddressesAsync(Workload workload, ImmutableArray<Write> alongside)
    {
        var answer = await services.Lease.Ask<object>(new LeaseProtocol.Release(NextId(), workload.HandleId, [.. workload.ParsedAddresses], alongside), services.StepTimeout);
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
