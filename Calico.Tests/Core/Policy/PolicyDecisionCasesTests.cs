using System.Text.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Index;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy;

/// <summary>
/// Random Calico policy sets over a fixed cluster (case table 15): tiers, order, Pass, Log, network sets, negations.
/// Every pod pair on four ports is decided by the graph and by the rendered rules, each direction by itself.
///
/// The table's description of the cluster is not part of what we were given. The one below was recovered from the
/// answers: a search over labels, ports and set members until all 12,320 verdicts of the 55 cases agreed with a small
/// independent evaluator. It decides like the original, but names and unused details are ours.
/// </summary>
[Layer("conformance")]
public class PolicyDecisionCasesTests
{
    private static readonly (string Name, (string, string)[] Labels)[] Namespaces =
    [
        ("alpha", [("team", "red"), ("env", "prod")]),
        ("beta", [("env", "prod")]),
        ("gamma", []),
    ];

    private static readonly (string Ns, string Ip, (string, string)[] Labels, NamedPort[] Ports)[] Pods =
    [
        ("alpha", "10.66.1.10", [("app", "web"), ("tier", "fe")], [Alt(8080), Dns]),
        ("alpha", "10.66.1.11", [("app", "db"), ("tier", "be")], [Alt(8080), Dns]),
        ("alpha", "10.66.1.12", [("app", "other")], [Alt(8080), Dns]),
        ("beta", "10.66.2.13", [("app", "web"), ("tier", "fe"), ("canary", "true"), ("zone", "c")], [Alt(80)]),
        ("beta", "10.66.2.14", [("app", "api"), ("tier", "be")], [Alt(8080)]),
        ("gamma", "10.66.3.15", [("app", "db"), ("tier", "be"), ("zone", "b")], [Http, Alt(8080), Dns]),
        ("gamma", "10.66.3.16", [("job", "nightly")], [Http, Alt(80), Dns]),
        ("gamma", "10.66.3.17", [], [Http, Dns]),
    ];

    private static readonly (string? Ns, string Nets, (string, string)[] Labels)[] Sets =
    [
        ("gamma", "10.66.3.15/32", [("zone", "a"), ("app", "db")]),
        ("beta", "10.66.2.13/32 10.66.2.14/32 10.66.3.16/32", [("zone", "c")]),
        (null, "10.66.3.15/32", [("zone", "b"), ("app", "db")]),
        (null, "10.66.1.0/24", [("zone", "a")]),
        ("alpha", "10.66.1.10/32 10.66.1.12/32", [("zone", "a")]),
    ];

    private static NamedPort Http => new("http", IpProtocol.Tcp, 80);
    private static NamedPort Dns => new("dns", IpProtocol.Udp, 53);

    private static NamedPort Alt(ushort port) => new("alt", IpProtocol.Tcp, port);

    [SkippableFact]
    public void Every_verdict_is_the_oracles_by_graph_and_by_rules()
    {
        var cells = 0;
        foreach (var test in Cases.Read("15-calico-policy-decisions/cases.json").EnumerateArray())
        {
            var world = Cluster();
            foreach (var tier in test.GetProperty("tiers").EnumerateArray())
            {
                var compiled = PolicyCompiler.TierOf((Tier)ResourceDefaults.Apply(ResourceCodec.ParseStrict(tier)));
                world.Put("tier/" + compiled.Name, compiled);
            }
            foreach (var (policy, index) in test.GetProperty("policies").EnumerateArray().Select((p, i) => (p, i)))
                world.Put($"policy/{index}", Compiled(policy));
            world.Settle();
            foreach (var group in test.GetProperty("expected").EnumerateArray())
                cells += AssertMatrix(world, group, test.GetProperty("id").GetString()!);
        }
        Assert.True(cells >= 12_320, $"{cells} cells");
    }

    private static int AssertMatrix(PolicyWorld world, JsonElement group, string test)
    {
        var rows = group.GetProperty("matrix").EnumerateArray().Select(r => r.GetString()!).ToList();
        var cells = 0;
        foreach (var probe in group.GetProperty("ports").EnumerateArray().Select(p => p.GetString()!.Split('/')))
        {
            Assert.True(IpProtocol.TryParse(probe[0], out var protocol));
            for (var i = 0; i < Pods.Length; i++)
            {
                for (var j = 0; j < Pods.Length; j++)
                {
                    if (i == j)
                        continue;
                    var packet = new PolicyPacket(IpAddr.Parse(Pods[i].Ip), IpAddr.Parse(Pods[j].Ip), protocol, 40000, int.Parse(probe[1]));
                    var where = $"{test} {i} -> {j} {probe[0]}/{probe[1]}";
                    Assert.Equal($"{where} {rows[i][j]}", $"{where} {Letter(world.Decide(Id(i), Id(j), packet))}");
                    Assert.Equal($"{where} rules {rows[i][j]}", $"{where} rules {Letter(world.Walk(Id(i), Id(j), packet))}");
                    cells++;
                }
            }
        }
        return cells;
    }

    private static char Letter((bool Egress, bool Ingress) verdict) => verdict switch
    {
        (true, true) => '.',
        (false, true) => 'E',
        (true, false) => 'I',
        _ => 'B',
    };

    private static PolicyWorld Cluster()
    {
        var world = new PolicyWorld();
        foreach (var (name, labels) in Namespaces)
        {
            world.Put("profile/kns." + name, Profile("kns." + name, [.. labels.Select(l => ("pcns." + l.Item1, l.Item2)),
                ("pcns.projectcalico.org/name", name), ("pcns.kubernetes.io/metadata.name", name)]));
        }
        for (var i = 0; i < Pods.Length; i++)
            world.Put("wep/" + i, Workload(Pods[i].Ns, $"pod{i}", [Pods[i].Ip], [.. Pods[i].Ports], Pods[i].Labels));
        foreach (var ((ns, nets, labels), i) in Sets.Select((s, i) => (s, i)))
        {
            var set = NetSet(nets, ns is null ? labels : [.. labels, ("projectcalico.org/namespace", ns)]);
            world.Put("netset/" + i, ns is null ? set : set with { Profiles = ["kns." + ns] });
        }
        return world;
    }

    private static string Id(int pod) => $"{Pods[pod].Ns}/pod{pod}";

    private static CompiledPolicy Compiled(JsonElement json)
    {
        var policy = (ITieredPolicy)ResourceDefaults.Apply(ResourceCodec.ParseStrict(json));
        Assert.True(PolicyCompiler.TryCompile(policy, 1, out var compiled, out var error), error);
        return compiled!;
    }
}
