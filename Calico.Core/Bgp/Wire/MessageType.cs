namespace Calico.Core.Bgp.Wire;

/// <summary>BGP message types (IANA "BGP Message Types").</summary>
public enum MessageType : byte
{
    Open = 1,
    Update = 2,
    Notification = 3,
    Keepalive = 4,

    /// <summary>RFC 2918, with the subtypes of RFC 7313.</summary>
    RouteRefresh = 5,
}
