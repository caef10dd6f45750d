using System.Collections.Concurrent;
using System.Globalization;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Bfd;
using Calico.Kernel.Links;
using Calico.Tests.Kernel.Bfd;
using static Calico.Tests.Kernel.Bfd.BfdBed;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>Our sessions with BIRD's and FRR's, over a cable between two namespaces.</summary>
[Layer("conformance")]
public sealed class BfdInteropTests : IAsyncLifetime
{
    private static readonly BfdEndpoint EndpointV6 = new(NeighbourV6, LocalV6);
    private static readonly BfdEndpoint MultihopEndpoint = Endpoint with { Multihop = true };

    private readonly BfdBed _bed = new();
    private readonly ConcurrentQueue<BfdChange> _changes = new();
    private readonly BfdThread _engine;
    private ForeignBfd? _foreign;

    public BfdInteropTests() => _engine = _bed.Start(_bed.Ours, _changes);

    public static TheoryData<string> Daemons => new("bird", "frr");

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_foreign is not null)
            await _foreign.DisposeAsync();
        await _bed.DisposeAsync();
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task Both_ends_come_up_over_both_families_and_show_the_same_negotiated_times(string daemon)
    {
        await StartAsync(daemon, Every(80, 5), Endpoint, EndpointV6);
        await BothAsync(Every(100), Endpoint, EndpointV6);

        foreach (var endpoint in new[] { Endpoint, EndpointV6 })
        {
            // The slower of 80 and 100 ms each way; its multiplier is 5, ours 3.
            await AgreedAsync(endpoint, interval: 100, ourDetection: 500, theirDetection: 300);
            Assert.Equal(1, (await StatusAsync(_engine, endpoint)).Counters.Ups);
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task Sessions_over_several_hops_come_up(string daemon)
    {
        await StartAsync(daemon, Every(100), MultihopEndpoint);
        await BothAsync(Every(100), MultihopEndpoint);

        await AgreedAsync(MultihopEndpoint, interval: 100, ourDetection: 300, theirDetection: 300);
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task Times_are_changed_by_either_end_without_leaving_up(string daemon)
    {
        await StartAsync(daemon, Every(100), Endpoint);
        await BothAsync(Every(100), Endpoint);
        await AgreedAsync(Endpoint, interval: 100, ourDetection: 300, theirDetection: 300);

        _engine.Watch(Endpoint, Every(300, 4));
        await AgreedAsync(Endpoint, interval: 300, ourDetection: 900, theirDetection: 1200);
        _engine.Watch(Endpoint, Every(60));
        await AgreedAsync(Endpoint, interval: 100, ourDetection: 300, theirDetection: 300);
        await _foreign!.ChangeAsync(Every(400, 5));
        await AgreedAsync(Endpoint, interval: 400, ourDetection: 2000, theirDetection: 1200);
        await _foreign.ChangeAsync(Every(50));
        await AgreedAsync(Endpoint, interval: 60, ourDetection: 180, theirDetection: 180);

        var counters = (await StatusAsync(_engine, Endpoint)).Counters;
        Assert.Equal((1L, 0L), (counters.Ups, counters.Downs));
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task A_cut_cable_is_seen_by_both_ends_and_so_is_its_mending(string daemon)
    {
        await StartAsync(daemon, Every(200), Endpoint);
        await BothAsync(Every(200), Endpoint);
        await AgreedAsync(Endpoint, interval: 200, ourDetection: 600, theirDetection: 600);

        await _bed.CutAsync();
        var cut = BfdLoop.Now;
        await UntilAsync(() => Task.FromResult(_changes.Any(c => c is { State: BfdState.Down, Diagnostic: BfdDiagnostic.ControlDetectionTimeExpired })), SaidAsync);
        // A detection time, and what a busy machine takes to tell us.
        Assert.True(BfdLoop.Now - cut < TimeSpan.FromSeconds(3));
        await UntilAsync(async () => await _foreign!.FindAsync(Local) is { IsUp: false }, SaidAsync);

        await _bed.MendAsync();
        await BothAsync(Every(200), Endpoint);
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task A_session_that_we_switch_off_goes_down_there_at_once_and_comes_back(string daemon)
    {
        await StartAsync(daemon, Every(1000, 10), Endpoint);
        await BothAsync(Every(1000, 10), Endpoint);

        // Detection would take ten seconds.
        _engine.SetEnabled(Endpoint, false);
        var told = BfdLoop.Now;
        await UntilAsync(async () => await _foreign!.FindAsync(Local) is { IsUp: false }, SaidAsync);
        Assert.True(BfdLoop.Now - told < TimeSpan.FromSeconds(8));

        _engine.SetEnabled(Endpoint, true);
        await BothAsync(Every(1000, 10), Endpoint);
    }

    [SkippableFact]
    public async Task A_session_that_frr_switches_off_goes_down_here_at_once_and_is_no_failure()
    {
        await StartAsync("frr", Every(1000, 10), Endpoint);
        await BothAsync(Every(1000, 10), Endpoint);

        await _foreign!.SwitchAsync(false);
        await UntilAsync(() => Task.FromResult(_changes.Any(c => c is
        { State: BfdState.Down, RemoteState: BfdState.AdminDown, Diagnostic: BfdDiagnostic.NeighborSignaledSessionDown })), SaidAsync);

        await _foreign.SwitchAsync(true);
        await BothAsync(Every(1000, 10), Endpoint);
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task A_daemon_that_is_killed_is_missed_and_taken_back_when_it_is_there_again(string daemon)
    {
        await StartAsync(daemon, Every(100), Endpoint);
        await BothAsync(Every(100), Endpoint);

        await _foreign!.CrashAsync();
        await IsAsync(_engine, Endpoint, BfdState.Down);
        Assert.Equal(BfdDiagnostic.ControlDetectionTimeExpired, (await StatusAsync(_engine, Endpoint)).Diagnostic);

        await _foreign.StartAsync(Every(100), Endpoint);
        await BothAsync(Every(100), Endpoint);
    }

    [SkippableTheory]
    [MemberData(nameof(Daemons))]
    public async Task Sixty_four_sessions_are_up_at_a_time_and_stay_up(string daemon)
    {
        using (var ours = _bed.Ours.OpenLinks())
        {
            foreach (var endpoint in Many)
                ours.AddAddress(new LinkAddress(ours.Find("cable")!.Index, new Cidr(endpoint.Local, 24)));
        }
        await StartAsync(daemon, Every(200, 5), Many);
        foreach (var endpoint in Many)
            _engine.Watch(endpoint, Every(200, 5));
        await UntilAsync(async () => (await _engine.StatusAsync()).Count(s => s is { State: BfdState.Up, DetectionTime.TotalMilliseconds: 1000 }) == Many.Length, SaidAsync);
        foreach (var endpoint in Many)
            await UntilAsync(async () => await _foreign!.FindAsync(endpoint.Local) is { IsUp: true }, SaidAsync);

        var downs = (await _engine.StatusAsync()).Sum(s => s.Counters.Downs);
        await Task.Delay(TimeSpan.FromSeconds(3));

        Assert.Equal(downs, (await _engine.StatusAsync()).Sum(s => s.Counters.Downs));
    }

    private static BfdEndpoint[] Many { get; } =
        [.. Enumerable.Range(100, 64).Select(i => Endpoint with { Local = IpAddr.Parse(string.Create(CultureInfo.InvariantCulture, $"192.0.2.{i}")) })];

    private async Task StartAsync(string daemon, BfdParameters parameters, params BfdEndpoint[] endpoints)
    {
        _foreign = daemon == "bird" ? new BirdBfd(_bed.Theirs) : new FrrBfd(_bed.Theirs);
        Skip.IfNot(File.Exists(_foreign.Program), $"{_foreign.Program} is not installed");
        await _foreign.StartAsync(parameters, endpoints);
    }

    // Up on both ends.
    private async Task BothAsync(BfdParameters parameters, params BfdEndpoint[] endpoints)
    {
        foreach (var endpoint in endpoints)
            _engine.Watch(endpoint, parameters);
        foreach (var endpoint in endpoints)
        {
            await UntilAsync(async () => (await StatusAsync(_engine, endpoint)).State == BfdState.Up, SaidAsync);
            await UntilAsync(async () => await _foreign!.FindAsync(endpoint.Local) is { IsUp: true }, SaidAsync);
        }
    }

    private async Task AgreedAsync(BfdEndpoint endpoint, int interval, int ourDetection, int theirDetection)
    {
        var expected = new ForeignBfdSession(true, TimeSpan.FromMilliseconds(interval), TimeSpan.FromMilliseconds(theirDetection));
        await UntilAsync(async () => await _foreign!.FindAsync(endpoint.Local) == expected,
            async () => $"expected {expected}, it shows {await _foreign!.FindAsync(endpoint.Local)}\n{await SaidAsync()}");
        await UntilAsync(async () => await StatusAsync(_engine, endpoint) is var status && status.DetectionTime == TimeSpan.FromMilliseconds(ourDetection)
            && status.TransmitInterval == TimeSpan.FromMilliseconds(interval) && status.ReceiveInterval == status.TransmitInterval, SaidAsync);
    }

    private async Task<string> SaidAsync() => $"{string.Join('\n', await _engine.StatusAsync())}\n{_foreign?.Log}";
}
