namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>Route reflection (RFC 4456) with other implementations, each of us in both places.</summary>
[Layer("conformance")]
public sealed class ReflectionInteropTests : InteropFixture
{
    private const string OurCluster = "192.0.2.99", FarRoute = "10.4.0.0/24", FarRoute6 = "fd00:4::/48";

    public static TheoryData<string> Clients => ["bird", "frr", "gobgp", "openbgpd", "exabgp"];

    /// <summary>ExaBGP has no table, so it reflects nothing.</summary>
    public static TheoryData<string> Reflectors => ["bird", "frr", "gobgp", "openbgpd"];

    [SkippableTheory]
    [MemberData(nameof(Clients))]
    public async Task Our_reflector_passes_routes_between_its_clients_with_originator_and_cluster(string speaker)
    {
        await StartAsync(speaker, Internal, new OurConfig { TheirAs = Internal.As, ClusterId = OurCluster, Feeders = [(4, Internal.As)] });
        var client = await Bed.FeedAsync(4, Internal.As, new FeederSession(1, Internal.As, FarRoute, FarRoute6));

        await ShowsAsync(new ForeignRoute(FarRoute, "192.0.2.4", "", "", "") { Originator = "192.0.2.4", Clusters = OurCluster, LocalPref = 100 });
        await ShowsAsync(new ForeignRoute(FarRoute6, "fd00:192::4", "", "", "") { Originator = "192.0.2.4", Clusters = OurCluster, LocalPref = 100 });
        await ShowsAsync(new ForeignRoute(TheirRoute, "192.0.2.2", "", Internal.Community, Internal.LargeCommunity) { Originator = "192.0.2.2", Clusters = OurCluster, LocalPref = 100 },
            () => client.FindAsync(1, TheirRoute));
        await ShowsAsync(new ForeignRoute(TheirRoute6, "fd00:192::2", "", Internal.Community, Internal.LargeCommunity) { Originator = "192.0.2.2", Clusters = OurCluster, LocalPref = 100 },
            () => client.FindAsync(1, TheirRoute6));
        // Nobody hears of its own routes.
        Assert.Null(await Foreign!.FindAsync(TheirRoute));
        Assert.Null(await client.FindAsync(1, FarRoute));

        await client.TellsAsync(false);
        await UntilAsync(async () => await Foreign.FindAsync(FarRoute) is null && await Foreign.FindAsync(FarRoute6) is null, "what was reflected is withdrawn");
    }

    [SkippableTheory]
    [MemberData(nameof(Reflectors))]
    public async Task A_reflector_of_theirs_passes_routes_between_us_and_its_other_client(string speaker)
    {
        var theirs = Internal with { Reflects = true, Others = [new ForeignNeighbour(4, Internal.As)] };
        await StartAsync(speaker, theirs, new OurConfig { TheirAs = theirs.As });
        await Bed.FeedAsync(3, InteropBed.FeederAs, new FeederSession(1, InteropBed.OurAs, InteropBed.Fed));
        var other = await Bed.FeedAsync(4, theirs.As, new FeederSession(2, theirs.As, FarRoute, FarRoute6));

        foreach (var (prefix, hop) in new[] { (FarRoute, "192.0.2.4"), (FarRoute6, "fd00:192::4") })
        {
            await UntilAsync(async () => await Bed.FindAsync(prefix) is not null, $"{prefix} is reflected to us");
            var route = (await Bed.FindAsync(prefix))!.Value;
            Assert.Equal((hop, "", "192.0.2.4", theirs.ClusterId),
                (route.GetProperty("nextHop").GetString(), route.GetProperty("asPath").GetString(), route.GetProperty("originatorId").GetString(), One(route, "clusterList")));
        }
        foreach (var (prefix, hop) in new[] { ("10.2.0.0/16", "192.0.2.3"), ("fd00:1::/48", "fd00:192::3") })
        {
            await UntilAsync(async () => await other.FindAsync(2, prefix) is not null, $"{prefix} is reflected from us");
            var route = (await other.FindAsync(2, prefix))!;
            Assert.Equal((hop, "4200000003", "192.0.2.1", theirs.ClusterId), (route.NextHop, route.AsPath, route.Originator, route.Clusters));
        }
        Assert.Empty(await Bed.ListAsync("received", "10.2.0.0/16"));
    }
}
