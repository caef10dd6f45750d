using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Calico.Core.Net;

namespace Calico.Node.Lab.Check;

/// <summary>What comes from outside and is wrong gets a clear answer, and nobody else notices.</summary>
internal static class BadInputSteps
{
    private const string TinyPool = "lab-tiny";
    private const string TinyCidr = "10.66.0.0/30";
    private static readonly LabPod Stranger = new("shop", "stranger", "node1", "lab-stranger", "");

    public static async Task RunAsync(CheckRun run)
    {
        await run.StepAsync("malformed CNI configuration: code 6", () => ExpectCodeAsync(run, 6, "decode", "{\"cniVersion\": \"1.0.0\", \"name\":"));
        await run.StepAsync("unknown CNI version: code 1 and the versions that do", () =>
            ExpectCodeAsync(run, 1, "1.0.0", Configuration(run, c => c["cniVersion"] = "9.9.9")));
        await run.StepAsync("wrong type in the CNI configuration: code 6 and the key", () =>
            ExpectCodeAsync(run, 6, "'mtu'", Configuration(run, c => c["mtu"] = "many")));
        await run.StepAsync("missing network namespace: code 8 and the path", () =>
            ExpectCodeAsync(run, 8, "/run/netns/nowhere", Configuration(run, _ => { }), "/run/netns/nowhere"));
        await run.StepAsync("unknown pool: an error that names it", () =>
            ExpectCodeAsync(run, null, "no-such-pool", Configuration(run, c => c["ipam"]!["ipv4_pools"] = new JsonArray("no-such-pool"))));
        await run.StepAsync("exhausted pool: an error that names it, and no address twice", () => ExhaustAsync(run));
        await run.StepAsync("broken selector: refused with its place", () => BrokenSelectorAsync(run));
        await run.StepAsync("garbage on port 179: sessions stay", () => GarbageOnBgpAsync(run));
        await run.StepAsync("garbage on the CNI socket: the next call is served", () => GarbageOnCniAsync(run));
        await run.StepAsync("the block of a pool that was deleted is given back, and nobody routes it any more", () => GivenBackAsync(run));
        await run.StepAsync("after all that every pod reaches every other", () => ConnectivitySteps.AllReachAllAsync(run, ConnectivitySteps.Web));
        await run.StepAsync("and every agent is ready", async () =>
        {
            foreach (var node in run.Lab.State.AllNodes)
            {
                using var inside = run.Lab.Topology.OpenNode(node.Name);
                var (ok, text) = await NodeHttp.TryGetAsync(inside, 9099, "/readiness");
                CheckRun.Require(ok, $"{node.Name}: {text}");
            }
        });
    }

    private static string Configuration(CheckRun run, Action<JsonObject> change)
    {
        var configuration = run.Lab.Pods.Configuration(Stranger, null);
        change(configuration);
        return configuration.ToJsonString();
    }

    private static async Task<string> ExpectCodeAsync(CheckRun run, int? code, string mentioned, string configuration, string? netns = null)
    {
        run.Lab.Topology.CreatePod(Stranger.Id);
        try
        {
            var (exit, output, _) = await run.Lab.Pods.RunShimAsync("ADD", Stranger, configuration, netns);
            CheckRun.Require(exit != 0, $"the plugin accepted it: {output}");
            var error = JsonNode.Parse(output)!;
            CheckRun.Require(code is null || error["code"]!.GetValue<int>() == code, $"code {error["code"]}: {error["msg"]}");
            CheckRun.Require($"{error["msg"]} {error["details"]}".Contains(mentioned, StringComparison.Ordinal), $"'{mentioned}' is not mentioned: {error["msg"]}");
            return error["msg"]!.GetValue<string>();
        }
        finally
        {
            run.Lab.Topology.RemovePod(Stranger.Id);
        }
    }

    private static async Task<string> ExhaustAsync(CheckRun run)
    {
        await run.Lab.Ctl.ApplyTextAsync(new JsonObject
        {
            ["apiVersion"] = "projectcalico.org/v3",
            ["kind"] = "IPPool",
            ["metadata"] = new JsonObject { ["name"] = TinyPool },
            ["spec"] = new JsonObject { ["cidr"] = TinyCidr, ["blockSize"] = 30, ["nodeSelector"] = "all()" },
        }.ToJsonString());
        var made = new List<LabPod>();
        try
        {
            string? refusal = null;
            for (var i = 0; i < 5 && refusal is null; i++)
            {
                try
                {
                    made.Add(await run.Lab.AddPodAsync(new PodRequest(new PodId("other", $"tiny{i}"), "node2") { Pool = TinyPool }));
                }
                catch (LabException e)
                {
                    refusal = e.Message;
                }
            }
            CheckRun.Require(refusal is not null, "a pool of four addresses gave five");
            CheckRun.Require(made.Count == 4, $"a pool of four addresses gave only {made.Count}: {refusal}");
            CheckRun.Require(made.DistinctBy(p => p.Address).Count() == made.Count, $"addresses were given twice: {string.Join(' ', made.Select(p => p.Address))}");
            CheckRun.Require(refusal!.Contains(TinyPool, StringComparison.Ordinal) || refusal.Contains(TinyCidr, StringComparison.Ordinal),
                $"the pool is not named: {refusal}");
            return refusal;
        }
        finally
        {
            foreach (var pod in made)
                await run.Lab.RemovePodAsync(pod.Id);
            await run.Lab.Ctl.RunAsync(null, "delete", "ippool", TinyPool);
        }
    }

    private static async Task GivenBackAsync(CheckRun run) => await CheckRun.UntilRightAsync(TimeSpan.FromSeconds(90), () =>
    {
        var routed = run.Lab.State.AllNodes.Where(n => NodeRoutes.Read(run.Lab.Topology, n).Others.Any(r => r.Key.Destination == Cidr.Parse(TinyCidr)))
            .Select(n => n.Name).ToList();
        return Task.FromResult(routed.Count == 0 ? "" : $"{TinyCidr} is routed by {string.Join(", ", routed)}");
    });

    private static async Task<string> BrokenSelectorAsync(CheckRun run)
    {
        var (exit, output, errors) = await run.Lab.Ctl.RunAsync("""
            apiVersion: projectcalico.org/v3
            kind: GlobalNetworkPolicy
            metadata: {name: lab-broken}
            spec: {selector: "app == ", types: [Ingress]}
            """, "apply", "-f", "-");
        CheckRun.Require(exit != 0, $"it was accepted: {output}");
        var message = $"{errors}{output}".Trim();
        CheckRun.Require(message.Contains("selector", StringComparison.OrdinalIgnoreCase), $"the selector is not mentioned: {message}");
        return message.Split('\n')[0];
    }

    private static async Task<string> GarbageOnBgpAsync(CheckRun run)
    {
        foreach (var node in run.Lab.State.AllNodes)
        {
            using var router = run.Lab.Topology.OpenRouter();
            for (var i = 0; i < 5; i++)
            {
                using var socket = router.Run(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
                using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(2));
                try
                {
                    await socket.ConnectAsync(new IPEndPoint(node.Address.Address.ToIPAddress(), 179), limit.Token);
                    await socket.SendAsync(RandomNumberGenerator.GetBytes(1000), limit.Token);
                    await socket.ReceiveAsync(new byte[64], limit.Token);
                }
                catch (Exception e) when (e is SocketException or OperationCanceledException)
                {
                    // Refused, reset or ignored: all of them are good answers.
                }
            }
        }
        await run.Lab.UntilSessionsAsync(run.Lab.State.AllNodes);
        return "every session of the router is established";
    }

    private static async Task<string> GarbageOnCniAsync(CheckRun run)
    {
        var path = run.Lab.Place.NodeSocket("node1");
        for (var i = 0; i < 20; i++)
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(2));
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), limit.Token);
                await socket.SendAsync(RandomNumberGenerator.GetBytes(i * 50), limit.Token);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // Closed at the first wrong byte.
            }
        }
        var pod = await run.Lab.AddPodAsync(new PodRequest(new PodId("other", "after"), "node1"));
        await run.Lab.RemovePodAsync(pod.Id);
        return pod.Address;
    }
}
