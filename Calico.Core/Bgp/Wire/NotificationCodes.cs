namespace Calico.Core.Bgp.Wire;

/// <summary>NOTIFICATION error codes (IANA "BGP Error (Notification) Codes").</summary>
public enum ErrorCode : byte
{
    MessageHeader = 1,
    OpenMessage = 2,
    UpdateMessage = 3,
    HoldTimerExpired = 4,
    FiniteStateMachine = 5,
    Cease = 6,

    /// <summary>RFC 7313.</summary>
    RouteRefreshMessage = 7,

    /// <summary>RFC 9687.</summary>
    SendHoldTimerExpired = 8,
}

/// <summary>Subcodes of <see cref="ErrorCode.MessageHeader"/>.</summary>
public static class HeaderError
{
    public const byte ConnectionNotSynchronized = 1;
    public const byte BadMessageLength = 2;
    public const byte BadMessageType = 3;
}

/// <summary>Subcodes of <see cref="ErrorCode.OpenMessage"/>; 0 is the unspecific one.</summary>
public static class OpenError
{
    public const byte Unspecific = 0;
    public const byte UnsupportedVersion = 1;
    public const byte BadPeerAs = 2;
    public const byte BadBgpIdentifier = 3;
    public const byte UnsupportedOptionalParameter = 4;
    public const byte UnacceptableHoldTime = 6;

    /// <summary>RFC 5492.</summary>
    public const byte UnsupportedCapability = 7;

    /// <summary>RFC 9234.</summary>
    public const byte RoleMismatch = 11;
}

/// <summary>Subcodes of <see cref="ErrorCode.UpdateMessage"/>.</summary>
public static class UpdateError
{
    public const byte MalformedAttributeList = 1;
    public const byte UnrecognizedWellKnownAttribute = 2;
    public const byte MissingWellKnownAttribute = 3;
    public const byte AttributeFlagsError = 4;
    public const byte AttributeLengthError = 5;
    public const byte InvalidOrigin = 6;
    public const byte InvalidNextHop = 8;
    public const byte OptionalAttributeError = 9;
    public const byte InvalidNetworkField = 10;
    public const byte MalformedAsPath = 11;
}

/// <summary>Subcodes of <see cref="ErrorCode.FiniteStateMachine"/> (RFC 6608): the state that the message surprised.</summary>
public static class FsmError
{
    public const byte UnexpectedInOpenSent = 1;
    public const byte UnexpectedInOpenConfirm = 2;
    public const byte UnexpectedInEstablished = 3;
}

/// <summary>Subcodes of <see cref="ErrorCode.Cease"/> (RFC 4486, RFC 8538, RFC 9384).</summary>
public static class CeaseError
{
    public const byte MaximumPrefixes = 1;
    public const byte AdministrativeShutdown = 2;
    public const byte PeerDeconfigured = 3;
    public const byte AdministrativeReset = 4;
    public const byte ConnectionRejected = 5;
    public const byte OtherConfigurationChange = 6;
    public const byte ConnectionCollisionResolution = 7;
    public const byte OutOfResources = 8;
    public const byte HardReset = 9;
    public const byte BfdDown = 10;
}

/// <summary>Subcodes of <see cref="ErrorCode.RouteRefreshMessage"/> (RFC 7313).</summary>
public static class RouteRefreshError
{
    public const byte InvalidMessageLength = 1;
}

/// <summary>The registries' names, for people.</summary>
public static class NotificationNames
{
    private static readonly string[][] Subcodes =
    [
        [],
        ["", "connection not synchronized", "bad message length", "bad message type"],
        ["unspecific", "unsupported version number", "bad peer AS", "bad BGP identifier",
            "unsupported optional parameter",
            "authentication failure", "unacceptable hold time", "unsupported capability"],
        ["", "malformed attribute list", "unrecognized well-known attribute", "missing well-known attribute",
            "attribute flags error", "attribute length error", "invalid ORIGIN attribute", "AS routing loop",
            "invalid NEXT_HOP attribute", "optional attribute error", "invalid network field", "malformed AS_PATH"],
        [],
        ["unspecified", "unexpected message in OpenSent", "unexpected message in OpenConfirm",
            "unexpected message in Established"],
        ["", "maximum number of prefixes reached", "administrative shutdown", "peer de-configured",
            "administrative reset", "connection rejected", "other configuration change",
            "connection collision resolution", "out of resources", "hard reset", "BFD down"],
        ["", "invalid message length"],
        [],
    ];

    private static readonly string[] Codes =
        ["", "message header error", "OPEN message error", "UPDATE message error", "hold timer expired",
            "finite state machine error", "cease", "ROUTE-REFRESH message error", "send hold timer expired"];

    /// <summary>For example <c>cease/administrative shutdown</c>; numbers that the registries lack stay numbers.</summary>
    public static string Describe(ErrorCode code, byte subcode)
    {
        var c = (byte)code;
        if (c == 0 || c >= Codes.Length)
            return $"code {c}/{subcode}";
        var names = Subcodes[c];
        if (subcode < names.Length && names[subcode].Length > 0)
            return $"{Codes[c]}/{names[subcode]}";
        return subcode == 0 ? Codes[c] : $"{Codes[c]}/{subcode}";
    }
}
