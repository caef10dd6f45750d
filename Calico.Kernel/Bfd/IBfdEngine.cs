using System.Collections.Immutable;
using Calico.Core.Bfd;

namespace Calico.Kernel.Bfd;

/// <summary>
/// Watches neighbours by BFD. Commands may come from any thread and return at once; what comes of them is a
/// <see cref="BfdChange"/>. Disposing tells every neighbour that we are going, and does not wait for their answers.
/// </summary>
public interface IBfdEngine : IDisposable
{
    /// <summary>
    /// The kernel sends for us while the process stands still, five seconds or 256 packets of a session at least. Where it cannot (no io_uring), a neighbour sees a
    /// garbage collection that is longer than its detection time as our failure.
    /// </summary>
    bool SendsAhead { get; }

    /// <summary>Begins a session, or gives the one that is there other parameters. The first change is its state now.</summary>
    /// <exception cref="ArgumentException">There can be no such endpoint, or the parameters are out of bounds.</exception>
    void Watch(BfdEndpoint endpoint, BfdParameters parameters);

    /// <summary>Ends a session; the neighbour is told that it is switched off here.</summary>
    void Unwatch(BfdEndpoint endpoint);

    /// <summary>Switches a session off or on without ending it (RFC 5880 section 6.8.16).</summary>
    void SetEnabled(BfdEndpoint endpoint, bool enabled);

    /// <summary>Every session with its counters. Empty once the engine has ended.</summary>
    Task<ImmutableArray<BfdSessionStatus>> StatusAsync();

    /// <summary>The next change, in order for each session; null once the engine was disposed.</summary>
    /// <exception cref="KernelException">The engine has failed and watches nobody any more.</exception>
    ValueTask<BfdChange?> NextAsync(CancellationToken cancellation);
}

/// <summary>A session is in this state now.</summary>
public sealed record BfdChange(BfdEndpoint Endpoint, BfdState State, BfdState RemoteState, BfdDiagnostic Diagnostic);

/// <summary>A session as it is.</summary>
/// <param name="TransmitInterval">Negotiated, before jitter.</param>
/// <param name="ReceiveInterval">Negotiated; zero while the neighbour is not heard, as is <paramref name="DetectionTime"/>.</param>
/// <param name="Problem">Why nothing can be sent or received at the moment; null if nothing is known to be wrong.</param>
public sealed record BfdSessionStatus(BfdEndpoint Endpoint, BfdState State, BfdState RemoteState, BfdDiagnostic Diagnostic,
    BfdDiagnostic RemoteDiagnostic, uint LocalDiscriminator, uint RemoteDiscriminator, BfdParameters Parameters, TimeSpan TransmitInterval,
    TimeSpan ReceiveInterval, TimeSpan DetectionTime, BfdCounters Counters, string? Problem);

/// <summary>What happened to a session since it began.</summary>
/// <param name="Discarded">Packets that did not count, by reason; only those that could be told to be of this session.</param>
/// <param name="Excused">How often the detection time began anew because we had not been able to listen.</param>
public sealed record BfdCounters(long PacketsIn, long PacketsOut, long SendErrors, ImmutableDictionary<BfdDiscard, long> Discarded,
    long Ups, long Downs, long Excused);
