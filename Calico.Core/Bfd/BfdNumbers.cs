namespace Calico.Core.Bfd;

/// <summary>The state of a session, as it stands in a packet (RFC 5880 section 4.1).</summary>
public enum BfdState : byte
{
    /// <summary>Switched off by an operator; says nothing about the path.</summary>
    AdminDown = 0,
    Down = 1,
    Init = 2,
    Up = 3,
}

/// <summary>Why a session changed its state last (RFC 5880 section 4.1).</summary>
public enum BfdDiagnostic : byte
{
    None = 0,
    ControlDetectionTimeExpired = 1,
    EchoFunctionFailed = 2,
    NeighborSignaledSessionDown = 3,
    ForwardingPlaneReset = 4,
    PathDown = 5,
    ConcatenatedPathDown = 6,
    AdministrativelyDown = 7,
    ReverseConcatenatedPathDown = 8,
}

/// <summary>Whether a session speaks first or waits until it hears the neighbour (RFC 5880 section 6.1).</summary>
public enum BfdRole : byte
{
    Active = 0,
    Passive = 1,
}

/// <summary>
/// Why a packet was thrown away: the rules of RFC 5880 section 6.8.6 in their order, then those of the transport. Each has a
/// counter; <see cref="None"/> means that the packet counts.
/// </summary>
public enum BfdDiscard : byte
{
    None = 0,
    Version,
    TooShort,
    LengthBeyondPayload,
    DetectMultZero,
    Multipoint,
    MyDiscriminatorZero,
    YourDiscriminatorZero,
    NoSession,
    Authentication,
    AdminDown,

    /// <summary>The packet passed a router, or claims that it did not start at 255 (RFC 5881 section 5).</summary>
    HopLimit,

    /// <summary>The discriminator is that of a session over another address, port or device.</summary>
    WrongPath,
}

/// <summary>What a step of a session leaves its caller to do.</summary>
[Flags]
public enum BfdWork : byte
{
    None = 0,

    /// <summary>Send <see cref="BfdSession.Compose"/> now.</summary>
    Send = 1,

    /// <summary>Answer a Poll: send <see cref="BfdSession.ComposeFinal"/> now, whatever the timers say.</summary>
    Final = 2,

    /// <summary>The session's state is another than before.</summary>
    StateChanged = 4,
}
