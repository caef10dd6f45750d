using System.Globalization;
using System.Text.Json;
using Calico.Actors.Bgp;
using Calico.Actors.Routing;
using Calico.Core.Bgp.Rib;
using Calico.Core.Model.Resources;

namespace Calico.Tests.Actors.Routing;

/// <summary>Replays the table of BGP resources and the sessions that Calico makes of them.</summary>
[Layer("unit")]
public class PeeringCaseTests
{
    private const string Table = "12-bgp-config/cases.json";

    // Their expectation stems from a later step that the table does not show: only names can be compared.
    private static readonly string[] OfUnknownSteps = ["sourceaddr_gracefulrestart__step3"];

    // What of a session both sides can say.
    private sealed record Session(string Name, string Neighbor, int Port, uint As, uint LocalAs, string? Source, bool Passive, bool Client, string? Cluster,
        NextHopMode NextHop, int? TtlHops, string? Password, int? Keepalive, int RestartTime, int AllowedOwnAs);

    [SkippableFact]
    public void Every_case_has_exactly_the_sessions_of_Calico()
    {
        var cases = Cases.Read(Table).EnumerateArray().ToList();
        var wrong = cases.SelectMany(Differences).ToList();

        Assert.NotEmpty(cases);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    private static IEnumerable<string> Differences(JsonElement test)
    {
        var id = test.GetProperty("id").GetString()!;
        var expected = new[] { "v4", "v6" }.SelectMany(f => test.GetProperty(f).GetProperty("peers").EnumerateArray()).ToList();
        var inputs = InputsOf(test, expected);
        if (!Peering.TryOf(inputs, out var config, out var why))
            return [$"{id}: no configuration: {why}"];
        if (config.RouterId.ToString() != test.GetProperty("v4").GetProperty("routerId").GetString())
            return [$"{id}: router id {config.RouterId}"];
        var all = config.Peers.Concat(config.Withheld.Select(w => w.Peer)).ToList();
        if (OfUnknownSteps.Contains(id))
            return Compare(id, all.Select(p => p.Name), expected.Select(e => e.GetProperty("name").GetString()!));
        return Compare(id, all.Select(p => Of(p, config).ToString()), expected.Select(e => Of(e, config).ToString()))
            .Concat(Compare(id, ListenPortOf(test), [config.ListenPort.ToString(CultureInfo.InvariantCulture)]));
    }

    private static IEnumerable<string> Compare(string id, IEnumerable<string> ours, IEnumerable<string> theirs)
    {
        var (a, b) = (ours.ToHashSet(), theirs.ToHashSet());
        return a.Except(b).Select(x => $"{id}: ours alone   {x}").Concat(b.Except(a).Select(x => $"{id}: theirs alone {x}"));
    }

    // The table names the node only by its address in some cases, and the passwords only in what came of them.
    private static PeeringInputs InputsOf(JsonElement test, List<JsonElement> expected)
    {
        var inputs = PeeringBed.Inputs(test.GetProperty("node").GetString()!, test.GetProperty("input").GetString()!);
        if (!inputs.Nodes.ContainsKey(inputs.Node))
            inputs = inputs with { Node = inputs.Nodes.Values.First(n => Peering.AddressOf(n, v4: true).ToString() == test.GetProperty("v4").GetProperty("routerId").GetString()).Name };
        var passwords = new Dictionary<(string, string), string>();
        foreach (var peer in inputs.Peers.Values.Where(p => p.Spec.Password?.SecretKeyRef is not null))
        {
            var reference = peer.Spec.Password!.SecretKeyRef!;
            foreach (var known in expected.Where(e => e.GetProperty("neighbor").GetString() == peer.Spec.PeerIP && e.TryGetProperty("password", out _)))
                passwords[(reference.Name!, reference.Key!)] = known.GetProperty("password").GetString()!;
        }
        var environment = test.TryGetProperty("env", out var env) && env.ValueKind == JsonValueKind.Object ? env : default;
        return inputs with
        {
            RouterId = environment.ValueKind == JsonValueKind.Object && environment.TryGetProperty("CALICO_ROUTER_ID", out var id) ? id.GetString() : null,
            Secret = (name, key) => passwords.GetValueOrDefault((name, key)),
        };
    }

    private static IEnumerable<string> ListenPortOf(JsonElement test) =>
        [test.GetProperty("v4").TryGetProperty("listen", out var listen) && listen.GetString()!.Split(' ') is [.., "port", var port] ? port : "179"];

    private static Session Of(PeerConfig peer, SpeakerConfig config) => new(peer.Name, peer.Address.ToString(), peer.Port, peer.As.Value,
        (peer.LocalAs ?? config.LocalAs).Value, peer.SourceAddress?.ToString(), peer.Passive, peer.ReflectorClient,
        peer.ReflectorClient ? config.ClusterId?.ToString() : null, peer.NextHopMode, peer.TtlSecurityHops, peer.Password,
        (int?)peer.KeepaliveTime?.TotalSeconds, (int)peer.RestartTime!.Value.TotalSeconds, peer.AllowedOwnAs);

    private static Session Of(JsonElement peer, SpeakerConfig config) => new(Text(peer, "name")!, Text(peer, "neighbor")!, Number(peer, "port") ?? 179,
        (uint)Number(peer, "as")!, (uint?)Number(peer, "localAs") ?? config.LocalAs.Value, Text(peer, "sourceAddress"), peer.TryGetProperty("passive", out _),
        peer.TryGetProperty("rrClient", out _), Text(peer, "rrClusterId"),
        peer.TryGetProperty("nextHopSelf", out _) ? NextHopMode.Self : peer.TryGetProperty("nextHopKeep", out _) ? NextHopMode.Keep : NextHopMode.Auto,
        Text(peer, "ttlSecurity") == "on" ? Number(peer, "multihop") : null, Text(peer, "password"), Number(peer, "keepaliveTime"),
        Number(peer, "gracefulRestart") ?? 120, Number(peer, "allowLocalAs") ?? 0);

    private static string? Text(JsonElement of, string name) =>
        !of.TryGetProperty(name, out var value) ? null : value.ValueKind == JsonValueKind.String ? value.GetString() : value.GetRawText();

    // Some are written with their keyword, as in "time 10".
    private static int? Number(JsonElement of, string name) =>
        Text(of, name)?.Split(' ')[^1] is { Length: > 0 } text && int.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : null;
}
