using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;
using Calico.Kernel.Sysctl;

namespace Calico.Kernel.Namespaces;

/// <summary>A device of the fake; the two ends of a veth pair point at each other across namespaces.</summary>
internal sealed class FakeLink(int index, string name, string kind)
{
    public int Index { get; set; } = index;
    public string Name { get; set; } = name;
    public string Kind { get; } = kind;
    public bool Up { get; set; }
    public uint Mtu { get; set; } = 1500;
    public MacAddress Mac { get; set; }
    public int Queues { get; set; } = 1;
    public int? Master { get; set; }
    public FakeLink? Peer { get; set; }
    public FakeNamespaceState? PeerHome { get; set; }
    public bool WasRunning { get; set; }

    /// <summary>A bridge has carrier until it gets its first port; from then on its ports decide.</summary>
    public bool HadPorts { get; set; }
    public bool IsLoopback => Name == "lo" && Kind.Length == 0;
}

/// <summary>
/// One namespace of the fake: its objects, and what one change does to the others.
/// <code>
///            address added / up            down                     deleted or moved away
/// IPv4       local and connected routes    connected routes go      all go
/// IPv6       the same; fe80:: on carrier   addresses go, too        all go
/// routes     -                             those of the link go,    all go; IPv4 ECMP goes whole,
///                                          ECMP with its last link  IPv6 ECMP loses the next hop
/// neighbours -                             go                       go
/// sysctls    entries appear with the link                           entries vanish
/// </code>
/// Guarded by the gate of <see cref="Kernel"/>.
/// </summary>
internal sealed class FakeNamespaceState
{
    private int _lastIndex;

    public FakeNamespaceState(FakeKernel kernel)
    {
        Kernel = kernel;
        Routes = new FakeRoutes(this);
        Sysctls = new FakeSysctls(this);
        var loopback = AddLink("lo", "");
        loopback.Mtu = 65536;
        loopback.Mac = default;
    }

    public FakeKernel Kernel { get; }
    public SortedDictionary<int, FakeLink> Links { get; } = [];
    public List<LinkAddress> Addresses { get; } = [];
    public FakeRoutes Routes { get; }
    public List<Neighbour> Neighbours { get; } = [];
    public List<RoutingRule> Rules { get; } = FakeRuleTable.BuiltIn();
    public FakeSysctls Sysctls { get; }
    public List<FakeMonitor> Monitors { get; } = [];

    public FakeLink? Find(string name) => Links.Values.FirstOrDefault(l => l.Name == name);
    public FakeLink? Find(int index) => Links.GetValueOrDefault(index);

    /// <summary>Up and with carrier: a veth needs its peer up, a bridge a running port.</summary>
    public bool IsRunning(FakeLink link) => link.Up && link.Kind switch
    {
        "veth" => link.Peer is { Up: true },
        "bridge" => !link.HadPorts || Links.Values.Any(p => p.Master == link.Index && IsRunning(p)),
        _ => true,
    };

    public Link Describe(FakeLink link) => new(link.Index, link.Name, link.Kind)
    {
        Up = link.Up,
        Running = IsRunning(link),
        Mtu = link.Mtu,
        Mac = link.Mac,
        Queues = link.Queues,
        MasterIndex = link.Master,
        PeerIndex = link.Peer?.Index,
    };

    public FakeLink AddLink(string name, string kind)
    {
        var link = new FakeLink(++_lastIndex, name, kind) { Mac = Kernel.NextMac() };
        Links.Add(link.Index, link);
        Sysctls.AddLink(name);
        return link;
    }

    public void SetUp(FakeLink link, bool up)
    {
        if (link.Up == up)
            return;
        link.Up = up;
        if (up)
            BringUp(link);
        else
            TakeDown(link);
        Announce(link);
        CarrierChanged(link);
        if (link.Peer is { } peer)
            link.PeerHome!.CarrierChanged(peer);
        if (link.Master is { } master && Find(master) is { } bridge)
            CarrierChanged(bridge);
    }

    /// <summary>Removes the device and everything that hangs on it, a veth's peer included.</summary>
    public void RemoveLink(FakeLink link)
    {
        Detach(link);
        if (link.Peer is { } peer)
        {
            var home = link.PeerHome!;
            link.Peer = peer.Peer = null;
            home.RemoveLink(peer);
        }
    }

    /// <summary>Moves the device, down and bare, to another namespace; it keeps its index if that is free there.</summary>
    public void MoveLink(FakeLink link, FakeNamespaceState target)
    {
        if (link.Up)
            SetUp(link, false);
        Detach(link);
        if (target.Links.ContainsKey(link.Index))
            link.Index = ++target._lastIndex;
        target._lastIndex = Math.Max(target._lastIndex, link.Index);
        target.Links.Add(link.Index, link);
        target.Sysctls.AddLink(link.Name);
        if (link.Peer is { } peer)
            peer.PeerHome = target;
        target.Announce(link);
    }

    public void AddAddress(LinkAddress address)
    {
        Addresses.Add(address);
        Routes.AddressAdded(address);
        Emit(KernelEventGroups.Addresses, new KernelEvent.AddressChanged(address, Removed: false));
    }

    public void RemoveAddress(LinkAddress address)
    {
        Addresses.Remove(address);
        Routes.AddressRemoved(address);
        Emit(KernelEventGroups.Addresses, new KernelEvent.AddressChanged(address, Removed: true));
    }

    /// <summary>Gives the link its link-local address as soon as it is running, unless IPv6 is off there.</summary>
    public void AutoConfigureV6(FakeLink link)
    {
        if (!IsRunning(link) || Sysctls.IsIpv6Disabled(link.Name))
            return;
        if (!link.IsLoopback)
            Routes.AddMulticast(link);
        if (Sysctls.Get($"ipv6/conf/{link.Name}/addr_gen_mode") == "0")
            AddMissing(link, link.IsLoopback ? new Cidr(IpAddr.FromV6(1), 128) : new Cidr(LinkLocal(link.Mac), 64),
                link.IsLoopback ? RouteScope.Host : RouteScope.Link);
    }

    public void RemoveV6(FakeLink link)
    {
        foreach (var address in Addresses.Where(a => a.LinkIndex == link.Index && !a.Address.IsV4).ToArray())
            RemoveAddress(address);
        Routes.LinkWithoutV6(link.Index);
    }

    public void Announce(FakeLink link) => Emit(KernelEventGroups.Links, new KernelEvent.LinkChanged(Describe(link)));

    public void Emit(KernelEventGroups group, KernelEvent happened, IRouteTable? by = null)
    {
        foreach (var monitor in Monitors)
            monitor.Post(group, happened, by);
    }

    private void BringUp(FakeLink link)
    {
        if (link.IsLoopback)
            AddMissing(link, Cidr.Parse("127.0.0.1/8"), RouteScope.Host);
        foreach (var address in Addresses.Where(a => a.LinkIndex == link.Index))
            Routes.AddressUp(address);
    }

    private void TakeDown(FakeLink link)
    {
        if (Sysctls.Get($"ipv6/conf/{link.Name}/keep_addr_on_down") is not "1")
            RemoveV6(link);
        Routes.LinkDown(link.Index);
        Neighbours.RemoveAll(n => n.LinkIndex == link.Index && !n.Forwarding);
    }

    private void Detach(FakeLink link)
    {
        link.Up = false;
        foreach (var port in Links.Values.Where(l => l.Master == link.Index))
            port.Master = null;
        link.Master = null;
        link.WasRunning = false;
        foreach (var address in Addresses.Where(a => a.LinkIndex == link.Index).ToArray())
            RemoveAddress(address);
        Links.Remove(link.Index);
        Routes.LinkRemoved(link.Index);
        Neighbours.RemoveAll(n => n.LinkIndex == link.Index);
        Sysctls.RemoveLink(link.Name);
        Emit(KernelEventGroups.Links, new KernelEvent.LinkRemoved(link.Index, link.Name));
    }

    public void CarrierChanged(FakeLink link)
    {
        var running = IsRunning(link);
        if (running == link.WasRunning)
            return;
        link.WasRunning = running;
        AutoConfigureV6(link);
        Announce(link);
        if (link.Master is { } master && Find(master) is { } bridge)
            CarrierChanged(bridge);
    }

    private void AddMissing(FakeLink link, Cidr address, RouteScope scope)
    {
        if (!Addresses.Exists(a => a.LinkIndex == link.Index && a.Address == address))
            AddAddress(new LinkAddress(link.Index, address) { Scope = scope });
    }

    // RFC 4291 appendix A: the modified EUI-64 of the MAC address.
    private static IpAddr LinkLocal(MacAddress mac)
    {
        var high = (mac.Bits >> 24) ^ 0x02_0000;
        var eui = (high << 40) | 0xFF_FE00_0000 | (mac.Bits & 0xFF_FFFF);
        return IpAddr.FromV6(((UInt128)0xFE80_0000_0000_0000 << 64) | eui);
    }
}
