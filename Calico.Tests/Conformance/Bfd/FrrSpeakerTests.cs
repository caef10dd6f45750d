using System.Diagnostics;
using System.Text.Json;
using Calico.Core.Bfd;
using Calico.Tests.Conformance.Bgp;
using Xunit.Abstractions;
using static Calico.Tests.Kernel.Bfd.BfdBed;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// The whole way with FRR at the other end: <c>calico-node bgp</c> with a kernel, FRR's bgpd that has its bfdd watch us, and a BIRD
/// with a longer path. The hold time is 90 s, and every wait here ends after 30.
/// </summary>
[Layer("conformance")]
public sealed class FrrSpeakerTests(ITestOutputHelper output) : IAsyncLifetime
{
    private readonly BfdSpeakerBed _bed = new();
    private FrrRouter? _frr;

    public Task InitializeAsync() => _bed.PrepareAsync();

    public async Task DisposeAsync()
    {
        output.WriteLine(_bed.Log + _frr?.Log);
        if (_frr is not null)
            await _frr.DisposeAsync();
        await _bed.DisposeAsync();
    }

    [SkippableFact]
    public async Task Both_ends_are_up_and_show_the_same_times_also_when_ours_change()
    {
        await StartAsync(Every(120, 5), "100ms*3");
        await AgreedAsync(interval: 120, ourDetection: 600, theirDetection: 360);

        await _bed.ChangeAsync(BfdSpeakerBed.Resources("projectcalico.org/bfd: 250ms*4"));
        await AgreedAsync(interval: 250, ourDetection: 1250, theirDetection: 1000);

        var ours = (await BfdAsync())!.Value;
        Assert.Equal((1, 0), (ours.GetProperty("ups").GetInt32(), ours.GetProperty("downs").GetInt32()));
        Assert.Equal((1, 1), (await EstablishedAsync(), (await _frr!.BgpAsync())!.Value.GetProperty("connectionsEstablished").GetInt32()));
    }

    [SkippableFact]
    public async Task A_cut_link_is_noticed_by_both_ends_moves_the_traffic_and_is_mended()
    {
        await StartAsync(Every(100), "100ms*3");
        await AgreedAsync(interval: 100, ourDetection: 300, theirDetection: 300);
        using var traffic = _bed.Send();
        await UntilAsync(() => Task.FromResult(traffic.LeftGets), "FRR has the traffic");
        Assert.False(traffic.RightGets);

        await _bed.UnplugLeftAsync();
        await UntilAsync(() => Task.FromResult(traffic.RightGets), "the longer path has the traffic");
        output.WriteLine($"traffic stood still for {traffic.Gap.TotalMilliseconds:F0} ms; the detection time is 300 ms");
        await UntilAsync(async () => (await _bed.PeerAsync("left"))?.GetProperty("lastReasonType").GetString() == "PathFailed", "our session ended by BFD");
        Assert.Equal(nameof(BfdDiagnostic.ControlDetectionTimeExpired), (await BfdAsync())!.Value.GetProperty("diagnostic").GetString());
        await UntilAsync(async () => await _frr!.BfdAsync() is { } there && there.GetProperty("status").GetString() == "down"
            && there.GetProperty("diagnostic").GetString() == "control detection time expired", "FRR noticed, too");
        // Cease, BFD Down (RFC 9384).
        await UntilAsync(async () => await _frr!.BgpAsync() is { } there && there.GetProperty("bgpState").GetString() != "Established"
            && there.GetProperty("lastErrorCodeSubcode").GetString() == "060A", "and so did its bgpd");
        Assert.True(await _bed.HasCarrierAsync());

        await _bed.PlugLeftAsync();
        await AgreedAsync(interval: 100, ourDetection: 300, theirDetection: 300);
        await UntilAsync(async () => (await _bed.KernelRouteAsync()).Contains("via 192.0.2.2", StringComparison.Ordinal), "the shorter path is back");
        Assert.Equal((2, 1), (await EstablishedAsync(), (await _bed.PeerAsync("left"))!.Value.GetProperty("pathFailures").GetInt32()));
    }

    [SkippableFact]
    public async Task A_speaker_that_stops_tells_frr_so_long_before_the_detection_time()
    {
        await StartAsync(Every(2000, 30), "2s*30");
        await AgreedAsync(interval: 2000, ourDetection: 60_000, theirDetection: 60_000);

        await _bed.SignalAsync("-TERM");
        await ToldAsync();
        await _bed.Speaker!.WaitForExitAsync();

        await _bed.StartSpeakerAsync("2s*30", BfdSpeakerBed.Resources());
        await AgreedAsync(interval: 2000, ourDetection: 60_000, theirDetection: 60_000);
    }

    [SkippableFact]
    public async Task Frr_is_told_that_it_is_not_watched_any_more_and_that_it_is_again()
    {
        await StartAsync(Every(2000, 30), "2s*30");
        await AgreedAsync(interval: 2000, ourDetection: 60_000, theirDetection: 60_000);

        await _bed.ChangeAsync(BfdSpeakerBed.Resources("projectcalico.org/bfd: off"));
        await ToldAsync();
        Assert.Equal(0, (await _bed.PeerAsync("left"))!.Value.GetProperty("pathFailures").GetInt32());

        await _bed.ChangeAsync(BfdSpeakerBed.Resources());
        await AgreedAsync(interval: 2000, ourDetection: 60_000, theirDetection: 60_000);
    }

    private async Task StartAsync(BfdParameters theirs, string ours)
    {
        Skip.IfNot(FrrRouter.IsInstalled && BirdDaemon.IsInstalled, "frr or bird2 is not installed");
        _frr = new FrrRouter(_bed.Left);
        await _frr.StartAsync(theirs, BfdSpeakerBed.Shared, BfdSpeakerBed.OnlyLeft);
        await _bed.StartRightAsync(keptOverRestarts: true);
        await _bed.StartSpeakerAsync(ours, BfdSpeakerBed.Resources());
    }

    // FRR's session is down because of what we said.
    private Task ToldAsync() => UntilAsync(async () => await _frr!.BfdAsync() is { } there
        && there.GetProperty("status").GetString() == "down" && there.GetProperty("remote-diagnostic").GetString() == "administratively down", "FRR is told");

    // BGP is up, and both ends show these times of a session that is up.
    private async Task AgreedAsync(int interval, int ourDetection, int theirDetection)
    {
        await UntilAsync(async () => (await _bed.PeerAsync("left"))?.GetProperty("state").GetString() == "Established", "the session with FRR is up");
        var expected = new ForeignBfdSession(true, TimeSpan.FromMilliseconds(interval), TimeSpan.FromMilliseconds(theirDetection));
        await UntilAsync(async () => await _frr!.BfdAsync() is { } there && FrrBfd.Read(there) == expected, $"FRR shows {expected}");
        await UntilAsync(async () => await BfdAsync() is { } ours && ours.GetProperty("state").GetString() == "Up" && ours.GetProperty("remoteState").GetString() == "Up"
            && (ours.GetProperty("transmitInterval").GetDouble(), ours.GetProperty("receiveInterval").GetDouble(), ours.GetProperty("detectionTime").GetDouble())
            == (interval, interval, ourDetection), "and so do we");
    }

    // Null while nothing is watched.
    private async Task<JsonElement?> BfdAsync() =>
        await _bed.PeerAsync("left") is { } peer && peer.GetProperty("bfd") is { ValueKind: JsonValueKind.Object } bfd ? bfd : null;

    private async Task<int> EstablishedAsync() => (await _bed.PeerAsync("left"))!.Value.GetProperty("established").GetInt32();

    private async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(30);)
        {
            if (await condition())
                return;
            await Task.Delay(50);
        }
        Assert.Fail($"never: {what}\n{await _bed.PeersAsync()}\nBFD there: {await _frr!.BfdAsync()}\nBGP there: {await _frr.BgpAsync()}");
    }
}
