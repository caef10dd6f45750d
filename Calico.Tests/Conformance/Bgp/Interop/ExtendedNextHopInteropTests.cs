using Calico.Tests.Cni;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>IPv4 routes in a session of IPv6 addresses, with IPv6 next hops (RFC 8950): with other implementations, and in the kernel.</summary>
[Layer("conformance")]
public sealed class ExtendedNextHopInteropTests : InteropFixture
{
    public static TheoryData<string> Speakers => ["bird", "frr", "gobgp"];

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task Ipv4_routes_travel_both_ways_with_ipv6_next_hops(string speaker)
    {
        await StartAsync(speaker, External with { OverIpv6 = true }, new OurConfig { OverIpv6 = true });
        var feeder = await Bed.FeedAsync(3, InteropBed.FeederAs, new FeederSession(1, InteropBed.OurAs, InteropBed.Fed));

        await ShowsAsync(new ForeignRoute("10.1.0.0/24", "fd00:192::1", "4200000001 4200000003", "65003:1", "4200000003:2:3"));
        await ShowsAsync(new ForeignRoute("fd00:1::/48", "fd00:192::1", "4200000001 4200000003", "65003:1", ""));
        foreach (var prefix in (string[])[TheirRoute, TheirRoute6])
        {
            await UntilAsync(async () => await Bed.FindAsync(prefix) is not null, $"we have {prefix}");
            Assert.Equal("fd00:192::2", (await Bed.FindAsync(prefix))!.Value.GetProperty("nextHop").GetString());
        }

        await feeder.TellsAsync(false);
        await UntilAsync(async () => await Foreign!.FindAsync("10.1.0.0/24") is null && await Foreign.FindAsync("fd00:1::/48") is null, "routes are withdrawn");
    }

    [SkippableFact]
    public async Task The_kernel_forwards_ipv4_by_way_of_an_ipv6_neighbour()
    {
        await StartAsync("bird", External with { OverIpv6 = true }, new OurConfig { OverIpv6 = true, HasKernel = true, Feeders = [] });
        await InteropBed.IpAsync("-n", Bed.Theirs, "addr", "add", "10.9.0.1/32", "dev", "lo");

        await UntilAsync(async () => (await ChildProcess.RunAsync("ip", "-n", Bed.Ours, "route", "show", TheirRoute)).Item2
            is var route && route.Contains("via inet6 fd00:192::2", StringComparison.Ordinal) && route.Contains("proto 80", StringComparison.Ordinal), "the route is in the kernel");
        var (status, text, _) = await ChildProcess.RunAsync("ip", "netns", "exec", Bed.Ours, "ping", "-c", "3", "-i", "0.2", "-W", "5", "10.9.0.1");
        Assert.True(status == 0, text);
    }
}
