using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Tests.Kernel.Links;

/// <summary>What devices do, in the kernel and in the fake.</summary>
public abstract class LinkTableContract(ITestWorld world) : IDisposable
{
    private readonly INetworkNamespace _host = world.Create();
    private ILinkTable? _links;

    protected ILinkTable Links => _links ??= _host.OpenLinks();

    public void Dispose()
    {
        _links?.Dispose();
        world.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void A_new_namespace_has_a_loopback_device_that_is_down()
    {
        var loopback = Links.Find("lo");

        Assert.NotNull(loopback);
        Assert.False(loopback.Up);
        Assert.Equal(loopback, Links.Dump().Single(l => l.Name == "lo"));
        Assert.Empty(Links.DumpAddresses());
    }

    [Fact]
    public void Ipv4_settings_come_with_the_change_and_what_is_not_named_stays()
    {
        using var sysctl = _host.OpenSysctl();
        var link = Links.CreateVeth(new VethPair("left", "right", -1), up: false);
        sysctl.Write("ipv4/conf/left/rp_filter", "2");

        Links.Change(new LinkChange(link.Index)
        {
            Up = true,
            Ipv4 = new Ipv4Settings { Forwarding = true, ProxyArp = true, RouteLocalnet = true, ProxyDelay = TimeSpan.Zero },
        });

        Assert.True(Links.Find("left")!.Up);
        Assert.Equal(["1", "1", "1", "2", "0"], ((string[])["conf/left/forwarding", "conf/left/proxy_arp", "conf/left/route_localnet",
            "conf/left/rp_filter", "neigh/left/proxy_delay"]).Select(p => sysctl.Read($"ipv4/{p}")));

        Links.Change(new LinkChange(link.Index) { Ipv4 = new Ipv4Settings { ProxyArp = false, RpFilter = 0, ProxyDelay = TimeSpan.FromMilliseconds(800) } });

        Assert.Equal(["1", "0", "0", "80"], ((string[])["conf/left/forwarding", "conf/left/proxy_arp", "conf/left/rp_filter",
            "neigh/left/proxy_delay"]).Select(p => sysctl.Read($"ipv4/{p}")));
        Assert.Equal(Errno.ENODEV, KernelErrno(() => Links.Change(new LinkChange(9999) { Ipv4 = new Ipv4Settings { ProxyArp = true } })));
    }

    private static Errno KernelErrno(Action action) => Assert.Throws<KernelException>(action).Errno;

    [Fact]
    public void A_veth_pair_is_born_with_everything_in_both_namespaces_by_one_request()
    {
        var pod = world.Create();
        using var podLinks = pod.OpenLinks();
        var podMac = MacAddress.Parse("02:11:22:33:44:55");

        var link = Links.CreateVeth(new VethPair("cali0123456789a", "eth0", pod.Fd)
        {
            Mtu = 1440,
            Mac = MacAddress.WorkloadHostSide,
            PeerMac = podMac,
            Queues = 2,
        }, up: true);
        var peer = podLinks.Find("eth0")!;

        Assert.Equal(1, Links.WriteCount);
        Assert.Equal(("cali0123456789a", "veth", 1440u, MacAddress.WorkloadHostSide, 2, true),
            (link.Name, link.Kind, link.Mtu, link.Mac, link.Queues, link.Up));
        Assert.Equal(("eth0", "veth", 1440u, podMac, 2, false), (peer.Name, peer.Kind, peer.Mtu, peer.Mac, peer.Queues, peer.Up));
        Assert.Equal(peer.Index, link.PeerIndex);
        Assert.Equal(link.Index, peer.PeerIndex);
        Assert.Null(Links.Find("eth0"));
    }

    [Fact]
    public void A_veth_end_runs_when_both_ends_are_up()
    {
        var (left, right) = Pair();

        Links.Change(new LinkChange(left.Index) { Up = true });
        var alone = Links.Find(left.Index)!;
        Links.Change(new LinkChange(right.Index) { Up = true });
        var both = Links.Find(left.Index)!;

        Assert.Equal((true, false), (alone.Up, alone.Running));
        Assert.Equal((true, true), (both.Up, both.Running));
    }

    [Fact]
    public void A_taken_name_is_refused_and_nothing_is_made()
    {
        Pair();

        var refused = Assert.Throws<KernelException>(() => Links.CreateVeth(new VethPair("left", "other", -1), up: false));

        Assert.True(refused.AlreadyExists);
        Assert.Contains("left", refused.Message);
        Assert.Null(Links.Find("other"));
    }

    [Fact]
    public void A_taken_name_of_the_peer_is_refused_and_nothing_is_made()
    {
        Pair();

        var refused = Assert.Throws<KernelException>(() => Links.CreateVeth(new VethPair("other", "right", -1), up: false));

        Assert.True(refused.AlreadyExists);
        Assert.Null(Links.Find("other"));
    }

    [Theory]
    [InlineData("a-name-of-16-byte", Errno.ERANGE)]
    [InlineData("a/b", Errno.EINVAL)]
    [InlineData("..", Errno.EINVAL)]
    [InlineData("a b", Errno.EINVAL)]
    public void A_bad_name_is_refused(string name, Errno errno)
    {
        var refused = Assert.Throws<KernelException>(() => Links.CreateBridge(name));

        Assert.Equal(errno, refused.Errno);
    }

    [Fact]
    public void A_bad_mtu_is_refused()
    {
        var (left, _) = Pair();

        var refused = Assert.Throws<KernelException>(() => Links.Change(new LinkChange(left.Index) { Mtu = 20 }));

        Assert.Equal(Errno.EINVAL, refused.Errno);
        Assert.Equal("left", refused.Subject);
    }

    [Fact]
    public void Deleting_one_end_of_a_pair_takes_the_other_along()
    {
        var pod = world.Create();
        using var podLinks = pod.OpenLinks();
        Links.CreateVeth(new VethPair("left", "right", pod.Fd), up: true);

        var deleted = Links.Delete("left");
        var again = Links.Delete("left");

        Assert.True(deleted);
        Assert.False(again);
        Assert.Null(podLinks.Find("right"));
        Assert.Equal(2, Links.WriteCount);
    }

    [Fact]
    public void Many_devices_go_together_with_their_other_ends_and_absent_ones_are_skipped()
    {
        var pod = world.Create();
        using var podLinks = pod.OpenLinks();
        var made = Enumerable.Range(0, 300).Select(i => Links.CreateVeth(new VethPair($"left{i}", $"right{i}", pod.Fd), up: true).Index).ToArray();
        var kept = Links.CreateVeth(new VethPair("kept", "other", pod.Fd), up: true);
        Links.Delete(made.AsSpan(7, 1));

        var removed = Links.Delete(made);
        var again = Links.Delete(made);

        Assert.Equal((299, 0), (removed, again));
        Assert.Equal(["kept", "lo"], Links.Dump().Select(l => l.Name).Order());
        Assert.Equal(["lo", "other"], podLinks.Dump().Select(l => l.Name).Order());
        Assert.Equal(301 + 1 + 299, Links.WriteCount);
        Assert.Equal(1, Links.Delete([kept.Index]));
        Assert.Equal(0, Links.Delete([]));
    }

    [Fact]
    public void A_device_that_cannot_go_is_named_when_many_are_to_go()
    {
        var one = Links.CreateBridge("one");

        var refused = Assert.Throws<KernelException>(() => Links.Delete([one.Index, Links.Find("lo")!.Index]));

        Assert.Equal(Errno.EOPNOTSUPP, refused.Errno);
    }

    [Fact]
    public void A_change_sets_what_it_names_and_leaves_the_rest()
    {
        var (left, _) = Pair();
        var mac = MacAddress.Parse("02:00:00:00:00:77");

        Links.Change(new LinkChange(left.Index) { Mtu = 1300, Mac = mac, Name = "renamed" });

        var changed = Links.Find("renamed")!;
        Assert.Equal((left.Index, 1300u, mac, false), (changed.Index, changed.Mtu, changed.Mac, changed.Up));
        Assert.Null(Links.Find("left"));
    }

    [Fact]
    public void A_device_that_is_not_there_cannot_be_changed()
    {
        var refused = Assert.Throws<KernelException>(() => Links.Change(new LinkChange(4711) { Up = true }));

        Assert.True(refused.IsNotFound);
        Assert.Equal(0, Links.WriteCount);
    }

    [Fact]
    public void A_device_that_is_not_there_is_not_found()
    {
        Assert.Null(Links.Find("nothing"));
        Assert.Null(Links.Find(4711));
    }

    [Fact]
    public void The_loopback_device_stays()
    {
        Assert.Equal(Errno.EOPNOTSUPP, Assert.Throws<KernelException>(() => Links.Delete("lo")).Errno);
    }

    [Fact]
    public void A_bridge_takes_ports_and_lets_them_go()
    {
        var bridge = Links.CreateBridge("br0");
        var (left, right) = Pair(up: true);

        Links.Change(new LinkChange(left.Index) { MasterIndex = bridge.Index });
        var port = Links.Find("left")!;
        Links.Change(new LinkChange(left.Index) { MasterIndex = 0 });
        var free = Links.Find("left")!;

        Assert.Equal("bridge", bridge.Kind);
        Assert.Equal(bridge.Index, port.MasterIndex);
        Assert.Null(free.MasterIndex);
        Assert.Null(right.MasterIndex);
    }

    [Fact]
    public void A_bridge_runs_while_one_of_its_ports_does_and_before_it_has_any()
    {
        var bridge = Links.CreateBridge("br0");
        Links.Change(new LinkChange(bridge.Index) { Up = true });
        var (left, right) = Pair(up: true);
        Assert.True(Links.Find("br0")!.Running);

        Links.Change(new LinkChange(left.Index) { MasterIndex = bridge.Index });
        Assert.True(Eventually(() => Links.Find("br0")!.Running));
        Links.Change(new LinkChange(right.Index) { Up = false });
        Assert.True(Eventually(() => !Links.Find("br0")!.Running));
        Links.Change(new LinkChange(left.Index) { MasterIndex = 0 });
        Assert.False(Links.Find("br0")!.Running);
    }

    [Fact]
    public void A_bridge_frees_its_ports_when_it_goes()
    {
        var bridge = Links.CreateBridge("br0");
        var (left, _) = Pair();
        Links.Change(new LinkChange(left.Index) { MasterIndex = bridge.Index });

        Links.Delete("br0");

        Assert.Null(Links.Find("left")!.MasterIndex);
    }

    [Fact]
    public void Only_a_bridge_can_be_a_master()
    {
        var (left, right) = Pair();

        var notABridge = Assert.Throws<KernelException>(() => Links.Change(new LinkChange(left.Index) { MasterIndex = right.Index }));
        var nothing = Assert.Throws<KernelException>(() => Links.Change(new LinkChange(left.Index) { MasterIndex = 4711 }));

        Assert.Equal(Errno.EOPNOTSUPP, notABridge.Errno);
        Assert.Equal(Errno.EINVAL, nothing.Errno);
    }

    [Fact]
    public void A_device_moved_to_another_namespace_arrives_down_and_bare()
    {
        var pod = world.Create();
        using var podLinks = pod.OpenLinks();
        var (left, _) = Pair(up: true);
        Links.AddAddress(new LinkAddress(left.Index, Cidr.Parse("10.0.0.1/24")));

        Links.Change(new LinkChange(left.Index) { NamespaceFd = pod.Fd, Name = "eth0" });

        var moved = podLinks.Find("eth0")!;
        Assert.False(moved.Up);
        Assert.Empty(podLinks.DumpAddresses(moved.Index));
        Assert.Null(Links.Find("left"));
        Assert.DoesNotContain(Links.DumpAddresses(), a => a.Address.IsV4);
    }

    [Fact]
    public void A_descriptor_that_is_no_namespace_is_refused()
    {
        Assert.Throws<KernelException>(() => Links.CreateVeth(new VethPair("left", "right", 900), up: false));
        Assert.Null(Links.Find("left"));
    }

    [Theory]
    [InlineData("10.0.0.1/24")]
    [InlineData("10.0.0.1/32")]
    [InlineData("fd00::1/64")]
    [InlineData("fd00::1/128")]
    public void An_address_is_there_at_once_and_added_only_once(string text)
    {
        var (left, _) = Pair(up: true);
        var address = new LinkAddress(left.Index, Cidr.Parse(text));
        var before = Links.WriteCount;

        Links.AddAddress(address);
        Links.AddAddress(address);

        Assert.Contains(address, Links.DumpAddresses(left.Index));
        Assert.Equal(1, Links.WriteCount - before);
    }

    [Theory]
    [InlineData("10.0.0.1/24")]
    [InlineData("fd00::1/64")]
    public void Deleting_an_address_that_is_not_there_is_success(string text)
    {
        var (left, _) = Pair();
        var address = new LinkAddress(left.Index, Cidr.Parse(text));
        Links.AddAddress(address);

        Links.DeleteAddress(address);
        var writes = Links.WriteCount;
        Links.DeleteAddress(address);
        Links.DeleteAddress(address with { LinkIndex = 4711 });

        Assert.DoesNotContain(address, Links.DumpAddresses());
        Assert.Equal(writes, Links.WriteCount);
    }

    [Fact]
    public void An_address_needs_its_device()
    {
        var refused = Assert.Throws<KernelException>(() => Links.AddAddress(new LinkAddress(4711, Cidr.Parse("10.0.0.1/24"))));

        Assert.Equal(Errno.ENODEV, refused.Errno);
        Assert.Empty(Links.DumpAddresses(4711));
    }

    [Fact]
    public void An_IPv6_address_is_refused_where_IPv6_is_off()
    {
        var (left, _) = Pair();
        using var sysctl = _host.OpenSysctl();
        sysctl.Write("ipv6/conf/left/disable_ipv6", "1");

        var refused = Assert.Throws<KernelException>(() => Links.AddAddress(new LinkAddress(left.Index, Cidr.Parse("fd00::1/64"))));

        Assert.Equal(Errno.EACCES, refused.Errno);
    }

    [Fact]
    public void Going_down_costs_the_IPv6_addresses_and_not_the_IPv4_ones()
    {
        var (left, _) = Pair(up: true);
        Links.AddAddress(new LinkAddress(left.Index, Cidr.Parse("10.0.0.1/24")));
        Links.AddAddress(new LinkAddress(left.Index, Cidr.Parse("fd00::1/64")));

        Links.Change(new LinkChange(left.Index) { Up = false });

        Assert.Equal("10.0.0.1/24", Assert.Single(Links.DumpAddresses(left.Index)).Address.ToString());
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1", 1)]
    public void A_primary_address_takes_its_secondaries_along_unless_they_are_promoted(string promote, int left)
    {
        var (link, _) = Pair();
        using var sysctl = _host.OpenSysctl();
        // The value of "all" and that of the link are or-ed.
        sysctl.Write("ipv4/conf/all/promote_secondaries", "0");
        sysctl.Write("ipv4/conf/left/promote_secondaries", promote);
        Links.AddAddress(new LinkAddress(link.Index, Cidr.Parse("10.0.0.1/24")));
        Links.AddAddress(new LinkAddress(link.Index, Cidr.Parse("10.0.0.2/24")));

        Links.DeleteAddress(new LinkAddress(link.Index, Cidr.Parse("10.0.0.1/24")));

        Assert.Equal(left, Links.DumpAddresses(link.Index).Length);
    }

    [Fact]
    public void The_loopback_device_gets_its_addresses_when_it_comes_up()
    {
        Links.Change(new LinkChange(Links.Find("lo")!.Index) { Up = true });

        Assert.Equal(["127.0.0.1/8", "::1/128"], Links.DumpAddresses().Select(a => a.Address.ToString()));
        Assert.All(Links.DumpAddresses(), a => Assert.Equal(RouteScope.Host, a.Scope));
        Assert.True(Links.Find("lo")!.Running);
    }

    [Fact]
    public void A_running_device_has_a_link_local_address_made_from_its_MAC()
    {
        Links.CreateVeth(new VethPair("left", "right", -1) { Mac = MacAddress.WorkloadHostSide }, up: true);
        Links.Change(new LinkChange(Links.Find("right")!.Index) { Up = true });

        var address = Links.DumpAddresses(Links.Find("left")!.Index).Single();

        Assert.Equal("fe80::ecee:eeff:feee:eeee/64", address.Address.ToString());
        Assert.Equal(RouteScope.Link, address.Scope);
    }

    [Fact]
    public void Devices_go_with_their_namespace_and_take_their_peers_along()
    {
        var pod = world.Create();
        Links.CreateVeth(new VethPair("left", "right", pod.Fd), up: true);

        world.Delete(pod);

        Assert.True(Eventually(() => Links.Find("left") is null));
    }

    // The kernel dissolves namespaces and settles carrier in the background.
    private static bool Eventually(Func<bool> condition) => SpinWait.SpinUntil(condition, TimeSpan.FromSeconds(30));

    private (Link Left, Link Right) Pair(bool up = false)
    {
        var left = Links.CreateVeth(new VethPair("left", "right", -1), up);
        var right = Links.Find("right")!;
        if (up)
            Links.Change(new LinkChange(right.Index) { Up = true });
        return (left, right);
    }
}

[Layer("kernel")]
public sealed class LinkTableTests() : LinkTableContract(new TestNamespaces());

[Layer("unit")]
public sealed class FakeLinkTableTests() : LinkTableContract(new FakeNamespaces());
