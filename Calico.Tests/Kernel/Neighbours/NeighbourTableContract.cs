using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Neighbours;

namespace Calico.Tests.Kernel.Neighbours;

/// <summary>What neighbours do, in the kernel and in the fake. <c>left</c> and <c>right</c> are a running veth pair.</summary>
public abstract class NeighbourTableContract : IDisposable
{
    private static readonly MacAddress Mac = MacAddress.Parse("02:00:00:00:00:01");
    private readonly ITestWorld _world;
    private readonly ILinkTable _links;
    private readonly INeighbourTable _neighbours;
    private readonly int _left;
    private readonly int _right;

    protected NeighbourTableContract(ITestWorld world)
    {
        _world = world;
        var host = world.Create();
        _links = host.OpenLinks();
        _neighbours = host.OpenNeighbours();
        _left = _links.CreateVeth(new VethPair("left", "right", -1), up: true).Index;
        _right = _links.Find("right")!.Index;
        _links.Change(new LinkChange(_right) { Up = true });
    }

    public void Dispose()
    {
        _neighbours.Dispose();
        _links.Dispose();
        _world.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData("10.0.0.9")]
    [InlineData("fd00::9")]
    [InlineData("169.254.1.1")]
    public void A_permanent_neighbour_reads_back(string address)
    {
        var neighbour = new Neighbour(_left, IpAddr.Parse(address), Mac);

        _neighbours.Set(neighbour);

        Assert.Equal(neighbour, Assert.Single(_neighbours.Dump()));
        Assert.Equal(neighbour, Assert.Single(_neighbours.Dump(_left)));
        Assert.Empty(_neighbours.Dump(_right));
        Assert.Equal(1, _neighbours.WriteCount);
    }

    [Fact]
    public void Setting_again_replaces_the_address()
    {
        _neighbours.Set(new Neighbour(_left, IpAddr.Parse("10.0.0.9"), Mac));
        var second = new Neighbour(_left, IpAddr.Parse("10.0.0.9"), MacAddress.Parse("02:00:00:00:00:02")) { Permanent = false };

        _neighbours.Set(second);

        Assert.Equal(second, Assert.Single(_neighbours.Dump()));
    }

    [Fact]
    public void Deleting_a_neighbour_that_is_not_there_is_success()
    {
        var neighbour = new Neighbour(_left, IpAddr.Parse("10.0.0.9"), Mac);
        _neighbours.Set(neighbour);

        _neighbours.Delete(neighbour);
        _neighbours.Delete(neighbour);
        _neighbours.Delete(neighbour with { LinkIndex = 4711 });

        Assert.Empty(_neighbours.Dump());
        Assert.Equal(2, _neighbours.WriteCount);
    }

    [Fact]
    public void A_neighbour_needs_its_device()
    {
        var refused = Assert.Throws<KernelException>(() => _neighbours.Set(new Neighbour(4711, IpAddr.Parse("10.0.0.9"), Mac)));

        Assert.Equal(Errno.ENODEV, refused.Errno);
        Assert.Empty(_neighbours.Dump(4711));
    }

    [Theory]
    [InlineData("10.0.0.10")]
    [InlineData("fd00::10")]
    public void A_proxy_entry_is_kept_apart(string address)
    {
        var proxy = new Neighbour(_left, IpAddr.Parse(address), default) { Proxy = true };

        _neighbours.Set(proxy);
        _neighbours.Set(proxy);

        Assert.Equal(proxy, Assert.Single(_neighbours.DumpProxies()));
        Assert.Equal(proxy, Assert.Single(_neighbours.DumpProxies(_left)));
        Assert.Empty(_neighbours.DumpProxies(_right));
        Assert.Empty(_neighbours.Dump());
        _neighbours.Delete(proxy);
        _neighbours.Delete(proxy);
        Assert.Empty(_neighbours.DumpProxies());
    }

    [Fact]
    public void A_port_of_a_bridge_has_forwarding_entries()
    {
        var bridge = _links.CreateBridge("br0");
        _links.Change(new LinkChange(_left) { MasterIndex = bridge.Index });
        var entry = new Neighbour(_left, IpAddr.AnyV4, Mac, Forwarding: true);

        _neighbours.Set(entry);

        Assert.Contains(entry, _neighbours.Dump(_left, forwarding: true));
        Assert.Empty(_neighbours.Dump());
        _neighbours.Delete(entry);
        _neighbours.Delete(entry);
        Assert.DoesNotContain(entry, _neighbours.Dump(_left, forwarding: true));
    }

    [Fact]
    public void A_device_without_bridge_has_no_bridge_to_keep_its_forwarding_entries()
    {
        var refused = Assert.Throws<KernelException>(
            () => _neighbours.Set(new Neighbour(_left, IpAddr.AnyV4, Mac, Forwarding: true)));

        Assert.Equal(Errno.EOPNOTSUPP, refused.Errno);
    }

    [Fact]
    public void Permanent_neighbours_survive_the_loss_of_carrier_and_not_going_down()
    {
        _neighbours.Set(new Neighbour(_left, IpAddr.Parse("10.0.0.9"), Mac));
        _neighbours.Set(new Neighbour(_left, IpAddr.Parse("10.0.0.10"), default) { Proxy = true });

        _links.Change(new LinkChange(_right) { Up = false });
        var withoutCarrier = _neighbours.Dump().Count;
        _links.Change(new LinkChange(_left) { Up = false });

        Assert.Equal(1, withoutCarrier);
        Assert.Empty(_neighbours.Dump());
        Assert.Empty(_neighbours.DumpProxies());
    }

    [Fact]
    public void Neighbours_go_with_their_device()
    {
        _neighbours.Set(new Neighbour(_left, IpAddr.Parse("10.0.0.9"), Mac));

        _links.Delete("left");

        Assert.Empty(_neighbours.Dump());
    }
}

[Layer("kernel")]
public sealed class NeighbourTableTests() : NeighbourTableContract(new TestNamespaces());

[Layer("unit")]
public sealed class FakeNeighbourTableTests() : NeighbourTableContract(new FakeNamespaces());
