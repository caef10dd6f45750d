namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>
/// <c>calico-node bgp</c> with every BGP implementation that Debian ships, over IPv4 and IPv6: what one side tells, the other
/// side's own tool shows.
/// </summary>
[Layer("conformance")]
public sealed class InteropTests : InteropFixture
{
    public static TheoryData<string> Speakers => ["bird", "frr", "gobgp", "openbgpd", "exabgp"];

    /// <summary>Those that say that they restart (RFC 4724). OpenBGPD's capability names no family: it does not keep its forwarding.</summary>
    public static TheoryData<string> Restarting => ["bird", "frr", "gobgp", "exabgp"];

    /// <summary>Those that keep the routes of a peer that restarts. ExaBGP has no table to keep them in.</summary>
    public static TheoryData<string> Helping => ["bird", "frr", "gobgp", "openbgpd"];

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task Routes_travel_both_ways_and_look_alike_on_both_ends(string speaker)
    {
        var feeder = await StartAsync(speaker, External);

        await ShowsAsync(new ForeignRoute("10.1.0.0/24", "192.0.2.1", "4200000001 4200000003", "65003:1", "4200000003:2:3"));
        await ShowsAsync(new ForeignRoute("10.2.0.0/16", "192.0.2.1", "4200000001 4200000003", "", ""));
        await ShowsAsync(new ForeignRoute("fd00:1::/48", "fd00:192::1", "4200000001 4200000003", "65003:1", ""));
        await HasTheirsAsync();

        await feeder.TellsAsync(false);
        await UntilAsync(async () => await Foreign!.FindAsync("10.1.0.0/24") is null && await Foreign.FindAsync("fd00:1::/48") is null, "routes are withdrawn");
        await feeder.TellsAsync(true);
        await ShowsAsync(new ForeignRoute("10.1.0.0/24", "192.0.2.1", "4200000001 4200000003", "65003:1", "4200000003:2:3"));
    }

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task Inside_an_as_routes_keep_their_next_hop_and_their_preference_over_both_families(string speaker)
    {
        await StartAsync(speaker, Internal);

        await ShowsAsync(new ForeignRoute("10.1.0.0/24", "192.0.2.3", "4200000003", "65003:1", "4200000003:2:3") { LocalPref = 100 });
        await ShowsAsync(new ForeignRoute("10.2.0.0/16", "192.0.2.3", "4200000003", "", "") { LocalPref = 100 });
        await ShowsAsync(new ForeignRoute("fd00:1::/48", "fd00:192::3", "4200000003", "65003:1", "") { LocalPref = 100 });
        await HasTheirsAsync(path: "");
        foreach (var prefix in (string[])[TheirRoute, TheirRoute6])
            Assert.Equal(100u, (await Bed.FindAsync(prefix))!.Value.GetProperty("localPref").GetUInt32());
    }

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task A_password_is_understood_and_without_it_there_is_no_session(string speaker)
    {
        await StartAsync(speaker, External with { Password = "s3cret" }, "other");
        await Task.Delay(3000);
        Assert.Null(await Bed.FindAsync(TheirRoute));
        Assert.Null(await Foreign!.FindAsync("10.1.0.0/24"));

        await Bed.KillAsync();
        await Bed.StartAsync(new OurConfig { Password = "s3cret" });
        await HasTheirsAsync();
        await UntilAsync(async () => await Foreign.FindAsync("10.1.0.0/24") is not null, "our route is there");
    }

    [SkippableTheory]
    [MemberData(nameof(Restarting))]
    public async Task Its_routes_outlive_its_crash_and_are_told_again(string speaker)
    {
        await StartAsync(speaker, External);
        await HasTheirsAsync();

        await Foreign!.CrashAsync();
        await UntilAsync(async () => await Bed.FindAsync(TheirRoute) is { } kept && kept.GetProperty("stale").GetBoolean(), "the route is stale");
        await Foreign.StartAsync(External with { IsRestart = true });
        await UntilAsync(async () => await Bed.FindAsync(TheirRoute) is { } kept && !kept.GetProperty("stale").GetBoolean(), "the route is confirmed");
    }

    [SkippableTheory]
    [MemberData(nameof(Helping))]
    public async Task Our_routes_outlive_our_crash(string speaker)
    {
        await StartAsync(speaker, External);
        await UntilAsync(async () => await Foreign!.FindAsync("10.1.0.0/24") is not null, "our route is there");

        await Bed.KillAsync();
        for (var i = 0; i < 20; i++)
        {
            Assert.NotNull(await Foreign!.FindAsync("10.1.0.0/24"));
            await Task.Delay(100);
        }
        await Bed.StartAsync(new OurConfig());
        await HasTheirsAsync();
        await UntilAsync(async () => (await Bed.PeersAsync()).Split('\n').Count(l => l.Contains("Established", StringComparison.Ordinal)) == 4, "all sessions are up");
        Assert.NotNull(await Foreign!.FindAsync("10.1.0.0/24"));
    }

    private async Task<Feeder> StartAsync(string speaker, ForeignConfig theirs, string? ourPassword = null)
    {
        await StartAsync(speaker, theirs, new OurConfig { TheirAs = theirs.As, Password = ourPassword ?? theirs.Password });
        return await Bed.FeedAsync(3, InteropBed.FeederAs, new FeederSession(1, InteropBed.OurAs, InteropBed.Fed));
    }

    private async Task HasTheirsAsync(string path = "4200000002")
    {
        foreach (var (prefix, hop) in new[] { (TheirRoute, "192.0.2.2"), (TheirRoute6, "fd00:192::2") })
        {
            await UntilAsync(async () => await Bed.FindAsync(prefix) is not null, $"we have {prefix}");
            var route = (await Bed.FindAsync(prefix))!.Value;
            Assert.Equal((hop, path, External.Community, External.LargeCommunity),
                (route.GetProperty("nextHop").GetString(), route.GetProperty("asPath").GetString(), One(route, "communities"), One(route, "largeCommunities")));
        }
    }
}
