using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Kernel.Routes;

namespace Calico.Kernel.Links;

/// <summary>A network device. <see cref="Kind"/> is the kernel's kind (<c>veth</c>, <c>bridge</c>, …; empty for hardware).</summary>
public sealed record Link(int Index, string Name, string Kind)
{
    public bool Up { get; init; }

    /// <summary>Operational: has carrier and may pass packets.</summary>
    public bool Running { get; init; }
    public uint Mtu { get; init; }
    public MacAddress Mac { get; init; }

    /// <summary>Transmit queues; a veth pair has as many to receive.</summary>
    public int Queues { get; init; } = 1;
    public int? MasterIndex { get; init; }

    /// <summary>For veth: the index of the other end, in its own namespace.</summary>
    public int? PeerIndex { get; init; }
}

/// <summary>An address on a device.</summary>
public readonly record struct LinkAddress(int LinkIndex, Cidr Address)
{
    public RouteScope Scope { get; init; }

    /// <summary>RFC 4862 section 5.4: duplicate detection is still running; an address added with NoDad is never tentative.</summary>
    public bool Tentative { get; init; }
}

/// <summary>
/// A veth pair to create; the peer is born in the namespace behind <paramref name="PeerNamespaceFd"/>, or in the table's
/// own if that is negative.
/// </summary>
public sealed record VethPair(string Name, string PeerName, int PeerNamespaceFd)
{
    /// <summary>MTU of both ends in bytes; 0 takes the kernel's default.</summary>
    public uint Mtu { get; init; }
    public MacAddress? Mac { get; init; }
    public MacAddress? PeerMac { get; init; }
    public int Queues { get; init; } = 1;
}

/// <summary>
/// A device's sysctls of IPv4, as one request: as files they are opened, read and written one by one. Null leaves a setting
/// as it is.
/// </summary>
public sealed record Ipv4Settings
{
    public bool? Forwarding { get; init; }
    public bool? ProxyArp { get; init; }
    public bool? RouteLocalnet { get; init; }
    public int? RpFilter { get; init; }

    /// <summary><c>neigh/…/proxy_delay</c>: how long an answer for another is held back at most.</summary>
    public TimeSpan? ProxyDelay { get; init; }
}

/// <summary>What to change on a device; null leaves a property as it is.</summary>
public sealed record LinkChange(int Index)
{
    public bool? Up { get; init; }
    public uint? Mtu { get; init; }
    public MacAddress? Mac { get; init; }

    /// <summary>In force before the device is up.</summary>
    public Ipv4Settings? Ipv4 { get; init; }
    public string? Name { get; init; }

    /// <summary>0 removes the device from its bridge.</summary>
    public int? MasterIndex { get; init; }

    /// <summary>Moves the device into another namespace.</summary>
    public int? NamespaceFd { get; init; }
}

/// <summary>
/// Devices and their addresses in one network namespace. Not thread-safe: one writer owns it. Every method throws
/// <see cref="KernelException"/> with the device's name when the kernel refuses.
/// </summary>
public interface ILinkTable : IDisposable
{
    ImmutableArray<Link> Dump();
    Link? Find(string name);
    Link? Find(int index);

    /// <summary>Creates the pair and returns the host end, already up if <paramref name="up"/>.</summary>
    Link CreateVeth(VethPair pair, bool up);

    Link CreateBridge(string name);

    void Change(LinkChange change);

    /// <summary>Removes the device; an absent one is success. Returns whether it was there.</summary>
    bool Delete(string name);

    /// <summary>
    /// Removes these devices together, which is much faster than one by one: the kernel waits once until nobody reads
    /// them any more (tens of milliseconds). Absent ones are skipped. Returns how many were there.
    /// </summary>
    int Delete(ReadOnlySpan<int> indexes);

    ImmutableArray<LinkAddress> DumpAddresses(int? linkIndex = null);

    /// <summary>Adds the address; one that is already there is success. IPv6 is added without duplicate detection.</summary>
    void AddAddress(LinkAddress address);

    /// <summary>Removes the address; an absent one is success.</summary>
    void DeleteAddress(LinkAddress address);

    /// <summary>Modifying requests that the kernel accepted since this table was opened.</summary>
    long WriteCount { get; }
}
