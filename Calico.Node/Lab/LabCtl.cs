using System.Text.Json.Nodes;

namespace Calico.Node.Lab;

/// <summary>The real <c>calicoctl</c> against the lab's datastore, from the router's namespace.</summary>
internal sealed class LabCtl(LabPlace place, Topology topology, Pki pki)
{
    public const string CertificateName = "calicoctl";

    private Dictionary<string, string?> Environment => NodeProcess.ClientEnvironment(pki.Of(CertificateName));

    /// <summary>With the caller's terminal.</summary>
    public async Task<int> RunAttachedAsync(string[] arguments)
    {
        using var inside = topology.OpenRouter();
        return await Processes.RunAttachedAsync(inside, Environment, [LabPlace.CtlProgram, .. arguments]);
    }

    public async Task<(int ExitCode, string Output, string Errors)> RunAsync(string? input, params string[] arguments)
    {
        using var inside = topology.OpenRouter();
        return await Processes.RunAsync(inside, Environment, input, [LabPlace.CtlProgram, .. arguments]);
    }

    /// <summary>On a node, where it can ask the node itself.</summary>
    public async Task<(int ExitCode, string Output, string Errors)> RunOnNodeAsync(string node, params string[] arguments)
    {
        using var inside = topology.OpenNode(node);
        var environment = new Dictionary<string, string?>(Environment)
        {
            ["NODENAME"] = node,
            ["CALICO_RUN_DIR"] = place.NodeRunFolder(node),
        };
        return await Processes.RunAsync(inside, environment, null, [LabPlace.CtlProgram, .. arguments]);
    }

    public Task ApplyTextAsync(string resources) => resources == "[]" ? Task.CompletedTask : FeedAsync("apply", resources, "-f", "-");

    public Task DeleteTextAsync(string resources) => resources == "[]" ? Task.CompletedTask : FeedAsync("delete", resources, "--skip-not-exists", "-f", "-");

    /// <summary>The router is an external peer of every node, at its address on that node's segment.</summary>
    public static string BgpPeers(IEnumerable<LabNode> nodes) => new JsonArray([.. nodes.Select(n => new JsonObject
    {
        ["apiVersion"] = "projectcalico.org/v3",
        ["kind"] = "BGPPeer",
        ["metadata"] = new JsonObject { ["name"] = $"lab-router-{n.Name}" },
        ["spec"] = new JsonObject
        {
            ["node"] = n.Name,
            ["peerIP"] = n.Router.ToString(),
            ["asNumber"] = LabPlace.RouterAs,
        },
    })]).ToJsonString();

    private async Task FeedAsync(string verb, string resources, params string[] arguments)
    {
        var (exit, output, errors) = await RunAsync(resources, [verb, .. arguments]);
        if (exit != 0)
            throw new LabException($"calicoctl {verb}: {(errors.Trim() is { Length: > 0 } text ? text : output.Trim())}");
    }
}
