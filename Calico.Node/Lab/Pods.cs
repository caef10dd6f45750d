using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Calico.Core.Cni;

namespace Calico.Node.Lab;

/// <summary>A pod to make.</summary>
internal sealed record PodRequest(PodId Id, string Node)
{
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    public IReadOnlyList<LabPort> Listen { get; init; } = [];

    /// <summary>The only pool that the address may come from.</summary>
    public string? Pool { get; init; }
}

/// <summary>The plugin cannot make a pod now and has undone what it had begun.</summary>
internal sealed class TryPodLaterException(string message) : LabException(message);

/// <summary>
/// Pods as a container runtime makes them: a namespace, the real plugin with environment and configuration, and the
/// pod's program. The profile of a pod's Kubernetes namespace is named after it (<c>kns.NAMESPACE</c>); as outside
/// Kubernetes the plugin gives an endpoint the profile that is named like the network, that is the network's name here.
/// </summary>
internal sealed class Pods(LabPlace place, Topology topology)
{
    private static readonly TimeSpan ListenLimit = TimeSpan.FromSeconds(20);

    /// <summary>A pod as it is recorded before it is made.</summary>
    public static LabPod Plan(PodRequest request) => new(request.Id.Namespace, request.Id.Name, request.Node, NewContainerId(request.Id), "")
    {
        Labels = new Dictionary<string, string>(request.Labels),
        Listen = [.. request.Listen.Select(l => l.ToString())],
    };

    /// <summary>Wires the pod and starts its program.</summary>
    public async Task<(LabPod Pod, LabProcess? Responder)> AddAsync(LabPod pod, string? pool)
    {
        topology.CreatePod(pod.Id);
        var (exit, output, errors) = await RunShimAsync("ADD", pod, Configuration(pod, pool).ToJsonString());
        if (exit != 0)
        {
            var refusal = $"pod {pod.Id} on {pod.Node}: {Explain(output, errors)}";
            throw CodeOf(output) == (int)CniErrorCode.TryAgainLater ? new TryPodLaterException(refusal) : new LabException(refusal);
        }
        pod = pod with { Address = AddressOf(output) };
        return (pod, pod.Listen.Length == 0 ? null : await StartResponderAsync(pod));
    }

    /// <summary>
    /// Unwires the pod; its program is ended before by the caller. As with a container runtime nothing of the pod is
    /// forgotten before the plugin has said that it is done.
    /// </summary>
    public async Task RemoveAsync(LabPod pod)
    {
        var (exit, output, errors) = await RunShimAsync("DEL", pod, Configuration(pod, null).ToJsonString());
        if (exit != 0)
            throw new LabException($"pod {pod.Id} on {pod.Node} is still there, because the plugin could not remove it: {Explain(output, errors)}; "
                + "try again: ./run.sh pod rm " + pod.Id);
        topology.RemovePod(pod.Id);
    }

    /// <summary>Forgets a pod that was never wired.</summary>
    public void Discard(LabPod pod) => topology.RemovePod(pod.Id);

    /// <summary>Executes the plugin in the node's namespace, as the runtime on that node would.</summary>
    public async Task<(int ExitCode, string Output, string Errors)> RunShimAsync(string command, LabPod pod, string configuration,
        string? netns = null, CancellationToken cancellation = default)
    {
        using var inside = topology.OpenNode(pod.Node);
        return await Processes.RunAsync(inside, new Dictionary<string, string?>
        {
            ["CNI_COMMAND"] = command,
            ["CNI_CONTAINERID"] = pod.ContainerId,
            ["CNI_NETNS"] = netns ?? $"/run/netns/{place.PodNamespace(pod.Id)}",
            ["CNI_IFNAME"] = "eth0",
            ["CNI_PATH"] = Path.GetDirectoryName(LabPlace.ShimProgram),
            ["CNI_ARGS"] = $"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.Namespace};K8S_POD_NAME={pod.Name};K8S_POD_INFRA_CONTAINER_ID={pod.ContainerId}",
        }, configuration, [LabPlace.ShimProgram], cancellation);
    }

    public JsonObject Configuration(LabPod pod, string? pool)
    {
        var ipam = new JsonObject { ["type"] = CniIpamConfig.CalicoType };
        if (pool is not null)
            ipam["ipv4_pools"] = new JsonArray(pool);
        return new JsonObject
        {
            ["cniVersion"] = "1.0.0",
            ["name"] = $"kns.{pod.Namespace}",
            ["type"] = "calico",
            ["nodename"] = pod.Node,
            ["node_socket"] = place.NodeSocket(pod.Node),
            ["ipam"] = ipam,
            ["args"] = new JsonObject
            {
                ["cni"] = new JsonObject
                {
                    ["labels"] = new JsonArray([.. pod.Labels.OrderBy(l => l.Key, StringComparer.Ordinal)
                        .Select(l => new JsonObject { ["key"] = l.Key, ["value"] = l.Value })]),
                },
            },
        };
    }

    private async Task<LabProcess> StartResponderAsync(LabPod pod)
    {
        using var inside = topology.OpenPod(pod.Id);
        var log = Path.Combine(place.Folder, "pods", $"{pod.Namespace}-{pod.Name}.log");
        var process = Processes.Start(LabPod.RoleOf(pod.Id), inside, log, new Dictionary<string, string?>(),
            LabPlace.NodeProgram, "lab", "responder", "--name", pod.Id.ToString(), "--listen", string.Join(',', pod.Listen));
        var ports = pod.Listen.Select(LabPort.Parse).ToList();
        await Until.TrueAsync(() => ports.TrueForAll(p => IsBound(process.Pid, p)) || !Processes.IsAlive(process), ListenLimit,
            () => $"the server in pod {pod.Id} does not listen; {log} ends with:\n{Processes.Tail(log)}");
        return Processes.IsAlive(process)
            ? process
            : throw new LabException($"the server in pod {pod.Id} ended; {log} ends with:\n{Processes.Tail(log)}");
    }

    // /proc/PID/net shows the namespace of that process: "  0: 00000000:0050 00000000:0000 0A" is a listener on port 80.
    private static bool IsBound(int pid, LabPort port)
    {
        try
        {
            var file = port.Protocol == LabProtocol.Udp ? "udp" : "tcp";
            return File.ReadLines($"/proc/{pid}/net/{file}").Any(l => l.Contains($" 00000000:{port.Port:X4} 00000000:0000 ", StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static string NewContainerId(PodId id) =>
        $"lab-{id.Namespace}-{id.Name}-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}";

    private static string AddressOf(string output) =>
        CniResult.TryParse(Encoding.UTF8.GetBytes(output), out var result, out _, out var error)
            ? result.Addresses.FirstOrDefault(a => a.Address.IsV4)?.Address.Address.ToString()
                ?? throw new LabException($"the plugin's result has no IPv4 address: {output}")
            : throw new LabException($"the plugin's result was not understood: {error}");

    private static int? CodeOf(string output)
    {
        try
        {
            return JsonNode.Parse(output)?["code"]?.GetValue<int>();
        }
        catch (Exception e) when (e is System.Text.Json.JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    private static string Explain(string output, string errors)
    {
        try
        {
            var error = JsonNode.Parse(output)!;
            return $"the plugin says (code {error["code"]}): {error["msg"]}{(error["details"] is { } details ? $"; {details}" : "")}";
        }
        catch (System.Text.Json.JsonException)
        {
            return $"the plugin said '{output}' {errors}".Trim();
        }
    }
}
