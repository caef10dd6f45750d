using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Policy;
using Calico.Actors.Protocol;
using Calico.Core.Net;

namespace Calico.Actors.Endpoints;

/// <summary>What is said to the registry of workloads. Local.</summary>
public static class RegistryProtocol
{
    /// <summary>The workload of this container and interface, if there is one; answered with <see cref="Found"/>.</summary>
    public sealed record Find(string ContainerId, string PodInterface) : ILocalMessage;

    /// <param name="Siblings">The container's other interfaces.</param>
    public sealed record Found(Workload? Workload, ImmutableArray<Workload> Siblings) : ILocalMessage;

    /// <summary>
    /// The workloads of these host interfaces, or of any if none are named, whose interface does not exist; answered with
    /// <see cref="Vanished"/>.
    /// </summary>
    public sealed record GetVanished(IReadOnlySet<string>? Interfaces) : ILocalMessage;

    public sealed record Vanished(ImmutableArray<Workload> Workloads) : ILocalMessage;

    /// <summary>This workload is to be made; answered with <see cref="Admitted"/>.</summary>
    public sealed record Admit(Workload Draft) : ILocalMessage;

    /// <param name="Workload">The draft under the host interface name that is now reserved for it.</param>
    /// <param name="IsKnown">It is here already, as given: nothing is to be made.</param>
    /// <param name="Replaces">An earlier container of the same pod that still has the interface.</param>
    public sealed record Admitted(Workload Workload, bool IsKnown, Workload? Replaces) : ILocalMessage
    {
        /// <summary>The container has another interface here.</summary>
        public bool IsFurther { get; init; }
    }

    /// <summary>The workload is wired, its policy in force: remember it. Answered with <see cref="Recorded"/>.</summary>
    public sealed record Record(Workload Workload) : ILocalMessage;

    /// <param name="Fault">Why it could not be remembered, or null.</param>
    public sealed record Recorded(string? Fault) : ILocalMessage;

    /// <summary>The workload is gone, or was never finished. Answered with <see cref="Recorded"/>.</summary>
    public sealed record Forget(Workload Workload) : ILocalMessage;

    /// <summary>The enforcer asks for every workload, as <see cref="EnforcerProtocol.AdoptEndpoints"/>.</summary>
    public sealed record TellEndpoints : ILocalMessage;

    /// <summary>
    /// Its addresses are another's (<see cref="Workload.IsFenced"/> true), or its own again: takes its routes away, or
    /// brings them back. Void for a workload that is not here any more. Answered with <see cref="Fenced"/>.
    /// </summary>
    public sealed record Fence(Workload Workload) : ILocalMessage;

    /// <param name="Workload">As it is now; null if it is not here any more.</param>
    public sealed record Fenced(Workload? Workload) : ILocalMessage;

    /// <summary>
    /// The addresses that the kernel routes to workloads which the journal does not know, of another program or from before
    /// its loss; answered with <see cref="Strangers"/>.
    /// </summary>
    public sealed record GetStrangers : ILocalMessage;

    public sealed record Strangers(ImmutableHashSet<IpAddr> Addresses) : ILocalMessage;

    /// <summary>Be told the addresses of the workloads that are not fenced: all of them now, then each change.</summary>
    public sealed record FollowAddresses(IActorRef Subscriber) : ILocalMessage;

    /// <param name="IsAll">There are no others than <paramref name="Added"/>.</param>
    public sealed record AddressesChanged(ImmutableArray<IpAddr> Added, ImmutableArray<IpAddr> Removed, bool IsAll) : ILocalMessage;

    public sealed record GetAll : ILocalMessage;

    /// <param name="Workloads">What is here.</param>
    /// <param name="UnderWay">The containers for which a call is under way, or has failed and not been taken back.</param>
    public sealed record All(ImmutableArray<Workload> Workloads, ImmutableHashSet<string> UnderWay) : ILocalMessage;
}
