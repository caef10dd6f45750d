using Calico.Tests.Conformance.Bgp.Interop;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bgp.Traffic;

/// <summary>
/// A router's speaker goes and comes back while packets flow through the router every few milliseconds: none is lost, because
/// nobody takes a route from a kernel before it is known that it is wanted no more.
/// </summary>
[Layer("conformance")]
public sealed class RestartTrafficTests(ITestOutputHelper output) : IAsyncLifetime
{
    private static readonly TimeSpan Dead = TimeSpan.FromSeconds(2);

    private readonly RouterChain _chain = new();
    private readonly List<ChainRouter> _routers = [];
    private IReadOnlyList<UdpFlow> _flows = [];

    /// <summary>Router 1, which goes; how; router 2, which helps.</summary>
    public static TheoryData<string, string, string> Restarts => new()
    {
        { "calico", "kill -9", "calico" },
        { "calico", "SIGTERM", "calico" },
        { "calico", "kill -9", "bird" },
        { "calico", "SIGTERM", "bird" },
        { "bird", "kill -9", "calico" },
    };

    [SkippableTheory]
    [MemberData(nameof(Restarts))]
    public async Task No_packet_is_lost_and_what_left_meanwhile_is_gone_afterwards(string first, string how, string second)
    {
        await StartAsync(first, second);
        var changes = await Task.WhenAll(_routers.Select(r => _chain.WatchAsync(r.Ns)));

        await (how == "SIGTERM" ? _routers[0].TerminateAsync() : _routers[0].KillAsync());
        await Task.Delay(Dead);
        await _chain.LeaveAsync();
        foreach (var router in _routers)
            Assert.Equal(All, await RouterChain.KernelAsync(router.Ns));
        await _routers[0].StartAsync(again: true);
        await SettledAsync();
        await KernelsHaveAsync([.. RouterChain.Lasting.Order(StringComparer.Ordinal)]);
        await Task.Delay(Dead);

        foreach (var (flow, sent, lost, refused) in await StopAsync())
        {
            Assert.True(lost.Count == 0, $"{flow.Name}: {lost.Count} of {sent} lost: {string.Join(", ", lost.Take(20))}; refused: {string.Join(", ", refused.Take(20))}\n{await SaidAsync()}");
        }
        // Adopted: the one route that left is all that was written. What BIRD rewrites is BIRD's, and what the kernel adds for an address
        // whose duplicate detection ends meanwhile is the kernel's.
        foreach (var (router, seen) in _routers.Zip(changes).Where(r => r.First is OurRouter))
            Assert.StartsWith($"Deleted {RouterChain.Leaving} ", Assert.Single(seen(), l => l.Contains(" proto ", StringComparison.Ordinal) && !l.Contains(" proto kernel ", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_speaker_that_says_goodbye_is_no_restart_and_the_packets_to_its_side_are_lost()
    {
        await StartAsync("bird", "calico");

        // BIRD's way to end: a NOTIFICATION.
        await _routers[0].TerminateAsync();
        await UntilAsync(async () => !(await RouterChain.KernelAsync(_routers[1].Ns)).Contains("10.1.0.0/24"), "router 2 has no way to host 1");
        await Task.Delay(Dead);
        await _routers[0].StartAsync(again: true);
        await SettledAsync();
        await KernelsHaveAsync(All);

        foreach (var (flow, _, lost, _) in await StopAsync())
            Assert.Equal((flow.Name, flow.Name.Contains("-> 10.1.0.1", StringComparison.Ordinal) || flow.Name.Contains("-> fd00:1::1", StringComparison.Ordinal)), (flow.Name, lost.Count > 0));
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var flow in _flows)
            await flow.DisposeAsync();
        foreach (var router in _routers)
            await router.DisposeAsync();
        await _chain.DisposeAsync();
    }

    private static string[] All { get; } = [.. RouterChain.Lasting.Append(RouterChain.Leaving).Order(StringComparer.Ordinal)];

    private async Task StartAsync(string first, string second)
    {
        Skip.IfNot(BirdDaemon.IsInstalled, "bird2 is not installed");
        await _chain.PrepareAsync();
        _routers.AddRange([ChainRouter.Of(first, _chain.Place(1)), ChainRouter.Of(second, _chain.Place(2))]);
        foreach (var router in _routers)
            await router.StartAsync();
        await SettledAsync();
        await KernelsHaveAsync(All);
        _flows = _chain.StartFlows();
        await UntilAsync(() => Task.FromResult(_flows.All(f => f.Flows)), "packets flow");
    }

    private async Task<List<(UdpFlow Flow, int Sent, IReadOnlyList<int> Lost, IReadOnlyList<string> Refused)>> StopAsync()
    {
        List<(UdpFlow, int, IReadOnlyList<int>, IReadOnlyList<string>)> counts = [];
        foreach (var flow in _flows)
        {
            var (sent, lost, refused) = await flow.StopAsync();
            output.WriteLine($"{flow.Name}: {sent} sent, {lost.Count} lost");
            counts.Add((flow, sent, lost, refused));
        }
        return counts;
    }

    private Task SettledAsync() => UntilAsync(async () =>
    {
        foreach (var router in _routers)
        {
            if (!await router.IsSettledAsync())
                return false;
        }
        return true;
    }, "all sessions are up and no restart is left");

    private async Task KernelsHaveAsync(string[] prefixes)
    {
        foreach (var router in _routers)
            await UntilAsync(async () => prefixes.SequenceEqual(await RouterChain.KernelAsync(router.Ns)), $"the kernel of {router.Ns} has {string.Join(", ", prefixes)} and no other");
    }

    private Task UntilAsync(Func<Task<bool>> condition, string what) => InteropBed.UntilAsync(condition, async () => $"{what}\n{await SaidAsync()}");

    private async Task<string> SaidAsync()
    {
        var said = "";
        foreach (var router in _routers)
            said += $"{router.Ns}: {string.Join(", ", await RouterChain.KernelAsync(router.Ns))}\n{await router.ShowAsync()}\n{router.Log}\n";
        return said;
    }
}
