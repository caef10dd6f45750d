using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Kernel.Links;

/// <summary>The devices of a <see cref="FakeNetworkNamespace"/>.</summary>
public sealed class FakeLinkTable : ILinkTable
{
    private const int MaxName = 15;
    private const Errno BadDescriptor = (Errno)9;

    private readonly FakeNamespaceState _state;

    internal FakeLinkTable(FakeNamespaceState state) => _state = state;

    public long WriteCount { get; private set; }

    public ImmutableArray<Link> Dump()
    {
        lock (_state.Kernel.Gate)
            return [.. _state.Links.Values.Select(_state.Describe)];
    }

    public Link? Find(string name)
    {
        lock (_state.Kernel.Gate)
            return _state.Find(name) is { } link ? _state.Describe(link) : null;
    }

    public Link? Find(int index)
    {
        lock (_state.Kernel.Gate)
            return _state.Find(index) is { } link ? _state.Describe(link) : null;
    }

    public Link CreateVeth(VethPair pair, bool up)
    {
        const string Operation = "create veth";
        lock (_state.Kernel.Gate)
        {
            _state.Kernel.Admit(Operation, pair.Name);
            var target = _state;
            if (pair.PeerNamespaceFd >= 0)
                target = _state.Kernel.FindOpen(pair.PeerNamespaceFd) ?? throw new KernelException(BadDescriptor, Operation, pair.Name);
            CheckName(Operation, pair.Name);
            CheckName(Operation, pair.PeerName);
            if (pair.Mtu is not 0 and (< 68 or > 65535))
                throw new KernelException(Errno.EINVAL, Operation, pair.Name, "mtu out of range");
            if (_state.Find(pair.Name) is not null || target.Find(pair.PeerName) is not null
                || (target == _state && pair.Name == pair.PeerName))
                throw new KernelException(Errno.EEXIST, Operation, pair.Name);

            // The kernel registers the peer first.
            var peer = target.AddLink(pair.PeerName, "veth");
            var link = _state.AddLink(pair.Name, "veth");
            (link.Peer, link.PeerHome, peer.Peer, peer.PeerHome) = (peer, target, link, _state);
            link.Mtu = peer.Mtu = pair.Mtu == 0 ? 1500 : pair.Mtu;
            link.Queues = peer.Queues = Math.Max(pair.Queues, 1);
            link.Mac = pair.Mac ?? link.Mac;
            peer.Mac = pair.PeerMac ?? peer.Mac;
            target.Announce(peer);
            _state.Announce(link);
            if (up)
                _state.SetUp(link, true);
            WriteCount++;
            return _state.Describe(link);
        }
    }

    public Link CreateBridge(string name)
    {
        lock (_state.Kernel.Gate)
        {
            _state.Kernel.Admit("create bridge", name);
            CheckName("create bridge", name);
            if (_state.Find(name) is not null)
                throw new KernelException(Errno.EEXIST, "create bridge", name);
            var link = _state.AddLink(name, "bridge");
            _state.Announce(link);
            WriteCount++;
            return _state.Describe(link);
        }
    }

    public void Change(LinkChange change)
    {
        lock (_state.Kernel.Gate)
        {
            var link = _state.Find(change.Index);
            var subject = link?.Name ?? $"link {change.Index}";
            _state.Kernel.Admit("change link", subject);
            if (link is null)
                throw new KernelException(Errno.ENODEV, "change link", subject);
            var home = _state;
            if (change.NamespaceFd is { } fd)
                home = Move(link, fd, change.Name ?? link.Name);
            if (change.Name is { } name && name != link.Name)
                Rename(home, link, name);
            if (change.Mtu is { } mtu)
                link.Mtu = mtu is < 68 or > 65535 && !link.IsLoopback
                    ? throw new KernelException(Errno.EINVAL, "change link", subject, "mtu out of range") : mtu;
            link.Mac = change.Mac ?? link.Mac;
            if (change.MasterIndex is { } master)
                Enslave(home, link, master);
            if (change.Ipv4 is { } ipv4)
                Configure(home, link.Name, ipv4);
            if (change.Up is { } up && up != link.Up)
                home.SetUp(link, up);
            else
                home.Announce(link);
            WriteCount++;
        }
    }

    private static void Configure(FakeNamespaceState home, string name, Ipv4Settings settings)
    {
        void Set(string path, int? value)
        {
            if (value is { } number)
                home.Sysctls.Set(path, number.ToString(CultureInfo.InvariantCulture));
        }
        Set($"ipv4/conf/{name}/forwarding", settings.Forwarding is { } f ? f ? 1 : 0 : null);
        Set($"ipv4/conf/{name}/proxy_arp", settings.ProxyArp is { } p ? p ? 1 : 0 : null);
        Set($"ipv4/conf/{name}/route_localnet", settings.RouteLocalnet is { } r ? r ? 1 : 0 : null);
        Set($"ipv4/conf/{name}/rp_filter", settings.RpFilter);
        // The sysctl counts in hundredths of a second.
        Set($"ipv4/neigh/{name}/proxy_delay", (int?)settings.ProxyDelay?.TotalMilliseconds / 10);
    }

    public bool Delete(string name)
    {
        lock (_state.Kernel.Gate)
        {
            _state.Kernel.Admit("delete link", name);
            if (_state.Find(name) is not { } link)
                return false;
            if (link.IsLoopback)
                throw new KernelException(Errno.EOPNOTSUPP, "delete link", name);
            _state.RemoveLink(link);
            WriteCount++;
            return true;
        }
    }

    public int Delete(ReadOnlySpan<int> indexes)
    {
        lock (_state.Kernel.Gate)
        {
            var links = new List<FakeLink>();
            foreach (var index in indexes)
            {
                if (_state.Find(index) is not { } link)
                    continue;
                _state.Kernel.Admit("delete links", link.Name);
                if (link.IsLoopback)
                    throw new KernelException(Errno.EOPNOTSUPP, "delete links", link.Name);
                links.Add(link);
            }
            foreach (var link in links)
            {
                // An end may have gone with the other one.
                if (_state.Find(link.Index) is not null)
                    _state.RemoveLink(link);
            }
            WriteCount += links.Count;
            return links.Count;
        }
    }

    public ImmutableArray<LinkAddress> DumpAddresses(int? linkIndex = null)
    {
        lock (_state.Kernel.Gate)
            return [.. _state.Addresses.Where(a => linkIndex is null || a.LinkIndex == linkIndex)];
    }

    public void AddAddress(LinkAddress address)
    {
        lock (_state.Kernel.Gate)
        {
            var link = _state.Find(address.LinkIndex);
            var subject = $"{address.Address} dev {link?.Name ?? $"link {address.LinkIndex}"}";
            _state.Kernel.Admit("add address", subject);
            if (link is null)
                throw new KernelException(Errno.ENODEV, "add address", subject);
            if (!address.Address.IsV4 && _state.Sysctls.IsIpv6Disabled(link.Name))
                throw new KernelException(Errno.EACCES, "add address", subject, "IPv6 is disabled on this device");
            if (_state.Addresses.Exists(a => a.LinkIndex == address.LinkIndex && IsSame(a.Address, address.Address)))
                return;
            _state.AddAddress(address with { Tentative = false, Scope = ScopeOf(address) });
            WriteCount++;
        }
    }

    public void DeleteAddress(LinkAddress address)
    {
        lock (_state.Kernel.Gate)
        {
            var name = _state.Find(address.LinkIndex)?.Name ?? $"link {address.LinkIndex}";
            _state.Kernel.Admit("delete address", $"{address.Address} dev {name}");
            var index = _state.Addresses.FindIndex(a => a.LinkIndex == address.LinkIndex && a.Address == address.Address);
            if (index < 0)
                return;
            var removed = _state.Addresses[index];
            var isPrimary = _state.Addresses.FindIndex(a => SharesSubnet(a, removed)) == index;
            _state.RemoveAddress(removed);
            // Secondary IPv4 addresses go with the primary one of their subnet.
            if (isPrimary && removed.Address.IsV4 && _state.Sysctls.Get($"ipv4/conf/{name}/promote_secondaries") != "1")
            {
                foreach (var secondary in _state.Addresses.Where(a => SharesSubnet(a, removed)).ToArray())
                    _state.RemoveAddress(secondary);
            }
            WriteCount++;
        }
    }

    public void Dispose()
    {
    }

    private FakeNamespaceState Move(FakeLink link, int fd, string nameThere)
    {
        var target = _state.Kernel.FindOpen(fd) ?? throw new KernelException(BadDescriptor, "change link", link.Name);
        if (link.IsLoopback)
            throw new KernelException(Errno.EINVAL, "change link", link.Name, "The interface netns is immutable");
        if (target == _state)
            return _state;
        if (target.Find(nameThere) is not null)
            throw new KernelException(Errno.EEXIST, "change link", link.Name);
        _state.MoveLink(link, target);
        return target;
    }

    private static void Rename(FakeNamespaceState home, FakeLink link, string name)
    {
        CheckName("change link", name);
        if (home.Find(name) is not null)
            throw new KernelException(Errno.EEXIST, "change link", link.Name);
        home.Sysctls.RenameLink(link.Name, name);
        link.Name = name;
    }

    private static void Enslave(FakeNamespaceState home, FakeLink link, int master)
    {
        if (master == 0)
        {
            var former = link.Master is { } index ? home.Find(index) : null;
            link.Master = null;
            if (former is not null)
                home.CarrierChanged(former);
            return;
        }
        var bridge = home.Find(master) ?? throw new KernelException(Errno.EINVAL, "change link", link.Name);
        if (bridge.Kind != "bridge")
            throw new KernelException(Errno.EOPNOTSUPP, "change link", link.Name);
        link.Master = master;
        bridge.HadPorts = true;
        home.CarrierChanged(bridge);
    }

    private static void CheckName(string operation, string name)
    {
        if (name.Length > MaxName)
            throw new KernelException(Errno.ERANGE, operation, name);
        if (name.Length == 0 || name is "." or ".." || name.Any(c => c is '/' or ':' || char.IsWhiteSpace(c)))
            throw new KernelException(Errno.EINVAL, operation, name);
    }

    private static bool IsSame(Cidr a, Cidr b) => a.Address == b.Address && (!a.IsV4 || a.PrefixLength == b.PrefixLength);

    private static bool SharesSubnet(LinkAddress a, LinkAddress b) =>
        a.LinkIndex == b.LinkIndex && a.Address.PrefixLength == b.Address.PrefixLength && a.Address.Contains(b.Address.Address);

    // IPv6 derives the scope from the address, whatever the request says.
    private static RouteScope ScopeOf(LinkAddress address) => address.Address.IsV4 ? address.Scope
        : address.Address.Address.IsLoopback ? RouteScope.Host
        : address.Address.Address.IsLinkLocal ? RouteScope.Link : RouteScope.Universe;
}
