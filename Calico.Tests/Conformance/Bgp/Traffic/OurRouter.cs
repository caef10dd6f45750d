using System.Text.Json;
using Calico.Tests.Ctl;

namespace Calico.Tests.Conformance.Bgp.Traffic;

/// <summary><c>calico-node bgp</c> that writes routes.</summary>
internal sealed class OurRouter(RouterPlace place) : ChainRouter(place)
{
    private string Socket => Path.Combine(Folder, "bgp.sock");

    public override async Task<bool> IsSettledAsync()
    {
        if (await JsonAsync("peers") is not { } peers || peers.Count(p => p.GetProperty("state").GetString() == "Established" && !p.GetProperty("restarting").GetBoolean()) != Sessions)
            return false;
        var routes = (await JsonAsync("routes") ?? []).Concat(await JsonAsync("routes", "--family", "ipv6") ?? []).ToList();
        return routes.Count > 0 && routes.All(r => !r.GetProperty("stale").GetBoolean());
    }

    public override async Task<string> ShowAsync()
    {
        using var runner = new CalicoctlRunner();
        return (await runner.RunAsync(["bgp", "peers", "--socket", Socket])).Output;
    }

    protected override async Task<string[]> CommandAsync(bool again)
    {
        var file = Path.Combine(Folder, "speaker.yaml");
        await File.WriteAllTextAsync(file, $$"""
            apiVersion: projectcalico.org/v3
            kind: BGPConfiguration
            metadata: {name: default}
            spec: {asNumber: {{Place.As}}, nodeToNodeMeshEnabled: false}
            ---
            apiVersion: projectcalico.org/v3
            kind: Node
            metadata: {name: router}
            spec:
              bgp: {ipv4Address: 192.0.2.{{Place.Host}}/24, ipv6Address: "fd00:192::{{Place.Host}}/64"}
            """ + Peer("other", $"192.0.2.{Place.OtherHost}", Place.OtherAs) + Peer("other6", $"fd00:192::{Place.OtherHost}", Place.OtherAs)
                + Peer("behind", Place.Behind, Place.BehindAs) + Peer("behind6", Place.Behind6, Place.BehindAs));
        File.Delete(Socket);
        return [Artifacts.Node(), "bgp", "--config", file, "--node", "router", "--socket", Socket];
    }

    private async Task<List<JsonElement>?> JsonAsync(params string[] what)
    {
        using var runner = new CalicoctlRunner();
        var result = await runner.RunAsync(["bgp", .. what, "-o", "json", "--socket", Socket]);
        return result.ExitCode == 0 ? [.. JsonDocument.Parse(result.Out).RootElement is { ValueKind: JsonValueKind.Array } all ? all.EnumerateArray()
            : JsonDocument.Parse(result.Out).RootElement.GetProperty(what[0]).EnumerateArray()] : null;
    }

    private static string Peer(string name, string address, uint asn) => $$"""

        ---
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata: {name: {{name}}}
        spec: {peerIP: "{{address}}", asNumber: {{asn}}}
        """;
}
