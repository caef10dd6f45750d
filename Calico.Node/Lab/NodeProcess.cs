using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab;

/// <summary>Starts and watches the lab's <c>calico-node</c> processes and the datastore they share.</summary>
internal sealed class NodeProcess(LabPlace place, Topology topology, Pki pki)
{
    public const string DatastoreRole = "datastore";
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    public static string Endpoint => $"https://{LabNode.SegmentA.Address}:{LabPlace.DatastorePort}";

    /// <summary>The datastore, with mutual TLS, in the router's namespace.</summary>
    public async Task<LabProcess> StartDatastoreAsync(LabDatastore kind)
    {
        var files = pki.Issue(DatastoreRole, LabNode.SegmentA.Address);
        Directory.CreateDirectory(place.DatastoreFolder);
        var log = place.DatastoreLog;
        using var inside = topology.OpenRouter();
        var process = Processes.Start(DatastoreRole, inside, log, new Dictionary<string, string?>(),
            kind == LabDatastore.Etcd ? EtcdCommand(files) : EmbeddedCommand(files));
        await Until.TrueAsync(() => IsListening(inside) || !Processes.IsAlive(process), StartLimit,
            () => $"the datastore does not listen on {Endpoint}; {log} ends with:\n{Processes.Tail(log)}");
        return Processes.IsAlive(process)
            ? process
            : throw new LabException($"the datastore ended at once; {log} ends with:\n{Processes.Tail(log)}");
    }

    private string[] EmbeddedCommand(PemFiles files) =>
    [
        LabPlace.NodeProgram, "datastore", "--listen", $"{LabNode.SegmentA.Address}:{LabPlace.DatastorePort}",
        "--data-dir", Path.Combine(place.DatastoreFolder, "store"),
        "--cert-file", files.Certificate, "--key-file", files.Key, "--trusted-ca-file", files.Authority,
    ];

    // One member; its peer port is on the loopback of a namespace that has nobody else.
    private string[] EtcdCommand(PemFiles files) =>
    [
        Programs.Find("etcd", "etcd-server"), "--name", "lab", "--data-dir", Path.Combine(place.DatastoreFolder, "etcd"),
        "--listen-client-urls", Endpoint, "--advertise-client-urls", Endpoint,
        "--cert-file", files.Certificate, "--key-file", files.Key, "--trusted-ca-file", files.Authority, "--client-cert-auth",
        "--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
        "--initial-cluster", "lab=http://127.0.0.1:2380",
    ];

    /// <summary>Starts a node's agent, on a first start as after a crash.</summary>
    public LabProcess Start(LabNode node, int goneSeconds)
    {
        Directory.CreateDirectory(place.NodeRunFolder(node.Name));
        Directory.CreateDirectory(Path.Combine(place.NodeFolder(node.Name), "lib"));
        using var inside = topology.OpenNode(node.Name);
        return Processes.Start(node.Name, inside, place.NodeLog(node.Name), NodeEnvironment(node, goneSeconds), LabPlace.NodeProgram, "run");
    }

    /// <summary>Waits until the agent says that it can forward for its pods.</summary>
    public async Task UntilReadyAsync(LabNode node, LabProcess process)
    {
        var answer = "no answer";
        await Until.TrueAsync(async () =>
        {
            if (!Processes.IsAlive(process))
                throw new LabException($"the agent of {node.Name} ended; {place.NodeLog(node.Name)} ends with:\n{Processes.Tail(place.NodeLog(node.Name))}");
            using var inside = topology.OpenNode(node.Name);
            (var ok, answer) = await NodeHttp.TryGetAsync(inside, 9099, "/readiness");
            return ok;
        }, StartLimit, () => $"{node.Name} is not ready: {answer}; {place.NodeLog(node.Name)} ends with:\n{Processes.Tail(place.NodeLog(node.Name))}");
    }

    /// <summary>What a client of the datastore needs, as Calico's own tools read it.</summary>
    public static Dictionary<string, string?> ClientEnvironment(PemFiles files) => new()
    {
        ["DATASTORE_TYPE"] = "etcdv3",
        ["ETCD_ENDPOINTS"] = Endpoint,
        ["ETCD_CA_CERT_FILE"] = files.Authority,
        ["ETCD_CERT_FILE"] = files.Certificate,
        ["ETCD_KEY_FILE"] = files.Key,
    };

    private Dictionary<string, string?> NodeEnvironment(LabNode node, int goneSeconds)
    {
        var files = pki.IssueForNode(node.Name, node.Address.Address);
        return new Dictionary<string, string?>(ClientEnvironment(files))
        {
            ["NODENAME"] = node.Name,
            ["IP"] = node.Address.ToString(),
            ["CALICO_NETWORKING_BACKEND"] = "bird",
            ["CLUSTER_TYPE"] = "lab",
            ["CALICO_IPV4POOL_CIDR"] = LabPlace.PodNetwork,
            ["CALICO_IPV4POOL_IPIP"] = "Never",
            ["CALICO_IPV4POOL_VXLAN"] = "Never",
            // The router knows the way back to every pod: nothing has to hide behind its node.
            ["CALICO_IPV4POOL_NAT_OUTGOING"] = "false",
            ["CALICO_IPV6POOL_CIDR"] = "none",
            ["FELIX_IPV6SUPPORT"] = "false",
            ["FELIX_DEFAULTENDPOINTTOHOSTACTION"] = "ACCEPT",
            ["CALICO_NODE_GONE_TIMEOUT"] = goneSeconds.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["CALICO_RUN_DIR"] = place.NodeRunFolder(node.Name),
            ["CALICO_LIB_DIR"] = Path.Combine(place.NodeFolder(node.Name), "lib"),
            ["CALICO_MESH_CERT_FILE"] = files.Certificate,
            ["CALICO_MESH_KEY_FILE"] = files.Key,
            ["CALICO_MESH_CA_FILE"] = files.Authority,
            ["FELIX_PROMETHEUSMETRICSENABLED"] = "true",
            ["FELIX_HEALTHENABLED"] = "true",
            ["FELIX_HEALTHHOST"] = "0.0.0.0",
        };
    }

    private static bool IsListening(NetworkNamespace inside) => inside.Run(() =>
    {
        try
        {
            using var socket = new System.Net.Sockets.TcpClient();
            socket.Connect(LabNode.SegmentA.Address.ToIPAddress(), LabPlace.DatastorePort);
            return true;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }
    });
}
