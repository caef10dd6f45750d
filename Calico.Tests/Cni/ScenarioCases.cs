using System.Globalization;
using System.Text.Json.Nodes;
using Calico.Actors.Cni;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore.Kubernetes;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;
using Calico.Tests.Datastore.Kubernetes.Fake;

namespace Calico.Tests.Cni;

/// <summary>What the plugin of Calico is known to do, told as data, carried out by the real plugin and a real node.</summary>
[Layer("kernel")]
public sealed class ScenarioCases
{
    private static readonly Lazy<JsonArray> Table = new(() => JsonNode.Parse(File.ReadAllBytes(Cases.Find("14-cni/scenarios.json")))!.AsArray());

    public static TheoryData<string> Ids()
    {
        var ids = new TheoryData<string>();
        foreach (var scenario in Cases.TryFind("14-cni/scenarios.json") is null ? [] : Table.Value)
            ids.Add(scenario!["id"]!.GetValue<string>());
        if (ids.Count == 0)
            ids.Add("");
        return ids;
    }

    [SkippableTheory]
    [MemberData(nameof(Ids))]
    public async Task The_plugin_does_what_the_scenario_tells(string id)
    {
        _ = Cases.Find("14-cni/scenarios.json");
        var scenario = Table.Value.Single(s => s!["id"]!.GetValue<string>() == id)!;
        var api = new FakeApi();
        using var reader = new KubernetesReader(api.Options);
        await using var bed = await NodeBed.StartAsync(new KubernetesPods(reader));
        var run = new Run(bed, api);

        foreach (var step in scenario["steps"]!.AsArray())
            await run.DoAsync(step!.AsObject(), 0);
    }

    private sealed class Run(NodeBed bed, FakeApi api)
    {
        private readonly Dictionary<string, NetworkNamespace> _sandboxes = [];
        private string _args = "";
        private int _pods;

        public async Task DoAsync(JsonObject step, int round)
        {
            var (what, value) = (step.First().Key, step.First().Value!);
            switch (what)
            {
                case "ippool":
                    await bed.AddPoolAsync(new IPPoolSpec { Cidr = value["cidr"]!.GetValue<string>(), Disabled = value["disabled"]?.GetValue<bool>() ?? false });
                    break;
                case "node":
                    break;
                case "preexistingHostVeth":
                    AddHostVeth();
                    break;
                case "preexistingHostRoute":
                    AddHostRoute();
                    break;
                case "repeat":
                    for (var i = 0; i < value.GetValue<int>(); i++)
                        await DoAsync(step["step"]!.AsObject(), i);
                    break;
                case "run":
                    await CallAsync(step, round);
                    break;
                default:
                    throw new InvalidOperationException($"the table has a step '{what}', which this test does not know");
            }
        }

        private int AddHostVeth()
        {
            using var links = bed.Host.OpenLinks();
            links.CreateVeth(new VethPair("calicid-1", "calipeer", bed.Host.Fd), up: true);
            var link = links.Find("calicid-1")!;
            links.Change(new LinkChange(links.Find("calipeer")!.Index) { Up = true });
            return link.Index;
        }

        // The address is asked for, so that it can be known before.
        private void AddHostRoute()
        {
            var link = AddHostVeth();
            _args = "IP=192.168.7.7";
            using var routes = bed.Host.OpenRoutes();
            var results = new Calico.Kernel.Errno[1];
            routes.Apply([new RouteChange(new Route(new RouteKey(Cidr.Parse("192.168.7.7/32"), 0), RouteKind.Unicast, 3, [new NextHop(null, link)]) { Scope = RouteScope.Link }, false)], results);
            Assert.Equal(Calico.Kernel.Errno.None, results[0]);
        }

        private async Task CallAsync(JsonObject step, int round)
        {
            var container = step["containerID"]?.GetValue<string>().Replace("${i}", round.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal) ?? "cid-1";
            var (args, conf) = (_args, step["conf"]!.ToJsonString().Replace("${NODE}", NodeBed.Node, StringComparison.Ordinal));
            if (step["pod"] is { } pod)
            {
                var name = $"pod-{++_pods}";
                container = $"sandbox-{_pods}";
                api.Apply("namespaces", """{"metadata":{"name":"test"}}""");
                api.Apply("pods", $$$"""{"metadata":{"name":"{{{name}}}","namespace":"test","annotations":{{{pod["annotations"]!.ToJsonString()}}}},"spec":{"nodeName":"{{{NodeBed.Node}}}"}}""");
                args = $"IgnoreUnknown=1;K8S_POD_NAMESPACE=test;K8S_POD_NAME={name}";
                await bed.Resources.ApplyAsync(AllowAll("kns.test"));
            }
            if (!_sandboxes.TryGetValue(container, out var sandbox))
                _sandboxes[container] = sandbox = bed.CreatePod();

            // Upstream's plugin asks the datastore itself and is whatever node its configuration says; here that node's agent answers.
            var node = (JsonNode.Parse(conf)!["nodename"] ?? JsonNode.Parse(conf)!["hostname"])?.GetValue<string>();
            if (node is not null && node != bed.Name)
                await bed.BecomeAsync(node);

            var run = await bed.RunAsync(step["command"]!.GetValue<string>(), sandbox, conf, container, step["run"]!.GetValue<string>(), args);

            foreach (var (what, wanted) in step["expect"]!.AsObject())
                Assert.True(await HoldsAsync(what, wanted!, run), $"{what}: {wanted}; exit {run.ExitCode}, {run.Output} {run.Errors}");
        }

        private static Profile AllowAll(string name) => new()
        {
            Metadata = new ObjectMeta { Name = name },
            Spec = new ProfileSpec { Egress = [new Rule { Action = RuleAction.Allow }], Ingress = [new Rule { Action = RuleAction.Allow }] },
        };

        private async Task<bool> HoldsAsync(string what, JsonNode wanted, ShimRun run) => what switch
        {
            "exit" => run.ExitCode == wanted.GetValue<int>(),
            "exitNonZero" => run.ExitCode != 0 && run.Code != 0,
            "ipIn" => run.ExitCode == 0 && NodeBed.AddressesOf(run).All(a => wanted.AsArray().Any(c => Cidr.Parse(c!.GetValue<string>()).Contains(a))),
            "ipIs" => run.ExitCode == 0 && NodeBed.AddressesOf(run) is [var only] && only.ToString() == wanted.GetValue<string>(),
            "workloadNode" => (await bed.EndpointsAsync()) is [var endpoint] && endpoint.Spec.Node == wanted.GetValue<string>(),
            "profiles" => (await bed.EndpointsAsync()) is [var endpoint]
                && endpoint.Spec.Profiles.SequenceEqual(wanted.AsArray().Select(p => p!.GetValue<string>())),
            _ => throw new InvalidOperationException($"the table expects '{what}', which this test does not know"),
        };
    }
}
