using System.Text;
using System.Text.Json;

namespace Calico.Node.Lab.Churn;

/// <summary>What a node's kernel and its disk say of pods.</summary>
/// <param name="Links">Names of interfaces that lead to pods.</param>
/// <param name="Routes">Of single addresses, each with the interface that it leads to.</param>
/// <param name="Chains">Names of nftables chains.</param>
/// <param name="Sets">Members of nftables sets by the sets' names.</param>
/// <param name="Remembered">Container ids of the agent's own record of its pods.</param>
internal sealed record NodeFacts(string Node, IReadOnlySet<string> Links, IReadOnlyList<(string Address, string Link)> Routes,
    IReadOnlySet<string> Chains, IReadOnlyDictionary<string, IReadOnlySet<string>> Sets, IReadOnlySet<string> Remembered);

/// <summary>Everything that an examination looks at, at one time.</summary>
internal sealed record Evidence(IReadOnlyDictionary<string, string> Store, IReadOnlyList<NodeFacts> Nodes);

/// <summary>
/// Gathers evidence with programs that are not ours: etcdctl for the datastore, ip and nft for the kernels. Reads only.
/// </summary>
internal sealed class EvidenceReader(Lab lab)
{
    private const string PodLinkPrefix = "cali";
    private static readonly Dictionary<string, string?> NoEnvironment = [];

    public async Task<Evidence> ReadAsync()
    {
        var nodes = new List<NodeFacts>();
        foreach (var node in lab.State.AllNodes)
            nodes.Add(await ReadNodeAsync(node));
        return new Evidence(await ReadStoreAsync(), nodes);
    }

    /// <summary>Every key below <c>/calico/</c>.</summary>
    public async Task<IReadOnlyDictionary<string, string>> ReadStoreAsync()
    {
        using var inside = lab.Topology.OpenRouter();
        var files = lab.Pki.Of(LabCtl.CertificateName);
        var output = await RunAsync(inside, new Dictionary<string, string?> { ["ETCDCTL_API"] = "3" }, Programs.Find("etcdctl", "etcd-client"),
            "--endpoints", NodeProcess.Endpoint, "--cacert", files.Authority, "--cert", files.Certificate, "--key", files.Key, "--command-timeout", "30s",
            "get", "/calico/", "--prefix", "-w", "json");
        return JsonDocument.Parse(output).RootElement.TryGetProperty("kvs", out var entries)
            ? entries.EnumerateArray().ToDictionary(e => Decode(e.GetProperty("key")), e => e.TryGetProperty("value", out var v) ? Decode(v) : "", StringComparer.Ordinal)
            : new Dictionary<string, string>(StringComparer.Ordinal);
    }

    /// <summary>The addresses inside a pod's namespace, without loopback.</summary>
    public async Task<IReadOnlyList<string>> ReadPodAsync(string netns)
    {
        using var inside = lab.Topology.OpenRouter();
        var links = JsonDocument.Parse(await RunAsync(inside, NoEnvironment, Ip, "-n", netns, "-j", "-4", "addr", "show", "scope", "global"));
        return [.. links.RootElement.EnumerateArray().Where(l => l.TryGetProperty("addr_info", out _))
            .SelectMany(l => l.GetProperty("addr_info").EnumerateArray()).Select(a => $"{a.GetProperty("local").GetString()}/{a.GetProperty("prefixlen").GetInt32()}")];
    }

    private static string Ip => Programs.Find("ip", "iproute2");

    private async Task<NodeFacts> ReadNodeAsync(LabNode node)
    {
        using var inside = lab.Topology.OpenNode(node.Name);
        var links = JsonDocument.Parse(await RunAsync(inside, NoEnvironment, Ip, "-j", "link", "show"));
        var routes = JsonDocument.Parse(await RunAsync(inside, NoEnvironment, Ip, "-j", "-4", "route", "show"));
        var (chains, sets) = Ruleset(await RunAsync(inside, NoEnvironment, Programs.Find("nft", "nftables"), "-j", "list", "ruleset"));
        return new NodeFacts(node.Name,
            links.RootElement.EnumerateArray().Where(l => l.TryGetProperty("ifname", out _)).Select(l => l.GetProperty("ifname").GetString()!)
                .Where(n => n.StartsWith(PodLinkPrefix, StringComparison.Ordinal)).ToHashSet(StringComparer.Ordinal),
            [.. routes.RootElement.EnumerateArray().Where(r => r.TryGetProperty("dev", out var dev) && dev.GetString()!.StartsWith(PodLinkPrefix, StringComparison.Ordinal))
                .Select(r => (r.GetProperty("dst").GetString()!, r.GetProperty("dev").GetString()!))],
            chains, sets, Remembered(node));
    }

    // {"nftables": [{"chain": {"family": …, "name": …}}, {"set": {"name": …, "elem": ["10.65.0.1", …]}}, …]}
    internal static (IReadOnlySet<string> Chains, IReadOnlyDictionary<string, IReadOnlySet<string>> Sets) Ruleset(string json)
    {
        var chains = new HashSet<string>(StringComparer.Ordinal);
        var sets = new Dictionary<string, IReadOnlySet<string>>(StringComparer.Ordinal);
        foreach (var item in JsonDocument.Parse(json).RootElement.GetProperty("nftables").EnumerateArray())
        {
            if (item.TryGetProperty("chain", out var chain) && chain.GetProperty("family").GetString() == "ip")
                chains.Add(chain.GetProperty("name").GetString()!);
            else if (item.TryGetProperty("set", out var set) && set.GetProperty("family").GetString() == "ip")
                sets[set.GetProperty("name").GetString()!] = set.TryGetProperty("elem", out var members)
                    ? members.EnumerateArray().Select(m => m.ValueKind == JsonValueKind.String ? m.GetString()! : m.GetRawText()).ToHashSet(StringComparer.Ordinal)
                    : new HashSet<string>(StringComparer.Ordinal);
        }
        return (chains, sets);
    }

    // CONTAINER@INTERFACE.json
    private HashSet<string> Remembered(LabNode node)
    {
        var folder = Path.Combine(lab.Place.NodeFolder(node.Name), "lib", "workloads");
        return Directory.Exists(folder)
            ? Directory.EnumerateFiles(folder, "*.json").Select(f => Path.GetFileName(f).Split('@')[0]).ToHashSet(StringComparer.Ordinal)
            : [];
    }

    private static string Decode(JsonElement base64) => Encoding.UTF8.GetString(base64.GetBytesFromBase64());

    private static async Task<string> RunAsync(Kernel.Namespaces.INetworkNamespace inside, IReadOnlyDictionary<string, string?> environment, params string[] command)
    {
        var (exit, output, errors) = await Processes.RunAsync(inside, environment, null, command);
        return exit == 0 ? output : throw new LabException($"{string.Join(' ', command)}: {errors}{output}".Trim());
    }
}
