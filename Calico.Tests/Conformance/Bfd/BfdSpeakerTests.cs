using System.Diagnostics;
using System.Text.Json;
using Calico.Tests.Conformance.Bgp;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// The whole way: <c>calico-node bgp</c> with a kernel, BIRDs with BFD, a path that breaks without a sign. The hold time is 90 s, and every
/// wait here ends after 30: what comes in time comes by BFD.
/// </summary>
[Layer("conformance")]
public sealed class BfdSpeakerTests(ITestOutputHelper output) : IAsyncLifetime
{
    private readonly BfdSpeakerBed _bed = new();

    public Task InitializeAsync() => _bed.PrepareAsync();

    public async Task DisposeAsync()
    {
        output.WriteLine(_bed.Log + _bed.BirdLogs);
        await _bed.DisposeAsync();
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Traffic_moves_to_the_second_path_when_the_first_breaks_and_back_when_it_is_mended(bool keptOverRestarts)
    {
        await UpAsync(keptOverRestarts);
        using var traffic = _bed.Send();
        await UntilAsync(() => Task.FromResult(traffic.LeftGets), "the shorter path has the traffic");
        await UntilAsync(async () => await AtRightAsync(BfdSpeakerBed.OnlyLeft) is var route && route.Contains("AS65002", StringComparison.Ordinal), "right knows left's route");
        Assert.False(traffic.RightGets);

        await _bed.UnplugLeftAsync();
        await UntilAsync(() => Task.FromResult(traffic.RightGets), "the longer path has the traffic");
        output.WriteLine($"traffic stood still for {traffic.Gap.TotalMilliseconds:F0} ms; the detection time is 300 ms");
        var route = await _bed.KernelRouteAsync();
        Assert.Contains("via 192.0.2.3", route, StringComparison.Ordinal);
        Assert.DoesNotContain("via 192.0.2.2", route, StringComparison.Ordinal);
        await UntilAsync(async () => (await _bed.PeerAsync("left"))?.GetProperty("lastReasonType").GetString() == "PathFailed", "the session ended by BFD");
        Assert.Equal(1, (await _bed.PeerAsync("left"))!.Value.GetProperty("pathFailures").GetInt32());
        Assert.Contains("\tDown (ControlDetectionTimeExpired)\t", await _bed.PeersAsync(), StringComparison.Ordinal);
        // Where there is no other way the route is kept for one that asked for that, as the last choice.
        await UntilAsync(async () => await AtRightAsync(BfdSpeakerBed.OnlyLeft) is var told
            && (keptOverRestarts ? told.Contains("BGP.community: (65535,6)", StringComparison.Ordinal) : !told.Contains("AS65002", StringComparison.Ordinal)), "right is told");
        await UntilAsync(async () => (await _bed.AskAsync("left", "show", "protocols", "calico")).Contains("BFD session down", StringComparison.Ordinal), "left noticed, too");
        Assert.True(await _bed.HasCarrierAsync());

        await _bed.PlugLeftAsync();
        await BothAsync("left");
        await UntilAsync(async () => (await _bed.KernelRouteAsync()).Contains("via 192.0.2.2", StringComparison.Ordinal), "the shorter path is back");
        await UntilAsync(async () => await AtRightAsync(BfdSpeakerBed.OnlyLeft) is var told && told.Contains("AS65002", StringComparison.Ordinal)
            && !told.Contains("65535", StringComparison.Ordinal), "right knows left's route again");
        Assert.Equal((2, 1), (await EstablishedAsync("left"), await EstablishedAsync("right")));
    }

    [SkippableFact]
    public async Task A_speaker_that_is_stopped_is_missed_whatever_the_kernel_had_of_it_and_is_back_when_it_goes_on()
    {
        await UpAsync();

        await _bed.SignalAsync("-STOP");
        await MissedAsync();
        await _bed.SignalAsync("-CONT");

        await BothAsync("left");
        await BothAsync("right");
    }

    [SkippableFact]
    public async Task A_speaker_that_is_killed_is_missed_its_routes_stay_where_that_is_wanted_and_its_successor_is_taken_back()
    {
        await UpAsync();

        await UntilAsync(async () => (await AtRightAsync(BfdSpeakerBed.OnlyLeft)).Contains("AS65002", StringComparison.Ordinal), "right knows left's route");

        await _bed.SignalAsync("-KILL");
        await MissedAsync();
        // BIRD's "bfd graceful" makes of it what a restart is.
        Assert.Contains("AS65002", await AtRightAsync(BfdSpeakerBed.OnlyLeft), StringComparison.Ordinal);
        await _bed.StartSpeakerAsync("100ms*3", BfdSpeakerBed.Resources());

        await BothAsync("left");
        await BothAsync("right");
    }

    [SkippableFact]
    public async Task A_single_peer_is_watched_otherwise_or_not_at_all_without_a_new_session()
    {
        await SessionsAsync("off");
        Assert.Null(await BfdAsync("left"));

        await _bed.ChangeAsync(BfdSpeakerBed.Resources("projectcalico.org/bfd: 100ms*3"));
        await BothAsync("left");
        await BothAsync("right");
        await _bed.ChangeAsync(BfdSpeakerBed.Resources("projectcalico.org/bfd: 250ms*4"));
        foreach (var bird in new[] { "left", "right" })
        {
            await UntilAsync(async () => await BfdAsync(bird) is { } bfd && bfd.GetProperty("state").GetString() == "Up"
                && bfd.GetProperty("transmitInterval").GetDouble() == 250 && bfd.GetProperty("detectionTime").GetDouble() == 750, "it is watched otherwise");
        }
        Assert.Equal((1, 1), (await EstablishedAsync("left"), await EstablishedAsync("right")));

        // This release of BIRD ends its session whatever made BFD leave Up; ours is not the end that resets it.
        await _bed.ChangeAsync(BfdSpeakerBed.Resources("projectcalico.org/bfd: off"));
        await UntilAsync(async () => await BfdAsync("left") is null && await BfdAsync("right") is null, "it is not watched");
        await UntilAsync(async () => !await IsUpThereAsync("left") && !await IsUpThereAsync("right"), "the neighbours are told");
        Assert.Equal(0, (await _bed.PeerAsync("left"))!.Value.GetProperty("pathFailures").GetInt32());
    }

    [SkippableFact]
    public async Task An_internal_session_of_bird_is_watched_over_several_hops()
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await _bed.StartBirdsAsync(keptOverRestarts: true, isInternal: true);
        await _bed.StartSpeakerAsync("100ms*3 multihop", BfdSpeakerBed.Resources(isInternal: true));

        await BothAsync("left");
        await BothAsync("right");
        Assert.Equal(4784, (await BfdAsync("left"))!.Value.GetProperty("port").GetInt32());
    }

    // Both neighbours; the connection of one that is killed tells them nothing of BFD.
    private async Task MissedAsync()
    {
        var began = Stopwatch.GetTimestamp();
        await UntilAsync(async () => !await IsUpThereAsync("left") && !await IsUpThereAsync("right"), "BFD is down there");
        output.WriteLine($"missed after {Stopwatch.GetElapsedTime(began).TotalMilliseconds:F0} ms; the detection time is 300 ms");
        await UntilAsync(async () => (await _bed.AskAsync("left", "show", "protocols", "all", "calico")) is var shown && !shown.Contains("Established", StringComparison.Ordinal), "the session is down there");
    }

    private async Task UpAsync(bool keptOverRestarts = true)
    {
        await SessionsAsync("100ms*3", keptOverRestarts);
        await BothAsync("left");
        await BothAsync("right");
    }

    private async Task SessionsAsync(string bfd, bool keptOverRestarts = true)
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await _bed.StartBirdsAsync(keptOverRestarts);
        await _bed.StartSpeakerAsync(bfd, BfdSpeakerBed.Resources());
        await SessionAsync("left");
        await SessionAsync("right");
    }

    // The session and BFD are up on both ends.
    private async Task BothAsync(string bird)
    {
        await SessionAsync(bird);
        await UntilAsync(() => IsUpThereAsync(bird), "BFD is up there");
        await UntilAsync(async () => await BfdAsync(bird) is { } bfd && bfd.GetProperty("state").GetString() == "Up"
            && bfd.GetProperty("detectionTime").GetDouble() == 300 && bfd.GetProperty("packetsIn").GetInt64() > 0, "BFD is up here");
    }

    private async Task<bool> IsUpThereAsync(string bird) => (await _bed.AskAsync(bird, "show", "bfd", "sessions")).Split('\n')
        .Any(l => l.StartsWith("192.0.2.1 ", StringComparison.Ordinal) && l.Contains(" Up ", StringComparison.Ordinal));

    // Null while nothing is watched.
    private async Task<JsonElement?> BfdAsync(string bird) =>
        await _bed.PeerAsync(bird) is { } peer && peer.GetProperty("bfd") is { ValueKind: JsonValueKind.Object } bfd ? bfd : null;

    private Task SessionAsync(string bird) =>
        UntilAsync(async () => (await _bed.PeerAsync(bird))?.GetProperty("state").GetString() == "Established", $"the session with {bird} is up");

    private Task<string> AtRightAsync(string prefix) => _bed.AskAsync("right", "show", "route", prefix, "all");

    private async Task<int> EstablishedAsync(string bird) => (await _bed.PeerAsync(bird))!.Value.GetProperty("established").GetInt32();

    private async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(30);)
        {
            if (await condition())
                return;
            await Task.Delay(50);
        }
        Assert.Fail($"never: {what}\n{await _bed.PeersAsync()}");
    }
}
