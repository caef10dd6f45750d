using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Netlink;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;
using CsCheck;

namespace Calico.Tests.Kernel.Netlink;

[Layer("unit")]
public class RouteNetlinkMessageTests
{
    private delegate void Write(ref NetlinkWriter writer);

    [Fact]
    public void A_workload_route_is_written_as_the_kernel_reads_it()
    {
        var route = new Route(new RouteKey(Cidr.Parse("10.65.0.7/32"), 0), RouteKind.Unicast, 3, [new NextHop(null, 5)])
        {
            Scope = RouteScope.Link,
        };

        var payload = Payload((ref NetlinkWriter w) => RouteMessage.WriteNew(ref w, route, NetlinkFlags.Replace));

        Assert.Equal("0220000000" + "03FD01" + "00000000" + "080001000A410007" + "08000F00FE000000" + "0800040005000000", Convert.ToHexString(payload));
        Assert.Equal(route, RouteMessage.Read(payload));
    }

    [Fact]
    public void A_removal_names_the_key_and_any_scope_and_kind()
    {
        var key = new RouteKey(Cidr.Parse("fd00::/64"), 0, 70_000);

        var payload = Payload((ref NetlinkWriter w) => RouteMessage.WriteDelete(ref w, key, 80));

        Assert.Equal("0A40000000" + "50FF00" + "00000000" + "14000100FD000000000000000000000000000000"
            + "08000F0070110100" + "0800060000040000", Convert.ToHexString(payload));
    }

    [Fact]
    public void Routes_survive_the_round_trip() =>
        GenRoute.Sample(route => route.Equals(RouteMessage.Read(Payload((ref NetlinkWriter w) => RouteMessage.WriteNew(ref w, route, NetlinkFlags.Replace)))));

    [Fact]
    public void Random_bytes_are_a_route_or_none_but_never_an_exception() =>
        Gen.Select(Gen.Int[0, 2].Select(i => (byte)(i == 0 ? 2 : i == 1 ? 10 : 7)), Gen.Byte[0, 130], Gen.Byte.Array[0, 200]).Sample(t =>
        {
            byte[] payload = [t.Item1, t.Item2, .. t.Item3];
            RouteMessage.Read(payload);
            LinkMessage.Read(payload);
            LinkMessage.ReadAddress(payload);
            NeighbourMessage.Read(payload);
            NeighbourMessage.Read(payload, removed: true);
            RuleMessage.Read(payload);
        });

    [Fact]
    public void Every_truncation_of_a_route_is_a_route_or_none_but_never_an_exception()
    {
        var route = new Route(new RouteKey(Cidr.Parse("fd01::/64"), 5), RouteKind.Unicast, 80,
            [new NextHop(IpAddr.Parse("fd00::2"), 3), new NextHop(IpAddr.Parse("fd00::3"), 4, OnLink: true, Weight: 9)])
        { Mtu = 1400 };
        var payload = Payload((ref NetlinkWriter w) => RouteMessage.WriteNew(ref w, route, NetlinkFlags.Replace));

        for (var length = 0; length < payload.Length; length++)
            Assert.NotEqual(route, RouteMessage.Read(payload.AsSpan(0, length)));
        Assert.Equal(route, RouteMessage.Read(payload));
    }

    [Fact]
    public void Rules_survive_the_round_trip()
    {
        var rule = new RoutingRule(IpVersion.V4, 99, 70_000)
        {
            Mark = 0x100000,
            MarkMask = 0x100000,
            Source = Cidr.Parse("10.65.0.0/16"),
            Destination = Cidr.Parse("10.66.0.0/16"),
            InputLink = "cali1",
            Not = true,
            SuppressPrefixLength = 0,
            Protocol = 80,
        };

        var payload = Payload((ref NetlinkWriter w) => RuleMessage.Write(ref w, RouteMessageType.NewRule, NetlinkFlags.None, rule));

        Assert.Equal(rule, RuleMessage.Read(payload));
    }

    [Fact]
    public void A_tunnels_forwarding_entry_names_the_remote_host()
    {
        var entry = new Neighbour(7, IpAddr.Parse("192.0.2.9"), MacAddress.Parse("66:00:00:00:00:01"), Forwarding: true);

        var payload = Payload((ref NetlinkWriter w) => NeighbourMessage.Write(ref w, RouteMessageType.NewNeighbour, NetlinkFlags.None, entry));

        Assert.Equal("07000000" + "07000000" + "C000" + "0200" + "08000100C0000209" + "0A000200660000000001" + "0000", Convert.ToHexString(payload));
        Assert.Equal(entry, NeighbourMessage.Read(payload));
    }

    private static Gen<Route> GenRoute =>
        from v4 in Gen.Bool
        from bits in Gen.ULong
        from length in Gen.Int[0, v4 ? 32 : 128]
        from metric in Gen.UInt[1, uint.MaxValue]
        from table in Gen.UInt[1, uint.MaxValue]
        from mtu in Gen.UInt[0, 65535]
        from hops in GenHop(v4).Array[0, 4]
        let kind = hops.Length == 0 ? RouteKind.Blackhole : RouteKind.Unicast
        let single = hops.Length == 1 ? [hops[0] with { Weight = 1 }] : hops
        select new Route(new RouteKey(new Cidr(Address(v4, bits), length), metric, table), kind, 80, [.. single]) { Mtu = mtu };

    private static Gen<NextHop> GenHop(bool v4) =>
        from gateway in Gen.Bool
        from sameFamily in Gen.Bool
        from bits in Gen.ULong
        from link in Gen.Int[1, 100_000]
        from onLink in Gen.Bool
        from weight in Gen.Byte[1, 255]
        select new NextHop(gateway ? Address(v4 && sameFamily, bits) : null, link, onLink, weight);

    private static IpAddr Address(bool v4, ulong bits) => v4 ? IpAddr.FromV4((uint)bits) : IpAddr.FromV6(((UInt128)0xFD00 << 112) | bits);

    private static byte[] Payload(Write write)
    {
        var batch = new NetlinkBatch();
        batch.Clear(1);
        var writer = batch.Writer();
        write(ref writer);
        return batch.Bytes[NetlinkWriter.HeaderLength..].ToArray();
    }
}
