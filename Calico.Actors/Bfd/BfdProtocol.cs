using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Protocol;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;

namespace Calico.Actors.Bfd;

/// <summary>What is said to and by the actor that watches neighbours by BFD. Local.</summary>
public static class BfdProtocol
{
    /// <summary>
    /// The subscriber wants to know of this neighbour: it gets <see cref="StateChanged"/> now and at each change, until
    /// <see cref="Unwatch"/> or its own end. Said again it changes the parameters. Several may watch one endpoint; the parameters
    /// with the shortest detection time are used. Answered with <see cref="WatchRefused"/> if there can be no such session.
    /// </summary>
    public sealed record Watch(BfdEndpoint Endpoint, BfdParameters Parameters, IActorRef Subscriber) : ILocalMessage;

    /// <summary>The subscriber is no longer interested. The session ends with its last one, and the neighbour is told.</summary>
    public sealed record Unwatch(BfdEndpoint Endpoint, IActorRef Subscriber) : ILocalMessage;

    /// <summary>Switches a session that is watched off or on without ending it. Who is told goes on being told.</summary>
    public sealed record SetEnabled(BfdEndpoint Endpoint, bool Enabled) : ILocalMessage;

    /// <summary>
    /// The session is in this state since then. It has failed (RFC 5882 section 4.3) when it leaves Up with
    /// <see cref="BfdDiagnostic.ControlDetectionTimeExpired"/>, or is told so by a neighbour that is not
    /// <see cref="BfdState.AdminDown"/>. A neighbour that is AdminDown has been switched off and says nothing of the path, and
    /// Down without a diagnostic is a session that begins.
    /// </summary>
    public sealed record StateChanged(BfdEndpoint Endpoint, BfdState State, BfdState RemoteState, BfdDiagnostic Diagnostic, DateTimeOffset Since)
        : ILocalMessage
    {
        /// <summary>The path to the neighbour is broken, or the neighbour is.</summary>
        public bool IsFailure => State == BfdState.Down && RemoteState != BfdState.AdminDown
            && Diagnostic is BfdDiagnostic.ControlDetectionTimeExpired or BfdDiagnostic.NeighborSignaledSessionDown;
    }

    /// <summary>There can be no such session, in a sentence for whoever configured it.</summary>
    public sealed record WatchRefused(BfdEndpoint Endpoint, string Reason) : ILocalMessage;

    public sealed record GetBfdStatus : ILocalMessage;

    /// <param name="SendsAhead">
    /// Neighbours go on hearing us while this process stands still; see <see cref="IBfdEngine.SendsAhead"/>. False while nobody is watched yet.
    /// </param>
    public sealed record BfdStatus(bool SendsAhead, ImmutableArray<BfdNeighbour> Sessions) : ILocalMessage;

    /// <summary>A session, since when it is in its state, and how many want to know of it.</summary>
    public sealed record BfdNeighbour(BfdSessionStatus Session, DateTimeOffset Since, int Subscribers);
}
