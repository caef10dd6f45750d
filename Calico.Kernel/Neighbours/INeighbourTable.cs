using Calico.Core.Net;

namespace Calico.Kernel.Neighbours;

/// <summary>
/// A neighbour (ARP, NDP) or, with <paramref name="Forwarding"/>, a forwarding database entry of a device: frames for
/// <paramref name="Mac"/> leave through it, and on a tunnel device to the host <paramref name="Address"/>. A port of a
/// bridge has no such host: its entries, which belong to the bridge, have the unspecified address.
/// </summary>
public readonly record struct Neighbour(int LinkIndex, IpAddr Address, MacAddress Mac, bool Forwarding = false)
{
    /// <summary>Never expires and is never asked for.</summary>
    public bool Permanent { get; init; } = true;

    /// <summary>This host answers for the address on that device; such an entry has no MAC.</summary>
    public bool Proxy { get; init; }
}

/// <summary>The neighbour tables of one network namespace. Not thread-safe: one writer owns it.</summary>
public interface INeighbourTable : IDisposable
{
    /// <summary>Resolved neighbours, or forwarding database entries.</summary>
    IReadOnlyList<Neighbour> Dump(int? linkIndex = null, bool forwarding = false);

    /// <summary>Addresses that this host answers for, by device.</summary>
    IReadOnlyList<Neighbour> DumpProxies(int? linkIndex = null);

    /// <summary>Creates or replaces the entry.</summary>
    void Set(Neighbour neighbour);

    /// <summary>Removes the entry; an absent one is success.</summary>
    void Delete(Neighbour neighbour);

    /// <summary>Modifying requests that the kernel accepted since this table was opened.</summary>
    long WriteCount { get; }
}
