using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Tests.Core.Policy;

/// <summary>
/// Kubernetes network policy conformance: the truth tables of case table 07 and the event lists of 08, decided by the
/// graph and by the rendered rules, which must agree on every cell.
/// </summary>
[Layer("conformance")]
public class KubernetesPolicyCasesTests
{
    private static readonly (string Ns, string Name, string Ip)[] Fixture =
    [
        ("x", "a", "10.65.0.10"), ("x", "b", "10.65.0.13"), ("x", "c", "10.65.0.16"), ("y", "a", "10.65.0.26"), ("y", "b", "10.65.0.29"),
        ("y", "c", "10.65.0.32"), ("z", "a", "10.65.0.50"), ("z", "b", "10.65.0.53"), ("z", "c", "10.65.0.56"),
    ];

    private static readonly (string Name, int Port, string Protocol)[] Ports =
        [.. from port in new[] { 80, 81 } from protocol in new[] { "TCP", "UDP", "SCTP" } select ($"serve-{port}-{protocol.ToLowerInvariant()}", port, protocol)];

    [SkippableFact]
    public void Every_cell_of_the_cyclonus_truth_tables_is_right()
    {
        var cells = 0;
        foreach (var test in Cases.Read("07-cyclonus/cases.json").EnumerateArray())
        {
            var world = new KubeWorld();
            foreach (var ns in new[] { "x", "y", "z" })
                world.Namespace(ns, [new("ns", ns)]);
            foreach (var (ns, name, ip) in Fixture)
                world.Pod(ns, name, ip, [new("pod", name)], Ports);
            foreach (var (step, index) in test.GetProperty("steps").EnumerateArray().Select((s, i) => (s, i)))
            {
                foreach (var action in step.GetProperty("actions").EnumerateArray())
                    Apply(world, action.EnumerateObject().Single());
                world.World.Settle();
                cells += AssertMatrix(world, step, $"{test.GetProperty("id")} step {index}");
            }
        }
        Assert.True(cells > 30_000, $"{cells} cells");
    }

    [SkippableFact]
    public void Every_connection_of_the_Kubernetes_e2e_scenarios_is_right()
    {
        var connections = 0;
        foreach (var scenario in Cases.Read("08-k8s-e2e-netpol/cases.json").EnumerateArray())
        {
            var world = new KubeWorld();
            var services = new Dictionary<string, (string Ns, string Name)>();
            world.Namespace("nsA", [new("e2e-run", "1")]);
            var address = 10;
            foreach (var step in scenario.GetProperty("steps").EnumerateArray())
            {
                var kind = step.EnumerateObject().First(p => p.Name != "expect");
                if (kind.Name is not ("connect" or "createClient"))
                {
                    Apply(world, kind, services, ref address);
                    continue;
                }
                var client = kind.Value.TryGetProperty("from", out var from) ? from : kind.Value;
                var id = (Text(client, "namespace"), Text(client, "name"));
                world.Pod(id.Item1, id.Item2, $"10.65.0.{++address}", Labels(client), []);
                world.World.Settle();
                if (kind.Name != "connect")
                    continue;
                var target = services[$"{Text(kind.Value.GetProperty("to"), "namespace")}/{Text(kind.Value.GetProperty("to"), "service")}"];
                var actual = world.Connects(id, target, Text(kind.Value, "protocol"), kind.Value.GetProperty("port").GetInt32());
                Assert.True(actual == (Text(step, "expect") == "allow"), $"{scenario.GetProperty("name")}: {kind.Value}");
                connections++;
            }
        }
        Assert.True(connections > 50, $"{connections} connections");
    }

    private static void Apply(KubeWorld world, JsonProperty action)
    {
        var value = action.Value;
        switch (action.Name)
        {
            case "CreatePolicy" or "UpdatePolicy":
                world.Policy(value);
                break;
            case "DeletePolicy":
                world.DeletePolicy(Text(value, "Namespace"), Text(value, "Name"));
                break;
            case "CreateNamespace" or "SetNamespaceLabels":
                world.Namespace(Text(value, "Namespace"), Labels(value, "Labels"));
                break;
            case "DeleteNamespace":
                world.DeleteNamespace(Text(value, "Namespace"));
                break;
            case "CreatePod":
                world.Pod(Text(value, "Namespace"), Text(value, "Pod"), Text(value, "ip"), Labels(value, "Labels"), Ports);
                break;
            case "SetPodLabels":
                world.PodLabels(Text(value, "Namespace"), Text(value, "Pod"), _ => Node(value.GetProperty("Labels")));
                break;
            case "DeletePod":
                world.DeletePod(Text(value, "Namespace"), Text(value, "Pod"));
                break;
            case "ReadNetworkPolicies":
                break;
            default:
                throw new NotSupportedException(action.Name);
        }
    }

    private static void Apply(KubeWorld world, JsonProperty step, Dictionary<string, (string, string)> services, ref int address)
    {
        var value = step.Value;
        switch (step.Name)
        {
            case "createNamespace" or "updateNamespace":
                world.Namespace(Text(value, "name"), Labels(value));
                break;
            case "createServer":
                var (ns, name) = (Text(value, "namespace"), Text(value, "name"));
                world.Pod(ns, name, $"10.65.0.{++address}", Labels(value), value.GetProperty("ports").EnumerateArray()
                    .Select(p => (Text(p, "name"), p.GetProperty("port").GetInt32(), Text(p, "protocol"))));
                services[$"{ns}/{Text(value, "service")}"] = (ns, name);
                break;
            case "createPolicy" or "updatePolicy":
                world.Policy(value);
                break;
            case "deletePolicy":
                world.DeletePolicy(Text(value, "namespace"), Text(value, "name"));
                break;
            case "patchPodLabels":
                world.PodLabels(Text(value, "namespace"), Text(value, "name"), labels =>
                {
                    var key = Text(value, "path").Split('/')[^1];
                    if (Text(value, "op") == "remove")
                        labels.Remove(key);
                    else
                        labels[key] = value.GetProperty("value").ValueKind == JsonValueKind.String ? Text(value, "value") : "";
                    return labels;
                });
                break;
            case "deletePod":
                world.DeletePod(Text(value, "namespace"), Text(value, "name"));
                break;
            default:
                throw new NotSupportedException(step.Name);
        }
    }

    private static int AssertMatrix(KubeWorld world, JsonElement step, string where)
    {
        var pods = step.GetProperty("pods").EnumerateArray().Select(p => p.GetString()!.Split('/')).Select(p => (p[0], p[1])).ToList();
        var cells = 0;
        foreach (var group in step.GetProperty("expected").EnumerateArray())
        {
            var rows = group.GetProperty("matrix").EnumerateArray().Select(r => r.GetString()!).ToList();
            foreach (var probe in group.GetProperty("ports").EnumerateArray().Select(p => p.GetString()!.Split('/')))
            {
                for (var i = 0; i < pods.Count; i++)
                {
                    for (var j = 0; j < pods.Count; j++)
                    {
                        if (i == j)
                            continue;
                        cells++;
                        var actual = world.Connects(pods[i], pods[j], probe[0], int.Parse(probe[1]));
                        Assert.True(actual == (rows[i][j] == '.'), $"{where}: {pods[i]} -> {pods[j]} {probe[0]}/{probe[1]} is {actual}");
                    }
                }
            }
        }
        return cells;
    }

    private static string Text(JsonElement parent, string name) => parent.GetProperty(name).GetString()!;

    private static IEnumerable<KeyValuePair<string, string>> Labels(JsonElement parent, string name = "labels") =>
        parent.TryGetProperty(name, out var labels) && labels.ValueKind == JsonValueKind.Object
            ? labels.EnumerateObject().Select(l => new KeyValuePair<string, string>(l.Name, l.Value.GetString() ?? ""))
            : [];

    private static JsonObject Node(JsonElement json) => JsonNode.Parse(json.GetRawText())!.AsObject();
}
