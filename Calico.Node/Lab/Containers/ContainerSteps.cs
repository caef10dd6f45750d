using System.Text.Json.Nodes;
using Calico.Core.Net;
using Calico.Node.Lab.Check;

namespace Calico.Node.Lab.Containers;

/// <summary>
/// What a container runtime that knows nothing of the lab gets from the plugin: addresses, a network between nodes, policy,
/// and everything taken back at the end.
/// </summary>
internal static class ContainerSteps
{
    private const string EndpointPrefix = "/calico/resources/v3/projectcalico.org/workloadendpoints/";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);
    private static readonly LabNode Here = new(1);
    private static readonly LabNode There = new(2);

    public static Task ContainerdAsync(CheckRun run) => RunAsync(run, "containerd", Containerd.StartAsync);

    public static Task PodmanAsync(CheckRun run) => RunAsync(run, "podman", Podman.StartAsync);

    private static async Task RunAsync(CheckRun run, string kind, Func<Lab, LabNode, string, Task<IContainerRuntime>> start)
    {
        var crew = new Crew(run.Lab, kind);
        if (!await run.StepAsync($"{kind}: one on every node, with an image made here", () => crew.StartAsync(start)))
            return;
        var started = await run.StepAsync($"{kind}: containers start on both nodes, with addresses of the pool that the datastore has for them", () => StartAsync(run, crew));
        if (started)
        {
            await run.StepAsync($"{kind}: they reach each other across nodes and on one, by ICMP and HTTP", () => crew.UntilReachedAsync(strangerToo: true));
            await run.StepAsync($"{kind}: a policy lets the friend in and the stranger not, and its end lets both in", () => PolicyAsync(run, crew));
            await run.StepAsync($"{kind}: without an agent they go on, and a new agent takes them over", async () =>
            {
                await run.Lab.KillNodeAsync(Here);
                try
                {
                    await crew.UntilReachedAsync(strangerToo: true);
                }
                finally
                {
                    await run.Lab.StartNodeAsync(Here);
                }
                await crew.UntilReachedAsync(strangerToo: true);
            });
            await run.StepAsync($"{kind}: removed containers leave nothing in datastore and kernels", () => RemoveAsync(run, crew));
        }
    }

    private static async Task<string> StartAsync(CheckRun run, Crew crew)
    {
        await run.Lab.EnsureNamespaceAsync(Machine.Namespace);
        await crew.RunAsync();
        var pool = Cidr.Parse(LabPlace.PodNetwork);
        CheckRun.Require(crew.Containers.All(c => pool.Contains(IpAddr.Parse(c.Address))) && crew.Containers.DistinctBy(c => c.Address).Count() == crew.Containers.Count,
            string.Join(", ", crew.Containers));
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            var endpoints = await LabStore.ListAsync(run.Lab, EndpointPrefix);
            var blocks = await LabStore.ListAsync(run.Lab, Consistency.BlockPrefix);
            return string.Join("; ", crew.Containers.Where(c =>
                    !endpoints.Any(e => e.Value.Contains($"\"{c.Id}\"", StringComparison.Ordinal) && e.Value.Contains($"\"{c.Address}/32\"", StringComparison.Ordinal))
                    || !blocks.Any(b => b.Value.Contains($"\"{Machine.Network}.{c.Id}\"", StringComparison.Ordinal)))
                .Select(c => $"the datastore does not know {c}"));
        });
        return string.Join(", ", crew.Containers.Select(c => $"{c.Name} {c.Address}"));
    }

    private static async Task PolicyAsync(CheckRun run, Crew crew)
    {
        var policy = new JsonArray(new JsonObject
        {
            ["apiVersion"] = "projectcalico.org/v3",
            ["kind"] = "NetworkPolicy",
            // Outside Kubernetes all containers are in this namespace.
            ["metadata"] = new JsonObject { ["name"] = "friends-only", ["namespace"] = "default" },
            ["spec"] = new JsonObject
            {
                ["selector"] = "role == 'server'",
                ["types"] = new JsonArray("Ingress"),
                ["ingress"] = new JsonArray(new JsonObject { ["action"] = "Allow", ["source"] = new JsonObject { ["selector"] = "role == 'friend'" } }),
            },
        }).ToJsonString();
        await run.Lab.Ctl.ApplyTextAsync(policy);
        await crew.UntilReachedAsync(strangerToo: false);
        await run.Lab.Ctl.DeleteTextAsync(policy);
        await crew.UntilReachedAsync(strangerToo: true);
    }

    private static async Task<string> RemoveAsync(CheckRun run, Crew crew)
    {
        await crew.RemoveAsync();
        await CheckRun.UntilRightAsync(Limit, async () =>
        {
            var left = (await LabStore.ListAsync(run.Lab, EndpointPrefix)).Select(e => $"{e.Key} is left")
                .Concat((await LabStore.ListAsync(run.Lab, "/calico/ipam/v2/handle/")).Select(h => $"{h.Key} is left")).ToList();
            foreach (var node in run.Lab.State.AllNodes)
            {
                using var inside = run.Lab.Topology.OpenNode(node.Name);
                using var links = inside.OpenLinks();
                left.AddRange(links.Dump().Where(l => l.Name.StartsWith("cali", StringComparison.Ordinal)).Select(l => $"{l.Name} is left on {node.Name}"));
                left.AddRange(NodeRoutes.Read(run.Lab.Topology, node).LocalPods.Select(r => $"a route to {r.Pod} is left on {node.Name}"));
            }
            return string.Join("; ", left);
        });
        return "no endpoint, no handle, no interface, no route";
    }

    /// <summary>A server on one node, a friend and a stranger on the other.</summary>
    private sealed class Crew(Lab lab, string kind)
    {
        private readonly List<(Container Container, IContainerRuntime Runtime)> _members = [];
        private IContainerRuntime? _here;
        private IContainerRuntime? _there;

        public IReadOnlyList<Container> Containers => [.. _members.Select(m => m.Container)];

        private string Server => $"{kind}-server";
        private string Friend => $"{kind}-friend";
        private string Stranger => $"{kind}-stranger";

        public async Task StartAsync(Func<Lab, LabNode, string, Task<IContainerRuntime>> start)
        {
            var image = await Image.BuildAsync(lab);
            _here = await start(lab, Here, image);
            _there = await start(lab, There, image);
        }

        public async Task RunAsync()
        {
            foreach (var (name, runtime) in ((string, IContainerRuntime)[])[(Server, _here!), (Friend, _there!), (Stranger, _there!)])
                _members.Add((await runtime.RunAsync(name, name[(name.LastIndexOf('-') + 1)..]), runtime));
        }

        public async Task RemoveAsync()
        {
            foreach (var (container, runtime) in _members)
                await runtime.RemoveAsync(container.Name);
        }

        public Task UntilReachedAsync(bool strangerToo) => CheckRun.UntilRightAsync(Limit, async () =>
        {
            var wrong = new List<string>();
            foreach (var (from, to, wanted) in ((string, string, bool)[])
                [(Friend, Server, true), (Stranger, Server, strangerToo), (Server, Friend, true), (Friend, Stranger, true)])
            {
                var (http, icmp) = await ReachesAsync(from, to);
                if (http != wanted || icmp != wanted)
                    wrong.Add($"{from} {(http ? "reaches" : "does not reach")} {to} by HTTP and {(icmp ? "does" : "does not")} by ICMP");
            }
            return string.Join("; ", wrong);
        });

        private async Task<(bool Http, bool Icmp)> ReachesAsync(string from, string to)
        {
            var runtime = _members.First(m => m.Container.Name == from).Runtime;
            var target = Containers.First(c => c.Name == to).Address;
            var page = await runtime.ExecAsync(from, Image.Ask(target));
            var ping = await runtime.ExecAsync(from, "ping", "-c", "1", "-W", "2", target);
            return (page.Output.Contains(Image.Page, StringComparison.Ordinal), ping.ExitCode == 0);
        }
    }
}
