using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Node.Lab.Check;

/// <summary>
/// A link that breaks without a sign, while a second way leads to the same network: BFD has the traffic move long before the hold
/// time is over. The lab has one router; the step makes two more beside it and removes them again.
/// </summary>
internal static class CutLinkSteps
{
    private static readonly LabNode Node = new(1);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan HoldTime = TimeSpan.FromSeconds(Uplink.HoldSeconds);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(5);

    // Nothing is timed to the millisecond on a busy machine. Without BFD it is the hold time, or two thirds of it at least: the peer's last
    // keepalive is at most a third of it old.
    private static readonly TimeSpan Longest = HoldTime / 3;

    public static async Task RunAsync(CheckRun run)
    {
        Uplink[] uplinks = [new(run.Lab, Node, 1), new(run.Lab, Node, 2)];
        var peers = new JsonArray([.. uplinks.Select(u => u.Peer())]).ToJsonString();
        try
        {
            if (!await run.StepAsync($"{Node.Name} has two ways to {Uplink.Network}, watched by BFD with {Uplink.Watch}", () => StartAsync(run, uplinks, peers)))
                return;
            if (await run.StepAsync("the link of the first is cut without a sign: BFD has the traffic take the second", () => CutAsync(run, uplinks)))
                await run.StepAsync("the link is mended: the traffic is back on it", () => MendAsync(run, uplinks));
        }
        finally
        {
            await run.StepAsync("both ways are removed: neither session nor route is left", () => RemoveAsync(run, uplinks, peers));
        }
    }

    private static async Task StartAsync(CheckRun run, Uplink[] uplinks, string peers)
    {
        foreach (var uplink in uplinks)
            await uplink.StartAsync();
        await run.Lab.Ctl.ApplyTextAsync(peers);
        await UntilOverAsync(run, uplinks, uplinks[0]);
    }

    private static async Task<string> CutAsync(CheckRun run, Uplink[] uplinks)
    {
        await using var flow = Flow(run);
        await AnsweredAsync(flow);
        var detection = (await PeerAsync(run, uplinks[0]))!.Value.GetProperty("bfd").GetProperty("detectionTime").GetDouble();
        run.Lab.Topology.SetUplink(uplinks[0].Name, joined: false);
        // What was answered before the cut is no sign of the second way.
        await CheckRun.UntilRightAsync(Limit, () => Task.FromResult(Via(run) == uplinks[1].Address ? "" : $"the route goes via {Via(run)?.ToString() ?? "nothing"}"));
        await AnsweredAsync(flow);

        var count = await flow.StopAsync();
        CheckRun.Require(count.Lost.Count > 0, "no packet was lost, so nothing was cut");
        CheckRun.Require(count.Gap < Longest, string.Create(CultureInfo.InvariantCulture, $"nothing passed for {count.Gap.TotalSeconds:0.0} s; the hold time is {HoldTime.TotalSeconds:0} s"));
        await CheckRun.UntilRightAsync(Limit, async () => await PeerAsync(run, uplinks[0]) is { } peer && peer.GetProperty("pathFailures").GetInt32() > 0
            ? "" : $"the session with {uplinks[0].Name} was not ended by BFD");
        return string.Create(CultureInfo.InvariantCulture,
            $"{count.Lost.Count} of {count.Sent} packets lost, a gap of {count.Gap.TotalMilliseconds:0} ms; detection time {detection:0} ms, hold time {HoldTime.TotalSeconds:0} s");
    }

    private static async Task<string> MendAsync(CheckRun run, Uplink[] uplinks)
    {
        await using var flow = Flow(run);
        await AnsweredAsync(flow);
        run.Lab.Topology.SetUplink(uplinks[0].Name, joined: true);
        await UntilOverAsync(run, uplinks, uplinks[0]);
        await AnsweredAsync(flow);
        var count = await flow.StopAsync();
        return $"{count.Lost.Count} of {count.Sent} packets lost";
    }

    private static async Task RemoveAsync(CheckRun run, Uplink[] uplinks, string peers)
    {
        await run.Lab.Ctl.DeleteTextAsync(peers);
        foreach (var uplink in uplinks)
            await uplink.RemoveAsync();
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            foreach (var uplink in uplinks)
            {
                if (await PeerAsync(run, uplink) is not null)
                    return $"{Node.Name} still has a session with {uplink.Name}";
            }
            var holders = run.Lab.State.AllNodes.Where(n => Via(run, n) is not null).Select(n => n.Name).ToList();
            return holders.Count == 0 ? "" : $"a route to {Uplink.Network} is left on {string.Join(", ", holders)}";
        });
    }

    private static PingFlow Flow(CheckRun run) =>
        PingFlow.Start(run.Lab.Topology, run.Lab.State.WiredPods.First(p => p.Node == Node.Name), Uplink.Target, Interval);

    // Ten more packets from now on.
    private static async Task AnsweredAsync(PingFlow flow)
    {
        var before = flow.Answered;
        await CheckRun.UntilRightAsync(Limit, () => Task.FromResult(flow.Answered >= before + 10 ? "" : $"{flow.Name}: {flow.Answered} of {flow.Sent} packets were answered"));
    }

    // All sessions and their BFD are up, and the kernel's way is the first.
    private static Task UntilOverAsync(CheckRun run, Uplink[] uplinks, Uplink first) => CheckRun.UntilRightAsync(Limit, async () =>
    {
        foreach (var uplink in uplinks)
        {
            if (await PeerAsync(run, uplink) is not { } peer)
                return $"{Node.Name} has no session with {uplink.Name}";
            var state = peer.GetProperty("state").GetString();
            var bfd = peer.GetProperty("bfd") is { ValueKind: JsonValueKind.Object } watched ? watched.GetProperty("state").GetString() : "not watched";
            if ((state, bfd) != ("Established", "Up"))
                return $"the session with {uplink.Name} is {state}, its BFD {bfd}";
        }
        return Via(run) == first.Address ? "" : $"the route to {Uplink.Network} goes via {Via(run)?.ToString() ?? "nothing"}, not via {first.Address}";
    });

    private static Core.Net.IpAddr? Via(CheckRun run, LabNode? node = null) => NodeRoutes.Read(run.Lab.Topology, node ?? Node).Others
        .FirstOrDefault(r => r.Key.Destination == Uplink.Network) is { NextHops: [var hop, ..] } ? hop.Gateway : null;

    // What the node's own agent says; null without such a session.
    private static async Task<JsonElement?> PeerAsync(CheckRun run, Uplink uplink)
    {
        var (exit, output, errors) = await run.Lab.Ctl.RunOnNodeAsync(Node.Name, "bgp", "peers", "-o", "json");
        if (exit != 0)
            throw new CheckFailedException($"calicoctl bgp peers: {errors}{output}".Trim());
        using var document = JsonDocument.Parse(output);
        return document.RootElement.GetProperty("peers").EnumerateArray().Cast<JsonElement?>()
            .FirstOrDefault(p => p!.Value.GetProperty("address").GetString() == uplink.Address.ToString())?.Clone();
    }
}
