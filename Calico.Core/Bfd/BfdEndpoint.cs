using Calico.Core.Net;

namespace Calico.Core.Bfd;

/// <summary>
/// The path that a session watches: from an address of ours to the neighbour's. Equal endpoints are one session. Check with
/// <see cref="Problem"/> before use.
/// </summary>
/// <param name="Device">The device that the neighbour is behind; needed for link-local addresses, otherwise the routes decide.</param>
/// <param name="Multihop">Routers are between: port 4784 and no check of the hop limit (RFC 5883).</param>
public sealed record BfdEndpoint(IpAddr Neighbour, IpAddr Local, string? Device = null, bool Multihop = false)
{
    // RFC 5881 section 4 and RFC 5883 section 5.
    public const ushort SingleHopPort = 3784;
    public const ushort MultihopPort = 4784;

    private const int LongestDeviceName = 15;

    public ushort Port => Multihop ? MultihopPort : SingleHopPort;

    /// <summary>Why there cannot be such a session; null if there can.</summary>
    public string? Problem =>
        Neighbour.Version != Local.Version ? $"{this}: the addresses are of different families"
        : Neighbour.IsUnspecified || Local.IsUnspecified || Neighbour.IsMulticast || Local.IsMulticast ? $"{this}: both must be a host's addresses"
        : Device is { Length: 0 or > LongestDeviceName } ? $"{this}: a device's name has 1 to 15 characters"
        : IsLinkLocal && Device is null ? $"{this}: a link-local address needs a device"
        : IsLinkLocal && Multihop ? $"{this}: nobody routes a link-local address"
        : null;

    /// <summary>The addresses mean something only together with the device.</summary>
    public bool IsLinkLocal => Neighbour.IsV6 && (Neighbour.IsLinkLocal || Local.IsLinkLocal);

    public override string ToString() => $"{Neighbour} from {Local}{(Device is null ? "" : $" on {Device}")}{(Multihop ? " (multihop)" : "")}";
}
