using System.Collections.Immutable;
using System.Security.Cryptography;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;

namespace Calico.Actors.Dataplane;

/// <summary>The two ends of a pod's link to make.</summary>
/// <param name="HostInterface">Name of the host end, <c>cali…</c>.</param>
/// <param name="PodInterface">Name inside the pod, as CNI_IFNAME says.</param>
public sealed record WiringRequest(string HostInterface, string PodInterface)
{
    /// <summary>MTU of both ends in bytes.</summary>
    public uint Mtu { get; init; } = 1500;
    public int Queues { get; init; } = 1;

    /// <summary>The pod is to get IPv6 addresses.</summary>
    public bool Ipv6 { get; init; }

    /// <summary>The pod's MAC where an annotation gives one, else random.</summary>
    public MacAddress? PodMac { get; init; }

    /// <summary>The pod has other interfaces of ours, whose routes are to stay.</summary>
    public bool IsFurther { get; init; }

    /// <summary>Whether the pod itself may forward packets (container_settings.allow_ip_forwarding).</summary>
    public bool AllowForwarding { get; init; }
}

/// <summary>A pair without addresses. <paramref name="Pod"/> is the caller's to dispose.</summary>
public sealed record WiredPod(int HostIndex, MacAddress PodMac, PodSide Pod);

/// <summary>The inside of a pod, open for the addresses that it gets when they are known.</summary>
public sealed class PodSide(INetworkNamespace pod) : IDisposable
{
    public ILinkTable Links { get; } = pod.OpenLinks();
    public IRouteTable Routes { get; } = pod.OpenRoutes();
    public int LinkIndex { get; set; }

    /// <summary>The pod has other interfaces of ours, whose routes are to stay.</summary>
    public bool IsFurther { get; init; }

    public IRuleTable OpenRules() => pod.OpenRules();

    public void Dispose()
    {
        Links.Dispose();
        Routes.Dispose();
    }
}

/// <summary>
/// Calico's wiring of one pod: a veth pair, /32 and /128 addresses inside, and 169.254.1.1 (which nobody owns and the
/// host answers for by proxy ARP) as the pod's gateway; IPv6 uses the link-local address of the host end.
/// <code>
///   pod  eth0 10.65.1.7/32 ── default via 169.254.1.1 ──┐
///                                                       cali1a2b3c4d5e6 ee:ee:ee:ee:ee:ee, no address, proxy_arp
///   host 10.65.1.7/32 dev cali1a2b3c4d5e6 scope link ───┘
/// </code>
/// Three steps: <see cref="Create"/> needs no addresses, so that the pair is made while they are being allocated;
/// <see cref="Address"/> gives them to the pod; the host end is down until <see cref="Activate"/>, which is called when
/// the pod's policy is in the kernel.
/// </summary>
public sealed class WorkloadWiring(ILinkTable links, ISysctl sysctl)
{
    /// <summary>The gateway of every pod.</summary>
    public static readonly IpAddr GatewayV4 = IpAddr.FromV4(0xA9FE0101);

    /// <summary>The link-local address that follows from ee:ee:ee:ee:ee:ee (RFC 4291 appendix A).</summary>
    public static readonly IpAddr GatewayV6 = IpAddr.Parse("fe80::ecee:eeff:feee:eeee");

    /// <summary>Makes the pair, without addresses.</summary>
    /// <exception cref="KernelException">The kernel refused; nothing is left behind.</exception>
    public WiredPod Create(WiringRequest request, INetworkNamespace pod)
    {
        var mac = request.PodMac ?? RandomMac();
        var host = CreatePair(new VethPair(request.HostInterface, request.PodInterface, pod.Fd)
        {
            Mtu = request.Mtu,
            Mac = MacAddress.WorkloadHostSide,
            PeerMac = mac,
            Queues = request.Queues,
        });
        var side = new PodSide(pod) { IsFurther = request.IsFurther };
        try
        {
            Prepare(request, pod, side, host.PeerIndex);
            return new WiredPod(host.Index, mac, side);
        }
        catch
        {
            side.Dispose();
            links.Delete(request.HostInterface);
            throw;
        }
    }

    // What is left of an earlier container of that name gives way.
    private Link CreatePair(VethPair pair)
    {
        try
        {
            return links.CreateVeth(pair, up: false);
        }
        catch (KernelException e) when (e.AlreadyExists && links.Delete(pair.Name))
        {
            return CreateUnlessThePodHasOne(pair);
        }
        catch (KernelException e) when (e.AlreadyExists)
        {
            throw ThePodHasOne(pair);
        }
    }

    private Link CreateUnlessThePodHasOne(VethPair pair)
    {
        try
        {
            return links.CreateVeth(pair, up: false);
        }
        catch (KernelException e) when (e.AlreadyExists)
        {
            throw ThePodHasOne(pair);
        }
    }

    // The kernel does not say which end's name is taken; ours is not.
    private static KernelException ThePodHasOne(VethPair pair) => new(Errno.EEXIST, "create veth", pair.Name,
        $"the pod's namespace already has an interface {pair.PeerName}");

    /// <summary>
    /// Gives the pod its addresses and the routes that they need. Those of a further interface are in a table of its own, which
    /// packets from its addresses are sent by: the pod goes on using its first interface for whatever it begins itself, and
    /// answers by the interface that was asked.
    /// </summary>
    /// <param name="pod">Inside the pod.</param>
    /// <param name="addresses">At most one of each family.</param>
    /// <param name="destinations">Where its routes lead, all by the one gateway; empty for everywhere.</param>
    /// <exception cref="KernelException">The kernel refused.</exception>
    public static void Address(PodSide pod, ImmutableArray<IpAddr> addresses, ImmutableArray<Cidr> destinations)
    {
        foreach (var address in addresses)
            pod.Links.AddAddress(new LinkAddress(pod.LinkIndex, Cidr.Host(address)));
        var table = pod.IsFurther && LeadsElsewhere(pod) ? FirstFurtherTable + (uint)pod.LinkIndex : RouteKey.MainTable;
        var routes = RoutesOf(pod.LinkIndex, addresses, destinations, table).Select(r => new RouteChange(r, Delete: false)).ToArray();
        var results = new Errno[routes.Length];
        pod.Routes.Apply(routes, results);
        for (var i = 0; i < results.Length; i++)
        {
            if (results[i] is not Errno.None)
                throw new KernelException(results[i], "add route", routes[i].Route.Key.Destination.ToString(), "in the pod's namespace");
        }
        if (table == RouteKey.MainTable)
            return;
        using var rules = pod.OpenRules();
        foreach (var address in addresses)
            rules.Add(new RoutingRule(address.Version, FurtherRule, table) { Source = Cidr.Host(address) });
    }

    // The other interface may be gone, and its routes with it.
    private static bool LeadsElsewhere(PodSide pod) => pod.Routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.BootProtocol))
        .Any(r => r.NextHops.Any(h => h.Gateway is { } gateway && (gateway == GatewayV4 || gateway == GatewayV6) && h.LinkIndex != pod.LinkIndex));

    /// <summary>
    /// Opens the link: sysctls of the host end, then up. A pod that may use other source addresses than its own is not
    /// looked back for.
    /// </summary>
    public void Activate(string hostInterface, int index, bool ipv6, bool allowSpoofing = false)
    {
        if (ipv6)
        {
            var v6 = $"ipv6/conf/{hostInterface}";
            sysctl.Write($"{v6}/disable_ipv6", "0");
            sysctl.Write($"{v6}/accept_ra", "0");
            sysctl.Write($"{v6}/accept_dad", "0");
            sysctl.Write($"{v6}/proxy_ndp", "1");
            sysctl.Write($"{v6}/forwarding", "1");
        }
        else if (sysctl.Read($"ipv6/conf/{hostInterface}/accept_ra") is not (null or "0"))
        {
            // What a pod without IPv6 advertises is nothing to the node either.
            sysctl.Write($"ipv6/conf/{hostInterface}/accept_ra", "0");
        }
        links.Change(new LinkChange(index)
        {
            Up = true,
            Ipv4 = new Ipv4Settings
            {
                RouteLocalnet = true,
                ProxyDelay = TimeSpan.Zero,
                ProxyArp = true,
                Forwarding = true,
                RpFilter = allowSpoofing ? 0 : null,
            },
        });
    }

    private static void Prepare(WiringRequest request, INetworkNamespace pod, PodSide side, int? index)
    {
        using var sysctl = pod.OpenSysctl();
        side.LinkIndex = index ?? side.Links.Find(request.PodInterface)?.Index
            ?? throw new KernelException(Errno.ENODEV, "find", request.PodInterface, "in the pod's namespace");
        var forwarding = request.AllowForwarding ? "1" : "0";
        sysctl.Write("ipv4/ip_forward", forwarding);
        if (request.Ipv6)
        {
            foreach (var conf in new[] { "all", "default", "lo", request.PodInterface })
                sysctl.Write($"ipv6/conf/{conf}/disable_ipv6", "0");
            sysctl.Write($"ipv6/conf/{request.PodInterface}/accept_dad", "0");
            sysctl.Write("ipv6/conf/all/forwarding", forwarding);
        }
        side.Links.Change(new LinkChange(side.LinkIndex) { Up = true });
    }

    /// <summary>Tables of a pod's further interfaces: this and the interface's index.</summary>
    private const uint FirstFurtherTable = 1000;

    /// <summary>Before the kernel's rule for the main table.</summary>
    private const uint FurtherRule = 1000;

    /// <summary>Every network of a family, for pods without routes of their own.</summary>
    private static readonly ImmutableArray<Cidr> Everywhere = [new(IpAddr.AnyV4, 0), new(IpAddr.AnyV6, 0)];

    /// <summary>The routes of a pod.</summary>
    public static IEnumerable<Route> RoutesOf(int link, ImmutableArray<IpAddr> addresses, ImmutableArray<Cidr> destinations,
        uint table = RouteKey.MainTable)
    {
        if (destinations.IsDefaultOrEmpty)
            destinations = Everywhere;
        if (addresses.Any(a => a.IsV4))
        {
            yield return new Route(new RouteKey(Cidr.Host(GatewayV4), 0, table), RouteKind.Unicast, RouteWriterOptions.BootProtocol,
                [new NextHop(null, link)])
            { Scope = RouteScope.Link };
            foreach (var destination in destinations.Where(d => d.IsV4))
                yield return new Route(new RouteKey(destination, 0, table), RouteKind.Unicast, RouteWriterOptions.BootProtocol, [new NextHop(GatewayV4, link)]);
        }
        if (addresses.Any(a => a.IsV6))
        {
            foreach (var destination in destinations.Where(d => !d.IsV4))
                yield return new Route(new RouteKey(destination, 1024, table), RouteKind.Unicast, RouteWriterOptions.BootProtocol, [new NextHop(GatewayV6, link)]);
        }
    }

    // Locally administered, unicast.
    private static MacAddress RandomMac()
    {
        Span<byte> bytes = stackalloc byte[6];
        RandomNumberGenerator.Fill(bytes);
        bytes[0] = (byte)((bytes[0] & 0xFC) | 0x02);
        return MacAddress.FromBytes(bytes);
    }
}
