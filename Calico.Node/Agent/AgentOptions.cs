using System.Collections;
using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using Calico.Actors.Ipam;
using Calico.Actors.Routing;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Core.Policy.Render;
using Calico.Datastore;
using Calico.Datastore.Etcd;
using Calico.Datastore.Kubernetes;

namespace Calico.Node.Agent;

/// <summary>
/// The agent's configuration, read once from the environment (facts a.8, j.1, j.4). Every problem is reported at once.
/// </summary>
public sealed record AgentOptions
{
    public required string Node { get; init; }

    /// <summary>The node's IPv4 address with its prefix length; from IP.</summary>
    public required Cidr AddressV4 { get; init; }

    /// <summary>Sockets; CALICO_RUN_DIR, default /var/run/calico.</summary>
    public string RunDirectory { get; init; } = "/var/run/calico";

    /// <summary>State that outlives the process; CALICO_LIB_DIR, default /var/lib/calico.</summary>
    public string LibDirectory { get; init; } = "/var/lib/calico";

    /// <summary>The shim's socket; CALICO_CNI_SOCKET, default cni.sock in the run directory.</summary>
    public string CniSocket { get; init; } = "/var/run/calico/cni.sock";

    /// <summary>The status socket that <c>calicoctl node status</c> reads.</summary>
    public string StatusSocket => Path.Combine(RunDirectory, "node.sock");

    public EtcdOptions? Etcd { get; init; }

    /// <summary>DATASTORE_TYPE=kubernetes: the way to the API, by KUBECONFIG, the K8S_ variables or the pod's account.</summary>
    public KubernetesOptions? Kubernetes { get; init; }

    /// <summary>DATASTORE_TYPE=embedded: the folder of the store; CALICO_DATASTORE_DIR.</summary>
    public string? EmbeddedDirectory { get; init; }

    public int MeshPort { get; init; } = 5473;
    public X509Certificate2? MeshCertificate { get; init; }
    public X509Certificate2Collection? MeshRoots { get; init; }
    public TimeSpan NodeGoneAfter { get; init; }

    /// <summary>When a runtime's call is answered; CALICO_IPAM_ANSWER.</summary>
    public LeaseAnswer IpamAnswer { get; init; } = LeaseAnswer.Decided;

    public string? PoolV4 { get; init; }
    public int PoolV4BlockSize { get; init; } = 26;
    public bool PoolV4NatOutgoing { get; init; } = true;

    /// <summary>BGP router id: a dotted quad or <c>hash</c>; CALICO_ROUTER_ID.</summary>
    public string? RouterId { get; init; }

    /// <summary>Ranges of cluster IPs to announce; CALICO_ADVERTISE_CLUSTER_IPS, separated by commas.</summary>
    public ImmutableArray<Cidr> AdvertisedClusterIps { get; init; } = [];

    /// <summary>The node as Kubernetes names it, if that is another name; CALICO_K8S_NODE_REF.</summary>
    public string? KubernetesName { get; init; }

    /// <summary>How long peers shall keep this node's routes as their last choice after its restart time; CALICO_BGP_LONG_LIVED_TIME, seconds.</summary>
    public TimeSpan LongLivedTime { get; init; }

    /// <summary>How the paths to BGP peers are watched; null: not at all. CALICO_BFD.</summary>
    public BfdSetting? Bfd { get; init; }

    /// <summary>Mounted Secrets with the passwords of BGP sessions; CALICO_BGP_SECRETS_DIR.</summary>
    public string? BgpSecretsDirectory { get; init; }

    /// <summary>Where the Secrets are that BGPPeers name: NAMESPACE, or the pod's own; null outside of a cluster.</summary>
    public string? SecretsNamespace { get; init; }

    /// <summary>AS of this node; from AS.</summary>
    public Asn? AsNumber { get; init; }
    public string ClusterType { get; init; } = "";

    /// <summary>What becomes of a workload's packets to its own host that its policy lets through.</summary>
    public EndpointToHostAction EndpointToHost { get; init; }

    public bool MetricsEnabled { get; init; }
    public string MetricsHost { get; init; } = "";
    public int MetricsPort { get; init; } = 9091;
    public bool HealthEnabled { get; init; }
    public string HealthHost { get; init; } = "localhost";
    public int HealthPort { get; init; } = 9099;
    public string? LogSeverity { get; init; }

    /// <summary>Reads and checks the environment.</summary>
    /// <param name="variables">The environment; names of Felix parameters are matched without regard to case.</param>
    /// <param name="problems">What is wrong, one sentence each; empty if the result can be used.</param>
    public static AgentOptions Read(IReadOnlyDictionary<string, string> variables, out IReadOnlyList<string> problems)
    {
        var read = new EnvironmentReader(variables);
        var run = read.Text("CALICO_RUN_DIR") ?? "/var/run/calico";
        var options = new AgentOptions
        {
            Node = read.NodeName(),
            AddressV4 = read.Required<Cidr>("IP", text => Cidr.TryParseOrHost(text, out var c) && c.IsV4 ? c : (Cidr?)null,
                "an IPv4 address with prefix length, such as 192.0.2.11/24"),
            RunDirectory = run,
            LibDirectory = read.Text("CALICO_LIB_DIR") ?? "/var/lib/calico",
            CniSocket = read.Text("CALICO_CNI_SOCKET") ?? Path.Combine(run, "cni.sock"),
            MeshPort = read.Number("CALICO_MESH_PORT", 1, 65535) ?? 5473,
            NodeGoneAfter = TimeSpan.FromSeconds(read.Number("CALICO_NODE_GONE_TIMEOUT", 0, 86_400) ?? 0),
            IpamAnswer = read.Optional<LeaseAnswer>("CALICO_IPAM_ANSWER", text => Enum.TryParse<LeaseAnswer>(text, ignoreCase: true, out var when) && Enum.IsDefined(when) ? when : null,
                "decided (from the blocks this node holds, written at once) or durable (when the datastore has it)") ?? LeaseAnswer.Decided,
            PoolV4 = read.Text("CALICO_IPV4POOL_CIDR") is { } pool && pool != "none" ? pool : null,
            PoolV4BlockSize = read.Number("CALICO_IPV4POOL_BLOCK_SIZE", 20, 32) ?? 26,
            PoolV4NatOutgoing = read.Flag("CALICO_IPV4POOL_NAT_OUTGOING") ?? true,
            AsNumber = read.Optional<Asn>("AS", text => Asn.TryParse(text, out var asn) ? asn : (Asn?)null, "an AS number"),
            RouterId = read.RouterId("CALICO_ROUTER_ID"),
            AdvertisedClusterIps = read.Ranges("CALICO_ADVERTISE_CLUSTER_IPS"),
            KubernetesName = read.Text("CALICO_K8S_NODE_REF"),
            BgpSecretsDirectory = read.Text("CALICO_BGP_SECRETS_DIR"),
            SecretsNamespace = read.Text("NAMESPACE") ?? KubernetesAccess.PodNamespace,
            LongLivedTime = read.LongLivedTime("CALICO_BGP_LONG_LIVED_TIME"),
            Bfd = read.Bfd("CALICO_BFD"),
            ClusterType = read.Text("CLUSTER_TYPE") ?? "",
            EndpointToHost = read.Optional<EndpointToHostAction>("FELIX_DEFAULTENDPOINTTOHOSTACTION",
                text => Enum.GetValues<EndpointToHostAction>().Where(a => a.ToString().Equals(text, StringComparison.OrdinalIgnoreCase)).Select(a => (EndpointToHostAction?)a).SingleOrDefault(),
                "DROP, RETURN or ACCEPT") ?? EndpointToHostAction.Drop,
            MetricsEnabled = read.Flag("FELIX_PROMETHEUSMETRICSENABLED") ?? false,
            MetricsHost = read.Text("FELIX_PROMETHEUSMETRICSHOST") ?? "",
            MetricsPort = read.Number("FELIX_PROMETHEUSMETRICSPORT", 1, 65535) ?? 9091,
            HealthEnabled = read.Flag("FELIX_HEALTHENABLED") ?? false,
            HealthHost = read.Text("FELIX_HEALTHHOST") ?? "localhost",
            HealthPort = read.Number("FELIX_HEALTHPORT", 1, 65535) ?? 9099,
            LogSeverity = read.Text("FELIX_LOGSEVERITYSCREEN") ?? read.Text("CALICO_STARTUP_LOGLEVEL"),
        };
        options = options with
        {
            MeshCertificate = read.Certificate("CALICO_MESH_CERT_FILE", "CALICO_MESH_KEY_FILE"),
            MeshRoots = read.Roots("CALICO_MESH_CA_FILE"),
        };
        if (options.MeshCertificate is null && read.Flag("CALICO_MESH_INSECURE") is not true)
            read.Report("CALICO_MESH_CERT_FILE, CALICO_MESH_KEY_FILE and CALICO_MESH_CA_FILE are not set: nodes would accept anybody as a member; "
                + "CALICO_MESH_INSECURE=true allows that on a network where nobody else is");
        options = ReadDatastore(read, options);
        problems = read.Problems;
        return options;
    }

    private static AgentOptions ReadDatastore(EnvironmentReader read, AgentOptions options)
    {
        var endpoints = read.Text("ETCD_ENDPOINTS")?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var type = read.Text("DATASTORE_TYPE") ?? (endpoints is not null ? "etcdv3"
            : (read.Text("KUBECONFIG") ?? read.Text("K8S_API_ENDPOINT")) is not null ? "kubernetes" : "embedded");
        switch (type)
        {
            case "etcdv3" when endpoints is { Length: > 0 }:
                var files = (Ca: read.Text("ETCD_CA_CERT_FILE"), Cert: read.Text("ETCD_CERT_FILE"), Key: read.Text("ETCD_KEY_FILE"));
                return options with
                {
                    Etcd = new EtcdOptions
                    {
                        Endpoints = [.. endpoints],
                        Username = read.Text("ETCD_USERNAME"),
                        Password = read.Text("ETCD_PASSWORD"),
                        Tls = files is (null, null, null) ? null : new TlsOptions { CaFile = files.Ca, CertificateFile = files.Cert, KeyFile = files.Key },
                    },
                };
            case "etcdv3":
                read.Report("DATASTORE_TYPE is etcdv3 but ETCD_ENDPOINTS names no endpoint");
                return options;
            case "embedded":
                return options with { EmbeddedDirectory = read.Text("CALICO_DATASTORE_DIR") ?? Path.Combine(options.LibDirectory, "datastore") };
            case "kubernetes":
                try
                {
                    var client = DatastoreOptions.Load(null, "environment", read.Text);
                    return options with
                    {
                        Kubernetes = KubernetesAccess.Find(client with { HomeDirectory = null }),
                        // The tag by which Calico's tools know such a cluster.
                        ClusterType = string.Join(',', new[] { options.ClusterType, "kdd" }.Where(t => t.Length > 0)),
                    };
                }
                catch (Exception e) when (e is DatastoreException or InvalidResourceException)
                {
                    read.Report($"DATASTORE_TYPE is kubernetes: {e.Message}");
                    return options;
                }
            default:
                read.Report($"DATASTORE_TYPE is '{type}'; this release has etcdv3, kubernetes and embedded");
                return options;
        }
    }
}

/// <summary>Reads variables and collects what is wrong with them.</summary>
internal sealed class EnvironmentReader(IReadOnlyDictionary<string, string> variables)
{
    private readonly Dictionary<string, string> _variables = new(variables, StringComparer.OrdinalIgnoreCase);
    private readonly List<string> _problems = [];

    public static Dictionary<string, string> Process() => Environment.GetEnvironmentVariables()
        .Cast<DictionaryEntry>().ToDictionary(e => (string)e.Key, e => (string?)e.Value ?? "");

    public static EnvironmentReader OfProcess() => new(Process());

    public IReadOnlyList<string> Problems => _problems;

    public void Report(string problem) => _problems.Add(problem);

    /// <summary>An empty variable counts as absent.</summary>
    public string? Text(string name) => _variables.TryGetValue(name, out var value) && value.Length > 0 ? value : null;

    public T? Optional<T>(string name, Func<string, T?> parse, string what) where T : struct
    {
        if (Text(name) is not { } text)
            return null;
        if (parse(text) is { } value)
            return value;
        _problems.Add($"{name} is '{text}' and must be {what}");
        return null;
    }

    public T Required<T>(string name, Func<string, T?> parse, string what) where T : struct
    {
        if (Text(name) is null)
            _problems.Add($"{name} is not set; it must be {what}");
        return Optional(name, parse, what) ?? default;
    }

    /// <summary>The name is part of keys and of file names, so nothing else than Kubernetes' node names is let through.</summary>
    public string NodeName()
    {
        var (source, name) = Text("NODENAME") is { } given ? ("NODENAME", given)
            : Text("HOSTNAME") is { } host ? ("HOSTNAME", host.ToLowerInvariant())
            : ("the name of this machine", Environment.MachineName.ToLowerInvariant());
        if (Formats.Problem(FieldFormat.Name, name) is not null)
            _problems.Add($"{source} is '{name}' and must be a DNS subdomain: lower case letters, digits, '-' and '.'");
        return name;
    }

    public ImmutableArray<Cidr> Ranges(string name)
    {
        var ranges = ImmutableArray.CreateBuilder<Cidr>();
        foreach (var part in (Text(name) ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (Cidr.TryParse(part, out var range))
                ranges.Add(range.Network);
            else
                _problems.Add($"{name} has '{part}', which is not a CIDR");
        }
        return ranges.ToImmutable();
    }

    /// <summary>A dotted quad or <c>hash</c>.</summary>
    public string? RouterId(string name)
    {
        if (Text(name) is not { } text || text == "hash" || (IpAddr.TryParse(text, out var id) && id is { IsV4: true, IsUnspecified: false }))
            return Text(name);
        _problems.Add($"{name} is '{text}' and must be a dotted quad or 'hash'");
        return null;
    }

    public TimeSpan LongLivedTime(string name) => TimeSpan.FromSeconds(Number(name, 0, (int)LongLivedFamily.MaxStaleTime.TotalSeconds) ?? 0);

    /// <summary>Null for off.</summary>
    public BfdSetting? Bfd(string name)
    {
        if (BfdSetting.TryParse(Text(name), out var setting))
            return setting;
        _problems.Add($"{name} is '{Text(name)}' and must be {BfdSetting.Expected}");
        return null;
    }

    public int? Number(string name, int low, int high) => Optional(name,
        text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n >= low && n <= high ? n : (int?)null,
        $"a number from {low} to {high}");

    public bool? Flag(string name) => Optional(name, text => text.ToLowerInvariant() switch
    {
        "true" or "1" or "yes" or "enabled" => true,
        "false" or "0" or "no" or "disabled" => false,
        _ => (bool?)null,
    }, "true or false");

    public X509Certificate2? Certificate(string certName, string keyName)
    {
        if ((Text(certName), Text(keyName)) is not ({ } cert, { } key))
        {
            if (Text(certName) is not null || Text(keyName) is not null)
                _problems.Add($"{certName} and {keyName} must be given together");
            return null;
        }
        return Load($"{certName} and {keyName}", () =>
        {
            // Through PKCS#12, because an ephemeral key cannot serve TLS connections of all libraries.
            using var pem = X509Certificate2.CreateFromPemFile(cert, key);
            return X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null);
        });
    }

    public X509Certificate2Collection? Roots(string name) => Text(name) is not { } path ? null : Load(name, () =>
    {
        var roots = new X509Certificate2Collection();
        roots.ImportFromPemFile(path);
        return roots;
    });

    private T? Load<T>(string names, Func<T> load) where T : class
    {
        try
        {
            return load();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
        {
            _problems.Add($"{names}: {e.Message}");
            return null;
        }
    }
}
