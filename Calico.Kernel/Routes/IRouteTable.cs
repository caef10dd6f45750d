using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Kernel.Routes;

/// <summary>What the kernel does with a packet that the route matches (rtm_type).</summary>
public enum RouteKind : byte
{
    Unicast = 1,
    Local = 2,
    Broadcast = 3,
    Anycast = 4,
    Multicast = 5,
    Blackhole = 6,
    Unreachable = 7,
    Prohibit = 8,
    Throw = 9,
}

/// <summary>How far the destination is (rtm_scope).</summary>
public enum RouteScope : byte
{
    Universe = 0,
    Site = 200,
    Link = 253,
    Host = 254,
}

/// <summary>One next hop: a gateway, a link, or both. <paramref name="LinkIndex"/> 0 leaves the link to the kernel.</summary>
public readonly record struct NextHop(IpAddr? Gateway, int LinkIndex = 0, bool OnLink = false, byte Weight = 1);

/// <summary>What identifies a route to the kernel; two routes with one key replace each other.</summary>
public readonly record struct RouteKey(Cidr Destination, uint Metric, uint Table = RouteKey.MainTable)
{
    public const uint MainTable = 254;
}

/// <summary>
/// A route as the kernel stores it. <see cref="NextHops"/> is empty for blackhole and its kin, has one entry
/// ordinarily and several for ECMP. IPv6 routes given metric 0 are stored with 1024, as the kernel does.
/// </summary>
public sealed record Route(RouteKey Key, RouteKind Kind, byte Protocol, ImmutableArray<NextHop> NextHops)
{
    public RouteScope Scope { get; init; } = RouteScope.Universe;
    public IpAddr? PreferredSource { get; init; }

    /// <summary>Path MTU of the route in bytes; 0 leaves it to the link.</summary>
    public uint Mtu { get; init; }

    public bool Equals(Route? other) => other is not null && Key == other.Key && Kind == other.Kind
        && Protocol == other.Protocol && Scope == other.Scope && PreferredSource == other.PreferredSource
        && Mtu == other.Mtu && NextHops.AsSpan().SequenceEqual(other.NextHops.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Key, Kind, Protocol, NextHops.Length);
}

/// <summary>Which routes a dump returns; null means any.</summary>
public sealed record RouteFilter(IpVersion? Family = null, uint? Table = RouteKey.MainTable, byte? Protocol = null);

/// <summary>
/// One change: <see cref="Delete"/> false creates or replaces the route of that key. True removes it, if its protocol is
/// the one given (0 means any), and looks at nothing else. The kernel takes metric 0 of an IPv4 removal for "the lowest".
/// </summary>
public readonly record struct RouteChange(Route Route, bool Delete)
{
    /// <summary>
    /// Creates only: where there is a route of that key already, whoever's, it stays and the answer is <see cref="Errno.EEXIST"/>.
    /// </summary>
    public bool Yields { get; init; }
}

/// <summary>
/// The routes of one network namespace. Not thread-safe: one writer owns it. <see cref="Apply"/> pipelines the whole
/// batch in as few system calls as possible and reports every change by itself; a failed one does not stop the rest.
/// </summary>
public interface IRouteTable : IDisposable
{
    /// <exception cref="KernelException">The dump failed; a dump that the kernel interrupted is repeated.</exception>
    IReadOnlyList<Route> Dump(RouteFilter filter);

    /// <summary>
    /// Applies the changes in order. <paramref name="results"/> has one entry a change; removing an absent route is
    /// <see cref="Errno.None"/>. <see cref="Errno.ENOBUFS"/> means that the kernel's answer was lost: dump and compare.
    /// </summary>
    /// <exception cref="KernelException">The changes could not be sent; those before were applied.</exception>
    void Apply(ReadOnlySpan<RouteChange> changes, Span<Errno> results);

    /// <summary>
    /// Which link, gateway and source the kernel would use for a packet to the address, as a host route; null if it would
    /// send none.
    /// </summary>
    Route? Lookup(IpAddr destination);

    /// <summary>Modifying requests that the kernel accepted since this table was opened: what "needless writes" counts.</summary>
    long WriteCount { get; }
}
