namespace Calico.Node.Lab;

/// <summary>
/// The story that <c>./run.sh</c> tells: a small application in three namespaces, who reaches whom before and after its
/// policies, and what the network looks like underneath.
/// </summary>
internal sealed class Demo(Lab lab)
{
    private static readonly LabPort Web = LabPort.Parse("80/tcp");
    private static readonly TimeSpan PolicyLimit = TimeSpan.FromSeconds(30);

    private static readonly PodId Ui = new("management-ui", "ui");
    private static readonly PodId Client = new("client", "client");
    private static readonly PodId Frontend = new("stars", "frontend");
    private static readonly PodId Backend = new("stars", "backend");

    public static IReadOnlyList<PodId> Ids { get; } = [Ui, Client, Frontend, Backend];

    /// <summary>
    /// What the policies of <c>deploy/lab/stars</c> mean: the user interface sees everybody, the client reaches the
    /// front end, the front end reaches the back end, nobody else reaches a star or the client.
    /// </summary>
    public static bool Allows(PodId from, PodId to) => to == Ui || from == Ui
        || (from == Client && to == Frontend) || (from == Frontend && to == Backend);

    public async Task RunAsync()
    {
        await StartPodsAsync();
        lab.Output.Heading("Before any policy, everybody reaches everybody:");
        (await MeasureAsync()).Print(lab.Output);

        await lab.Output.StepAsync("policies: deploy/lab/stars/policies.yaml, in the kernel of every node", ApplyPoliciesAsync);
        lab.Output.Heading("After: the UI sees everybody, client -> frontend -> backend, nothing else:");
        (await MeasureAsync()).Print(lab.Output);

        lab.Output.Heading("BGP, as the router's BIRD sees it:");
        await PrintSessionsAsync();
        lab.Output.Heading("Blocks, as the nodes' kernels have them:");
        PrintBlocks();
        lab.Output.Heading("The lab keeps running. Next:");
        foreach (var line in (string[])
        [
            "./run.sh matrix --port icmp                        who reaches whom, another way",
            "./run.sh pod add shop --node node2 --listen 80/tcp one more pod",
            "./run.sh pod exec stars/frontend -- ip route       a look from inside a pod",
            "./run.sh apply -f deploy/lab/recipes/deny-all.yaml one more policy",
            "./run.sh ctl get networkpolicy -A                  calicoctl on the lab's datastore",
            "./run.sh node kill node1                           kill -9 an agent: nothing is lost",
            "./run.sh status                                    nodes, sessions, blocks",
            "./run.sh check                                     all of it, asserted",
            "./run.sh down                                      leaves nothing behind",
        ])
            lab.Output.Line("  " + line);
    }

    public async Task StartPodsAsync()
    {
        await lab.Output.StepAsync("namespaces: stars, client, management-ui", () => lab.ApplyAsync(LabPlace.Manifest("stars/namespaces.yaml")));
        await lab.Output.StepAsync("pods: four, on every node, wired by the CNI plugin", async () =>
        {
            var nodes = lab.State.AllNodes.Select(n => n.Name).ToList();
            foreach (var (pod, i) in Ids.Select((p, i) => (p, i)))
            {
                if (!lab.State.Pods.Exists(p => p.Id == pod))
                    await lab.AddPodAsync(new PodRequest(pod, nodes[i % nodes.Count])
                    {
                        Labels = new Dictionary<string, string> { ["role"] = pod.Name },
                        Listen = [Web],
                    });
            }
        });
    }

    /// <summary>Applies the policies and waits until the matrix is the wanted one.</summary>
    public async Task ApplyPoliciesAsync()
    {
        await lab.ApplyAsync(LabPlace.Manifest("stars/policies.yaml"));
        var difference = "";
        await Until.TrueAsync(async () => (difference = (await MeasureAsync()).Difference(Allows)).Length == 0, PolicyLimit,
            () => $"the policies are not in force: {difference}");
    }

    public Task RemovePoliciesAsync() => lab.DeleteAsync(LabPlace.Manifest("stars/policies.yaml"));

    public Task<Matrix> MeasureAsync() => lab.MatrixAsync(Web, p => Ids.Contains(p.Id));

    public async Task PrintSessionsAsync()
    {
        var sessions = await lab.Router.SessionsAsync(lab.Topology);
        lab.Output.Table(["node", "address", "session with the router"],
            [.. lab.State.AllNodes.Select(n => (IReadOnlyList<string>)[n.Name, n.Address.ToString(), sessions.GetValueOrDefault(n.Name, "gone")])]);
    }

    public void PrintBlocks()
    {
        var rows = new List<IReadOnlyList<string>>();
        foreach (var node in lab.State.AllNodes)
        {
            var routes = NodeRoutes.Read(lab.Topology, node);
            rows.AddRange(routes.OwnBlocks.Select(b => (IReadOnlyList<string>)[b.ToString(), node.Name,
                lab.State.WiredPods.Count(p => p.Node == node.Name && b.Contains(Core.Net.IpAddr.Parse(p.Address))).ToString(System.Globalization.CultureInfo.InvariantCulture)]));
        }
        lab.Output.Table(["block", "node", "pods"], rows);
    }
}
