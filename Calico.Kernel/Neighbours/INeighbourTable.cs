using Calico.Core.Net;

namespace Calico.Kernel.Neighbours;

/// <summary>A neighbour (ARP, NDP) or, with <paramref name="Forwarding"/>, a forwarding database entry of a device.</summary>
public readonly record struct Neighbour(int LinkIndex, IpAddr Address, MacAddress Mac, bool Forwarding = false)
{
    public bool Permanent { get; init; } = true;
}

/// <summary>The neighbour tables of one network namespace. Not thread-safe: one writer owns it.</summary>
public interface INeighbourTable : IDisposable
{
    IReadOnlyList<Neighbour> Dump(int? linkIndex = null, bool forwarding = false);

    /// <summary>Creates or replaces the entry.</summary>
    void Set(Neighbour neighbour);

    /// <summary>Removes the entry; an absent one is success.</summary>
    void Delete(Neighbour neighbour);

    /// <summary>Modifying requests that the kernel accepted since this table was opened.</summary>
    long WriteCount { get; }
}
