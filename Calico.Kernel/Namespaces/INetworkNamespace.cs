using Calico.Kernel.Links;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// One network namespace: opens the tables that live in it. A table keeps talking to its namespace from any thread,
/// because a netlink socket belongs to the namespace it was opened in.
/// </summary>
public interface INetworkNamespace : IDisposable
{
    /// <summary>A descriptor of the namespace for requests that name one; valid until this object is disposed.</summary>
    int Fd { get; }

    ILinkTable OpenLinks();
    IRouteTable OpenRoutes();
    INeighbourTable OpenNeighbours();
    IRuleTable OpenRules();

    /// <summary>Reads or writes <c>net.*</c> sysctls of this namespace, by path below <c>/proc/sys/net</c>.</summary>
    ISysctl OpenSysctl();

    /// <summary>Link, address, route and neighbour changes as they happen. An overflow is reported, never hidden.</summary>
    IKernelMonitor OpenMonitor(KernelEventGroups groups, KernelEventFilter without = default);
}

/// <summary>
/// Sysctls such as <c>ipv4/conf/cali12345/proxy_arp</c>. Writing the value that is already there does nothing.
/// </summary>
public interface ISysctl : IDisposable
{
    /// <summary>The value without its line end; null if there is no such entry.</summary>
    string? Read(string path);

    /// <summary>Returns whether the value had to be changed.</summary>
    /// <exception cref="KernelException">The entry does not exist or may not be written.</exception>
    bool Write(string path, string value);
}

[Flags]
public enum KernelEventGroups
{
    Links = 1,
    Addresses = 2,
    RoutesV4 = 4,
    RoutesV6 = 8,
    Neighbours = 16,
}

/// <summary>Events that are of no use to who follows them: the kernel does not queue them, so they cost nothing.</summary>
/// <param name="RouteProtocol">Changes of routes of this protocol; 0 for none.</param>
/// <param name="Writer">Changes that are made through this table.</param>
public readonly record struct KernelEventFilter(byte RouteProtocol = 0, IRouteTable? Writer = null);

/// <summary>Something changed in the namespace; <see cref="Overflow"/> means events were lost and a dump is due.</summary>
public abstract record KernelEvent
{
    public sealed record LinkChanged(Link Link) : KernelEvent;
    public sealed record LinkRemoved(int Index, string Name) : KernelEvent;
    public sealed record AddressChanged(LinkAddress Address, bool Removed) : KernelEvent;
    public sealed record RouteChanged(Route Route, bool Removed) : KernelEvent;
    public sealed record NeighbourChanged(Neighbour Neighbour, bool Removed) : KernelEvent;
    public sealed record Overflow : KernelEvent;
}

/// <summary>A subscription to kernel events.</summary>
public interface IKernelMonitor : IDisposable
{
    /// <summary>Waits for the next events; completes with an empty list only when disposed.</summary>
    ValueTask<IReadOnlyList<KernelEvent>> NextAsync(CancellationToken cancellation);
}
