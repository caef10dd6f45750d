using System.Text.Json;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>
/// <c>calico-node bgp</c> with every BGP implementation that Debian ships, over IPv4 and IPv6: what one side tells, the other
/// side's own tool shows.
/// </summary>
[Layer("conformance")]
public sealed class InteropTests : IAsyncLifetime
{
    private const string TheirRoute = "10.9.0.0/24", TheirRoute6 = "fd00:9::/48";

    private readonly InteropBed _bed = new();
    private ForeignSpeaker? _foreign;

    public static TheoryData<string> Speakers => ["bird", "frr", "gobgp", "openbgpd", "exabgp"];

    /// <summary>Those that say that they restart (RFC 4724).</summary>
    public static TheoryData<string> Restarting => ["bird", "frr", "gobgp"];

    /// <summary>Those that keep the routes of a peer that restarts.</summary>
    public static TheoryData<string> Helping => ["bird", "frr", "gobgp", "openbgpd"];

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_foreign is not null)
            await _foreign.DisposeAsync();
        await _bed.DisposeAsync();
    }

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task Routes_travel_both_ways_and_look_alike_on_both_ends(string speaker)
    {
        await StartAsync(speaker, Config);

        await ShowsAsync(new ForeignRoute("10.1.0.0/24", "192.0.2.1", "4200000001 4200000003", "65003:1", "4200000003:2:3"));
        await ShowsAsync(new ForeignRoute("10.2.0.0/16", "192.0.2.1", "4200000001 4200000003", "", ""));
        await ShowsAsync(new ForeignRoute("fd00:1::/48", "fd00:192::1", "4200000001 4200000003", "65003:1", ""));
        await HasTheirsAsync();

        await _bed.FeedsAsync(false);
        await UntilAsync(async () => await _foreign!.FindAsync("10.1.0.0/24") is null && await _foreign.FindAsync("fd00:1::/48") is null, "routes are withdrawn");
        await _bed.FeedsAsync(true);
        await ShowsAsync(new ForeignRoute("10.1.0.0/24", "192.0.2.1", "4200000001 4200000003", "65003:1", "4200000003:2:3"));
    }

    [SkippableTheory]
    [MemberData(nameof(Speakers))]
    public async Task A_password_is_understood_and_without_it_there_is_no_session(string speaker)
    {
        await StartAsync(speaker, Config with { Password = "s3cret" }, "other");
        await Task.Delay(3000);
        Assert.Null(await _bed.FindAsync(TheirRoute));
        Assert.Null(await _foreign!.FindAsync("10.1.0.0/24"));

        await _bed.KillAsync();
        await _bed.StartAsync(password: "s3cret");
        await HasTheirsAsync();
        await UntilAsync(async () => await _foreign.FindAsync("10.1.0.0/24") is not null, "our route is there");
    }

    [SkippableTheory]
    [MemberData(nameof(Restarting))]
    public async Task Its_routes_outlive_its_crash_and_are_told_again(string speaker)
    {
        await StartAsync(speaker, Config);
        await HasTheirsAsync();

        await _foreign!.CrashAsync();
        await UntilAsync(async () => await _bed.FindAsync(TheirRoute) is { } kept && kept.GetProperty("stale").GetBoolean(), "the route is stale");
        await _foreign.StartAsync(Config with { IsRestart = true });
        await UntilAsync(async () => await _bed.FindAsync(TheirRoute) is { } kept && !kept.GetProperty("stale").GetBoolean(), "the route is confirmed");
    }

    [SkippableTheory]
    [MemberData(nameof(Helping))]
    public async Task Our_routes_outlive_our_crash(string speaker)
    {
        await StartAsync(speaker, Config);
        await UntilAsync(async () => await _foreign!.FindAsync("10.1.0.0/24") is not null, "our route is there");

        await _bed.KillAsync();
        for (var i = 0; i < 20; i++)
        {
            Assert.NotNull(await _foreign!.FindAsync("10.1.0.0/24"));
            await Task.Delay(100);
        }
        await _bed.StartAsync();
        await HasTheirsAsync();
        await UntilAsync(async () => (await _bed.PeersAsync()).Split('\n').Count(l => l.Contains("Established", StringComparison.Ordinal)) == 4, "all sessions are up");
        Assert.NotNull(await _foreign!.FindAsync("10.1.0.0/24"));
    }

    private static ForeignConfig Config { get; } = new() { As = InteropBed.TheirAs, OurAs = InteropBed.OurAs, Routes = [TheirRoute, TheirRoute6] };

    private async Task StartAsync(string speaker, ForeignConfig config, string? ourPassword = null)
    {
        _foreign = speaker switch
        {
            "bird" => new BirdSpeaker(_bed),
            "frr" => new FrrSpeaker(_bed),
            "gobgp" => new GoBgpSpeaker(_bed),
            "openbgpd" => new OpenBgpdSpeaker(_bed),
            _ => new ExaBgpSpeaker(_bed),
        };
        Skip.IfNot(File.Exists(_foreign.Program), $"{_foreign.Program} is not installed");
        await _bed.PrepareAsync();
        await _foreign.StartAsync(config);
        await _bed.StartAsync(config.As, ourPassword ?? config.Password);
    }

    private Task ShowsAsync(ForeignRoute expected) => InteropBed.UntilAsync(async () => await _foreign!.FindAsync(expected.Prefix) == expected,
        async () => $"it shows {expected}, but {await _foreign!.FindAsync(expected.Prefix)}\n{await SaidAsync()}");

    private async Task HasTheirsAsync()
    {
        foreach (var (prefix, hop) in new[] { (TheirRoute, "192.0.2.2"), (TheirRoute6, "fd00:192::2") })
        {
            await UntilAsync(async () => await _bed.FindAsync(prefix) is not null, $"we have {prefix}");
            var route = (await _bed.FindAsync(prefix))!.Value;
            Assert.Equal((hop, "4200000002", Config.Community, Config.LargeCommunity),
                (route.GetProperty("nextHop").GetString(), route.GetProperty("asPath").GetString(), One(route, "communities"), One(route, "largeCommunities")));
        }
    }

    private Task UntilAsync(Func<Task<bool>> condition, string what) =>
        InteropBed.UntilAsync(condition, async () => $"{what}\n{await SaidAsync()}");

    private async Task<string> SaidAsync() => $"{await _bed.PeersAsync()}\n{_bed.Log}\n{_foreign?.Log}";

    private static string One(JsonElement route, string list) => string.Join(' ', route.GetProperty(list).EnumerateArray().Select(c => c.GetString()));
}
