using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Tests.Kernel.Sysctl;

/// <summary>What sysctls do, in the kernel and in the fake.</summary>
public abstract class SysctlContract : IDisposable
{
    private readonly ITestWorld _world;
    private readonly INetworkNamespace _host;
    private readonly ILinkTable _links;
    private readonly ISysctl _sysctl;

    protected SysctlContract(ITestWorld world)
    {
        _world = world;
        _host = world.Create();
        _links = _host.OpenLinks();
        _sysctl = _host.OpenSysctl();
    }

    public void Dispose()
    {
        _sysctl.Dispose();
        _links.Dispose();
        _world.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void Writing_what_is_there_changes_nothing()
    {
        _sysctl.Write("ipv4/conf/lo/proxy_arp", "0");

        var first = _sysctl.Write("ipv4/conf/lo/proxy_arp", "1");
        var second = _sysctl.Write("ipv4/conf/lo/proxy_arp", "1");

        Assert.True(first);
        Assert.False(second);
        Assert.Equal("1", _sysctl.Read("ipv4/conf/lo/proxy_arp"));
    }

    [Fact]
    public void Vectors_are_the_same_whatever_separates_them()
    {
        _sysctl.Write("ipv4/ip_local_port_range", "20000 30000");

        Assert.Equal("20000\t30000", _sysctl.Read("ipv4/ip_local_port_range"));
        Assert.False(_sysctl.Write("ipv4/ip_local_port_range", "20000 30000"));
    }

    [Fact]
    public void What_is_not_there_reads_as_nothing_and_cannot_be_written()
    {
        Assert.Null(_sysctl.Read("ipv4/conf/nothing/forwarding"));
        Assert.True(Assert.Throws<KernelException>(() => _sysctl.Write("ipv4/conf/nothing/forwarding", "1")).IsNotFound);
    }

    [Fact]
    public void A_value_that_is_no_number_is_refused() =>
        Assert.Equal(Errno.EINVAL, Assert.Throws<KernelException>(() => _sysctl.Write("ipv4/conf/lo/proxy_arp", "yes")).Errno);

    [Theory]
    [InlineData("../kernel/hostname")]
    [InlineData("/etc/passwd")]
    [InlineData("ipv4//ip_forward")]
    [InlineData("")]
    public void A_path_cannot_leave_the_tree(string path) => Assert.Throws<ArgumentException>(() => _sysctl.Read(path));

    [Fact]
    public void The_entries_of_a_link_come_and_go_with_it()
    {
        Assert.Null(_sysctl.Read("ipv4/conf/left/rp_filter"));

        _links.CreateVeth(new VethPair("left", "right", -1), up: false);
        Assert.NotNull(_sysctl.Read("ipv4/conf/left/rp_filter"));
        Assert.NotNull(_sysctl.Read("ipv4/neigh/left/proxy_delay"));
        Assert.NotNull(_sysctl.Read("ipv6/conf/left/accept_ra"));

        _links.Delete("left");
        Assert.Null(_sysctl.Read("ipv4/conf/left/rp_filter"));
        Assert.Null(_sysctl.Read("ipv6/conf/right/accept_ra"));
    }

    [Fact]
    public void The_entries_of_a_link_follow_its_name()
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: false);
        _sysctl.Write("ipv4/conf/left/proxy_arp", "1");

        _links.Change(new LinkChange(left.Index) { Name = "renamed" });

        Assert.Equal("1", _sysctl.Read("ipv4/conf/renamed/proxy_arp"));
        Assert.Null(_sysctl.Read("ipv4/conf/left/proxy_arp"));
    }

    [Fact]
    public void A_new_link_begins_with_the_defaults()
    {
        _sysctl.Write("ipv4/conf/default/proxy_arp", "1");
        _sysctl.Write("ipv6/conf/default/accept_ra", "0");

        _links.CreateBridge("br0");

        Assert.Equal("1", _sysctl.Read("ipv4/conf/br0/proxy_arp"));
        Assert.Equal("0", _sysctl.Read("ipv6/conf/br0/accept_ra"));
    }

    [Theory]
    [InlineData("ipv4/ip_forward", "ipv4/conf")]
    [InlineData("ipv4/conf/all/forwarding", "ipv4/conf")]
    [InlineData("ipv6/conf/all/forwarding", "ipv6/conf")]
    public void Forwarding_is_switched_for_every_link_at_once(string path, string prefix)
    {
        _links.CreateBridge("br0");

        _sysctl.Write(path, "1");

        Assert.Equal("1", _sysctl.Read($"{prefix}/br0/forwarding"));
        Assert.Equal("1", _sysctl.Read($"{prefix}/default/forwarding"));
        Assert.Equal("1", _sysctl.Read($"{prefix}/all/forwarding"));
        if (prefix.StartsWith("ipv4", StringComparison.Ordinal))
            Assert.Equal("1", _sysctl.Read("ipv4/ip_forward"));
    }

    [Fact]
    public void Switching_IPv6_off_takes_its_addresses_away()
    {
        var left = _links.CreateVeth(new VethPair("left", "right", -1), up: true);
        _links.AddAddress(new LinkAddress(left.Index, Cidr.Parse("fd00::1/64")));
        _links.AddAddress(new LinkAddress(left.Index, Cidr.Parse("10.0.0.1/24")));

        _sysctl.Write("ipv6/conf/all/disable_ipv6", "1");

        Assert.Equal("1", _sysctl.Read("ipv6/conf/left/disable_ipv6"));
        Assert.Equal("10.0.0.1/24", Assert.Single(_links.DumpAddresses(left.Index)).Address.ToString());
    }

    [Fact]
    public void Namespaces_have_their_own()
    {
        using var other = _world.Create().OpenSysctl();
        var before = other.Read("ipv4/ip_forward");

        _sysctl.Write("ipv4/ip_forward", before == "1" ? "0" : "1");

        Assert.Equal(before, other.Read("ipv4/ip_forward"));
    }
}

[Layer("kernel")]
public sealed class ProcSysctlTests() : SysctlContract(new TestNamespaces());

[Layer("unit")]
public sealed class FakeSysctlTests() : SysctlContract(new FakeNamespaces());
