namespace Calico.Core.Bgp.Wire;

/// <summary>Capability codes (IANA "Capability Codes") that this speaker gives a meaning to.</summary>
public enum CapabilityCode : byte
{
    /// <summary>RFC 4760.</summary>
    Multiprotocol = 1,

    /// <summary>RFC 2918.</summary>
    RouteRefresh = 2,

    /// <summary>RFC 8950.</summary>
    ExtendedNextHop = 5,

    /// <summary>RFC 8654.</summary>
    ExtendedMessage = 6,

    /// <summary>RFC 9234.</summary>
    Role = 9,

    /// <summary>RFC 4724, with the N bit of RFC 8538.</summary>
    GracefulRestart = 64,

    /// <summary>RFC 6793.</summary>
    FourOctetAs = 65,

    /// <summary>RFC 7911.</summary>
    AddPath = 69,

    /// <summary>RFC 9494.</summary>
    LongLivedRestart = 71,

    /// <summary>RFC 7313.</summary>
    EnhancedRouteRefresh = 70,
}
