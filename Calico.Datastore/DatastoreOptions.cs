using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model.Schema;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Manifests;

namespace Calico.Datastore;

/// <summary>Where resources are stored.</summary>
public enum DatastoreType
{
    /// <summary>A file on this machine: for a single node and for the lab.</summary>
    Embedded,
    EtcdV3,
    Kubernetes,
}

/// <summary>How to reach the datastore: Calico's client configuration, from its file or from the environment.</summary>
public sealed record DatastoreOptions
{
    /// <summary>Where the embedded store is when nothing says otherwise.</summary>
    public const string DefaultEmbeddedPath = "/var/lib/calico/calico.db";

    public DatastoreType Type { get; init; }

    /// <summary>Nothing named a store: <see cref="Type"/> is what may be there all the same.</summary>
    public bool IsTypeAssumed { get; init; }

    /// <summary>URLs of etcd members.</summary>
    public ImmutableArray<string> EtcdEndpoints { get; init; } = [];

    /// <summary>A domain whose SRV records <c>etcd-client</c> name the members.</summary>
    public string? EtcdDiscoverySrv { get; init; }

    public string? EtcdUsername { get; init; }
    public string? EtcdPassword { get; init; }
    public string? EtcdKeyFile { get; init; }
    public string? EtcdCertFile { get; init; }
    public string? EtcdCACertFile { get; init; }

    /// <summary>PEM text instead of a file.</summary>
    public string? EtcdKey { get; init; }

    /// <inheritdoc cref="EtcdKey"/>
    public string? EtcdCert { get; init; }

    /// <inheritdoc cref="EtcdKey"/>
    public string? EtcdCACert { get; init; }

    /// <summary>The database file of <see cref="DatastoreType.Embedded"/>.</summary>
    public string EmbeddedPath { get; init; } = DefaultEmbeddedPath;

    public string? Kubeconfig { get; init; }
    public string? KubeconfigInline { get; init; }
    public string? K8sApiEndpoint { get; init; }
    public string? K8sKeyFile { get; init; }
    public string? K8sCertFile { get; init; }
    public string? K8sCAFile { get; init; }
    public string? K8sApiToken { get; init; }
    public string? K8sCurrentContext { get; init; }
    public bool K8sInsecureSkipTlsVerify { get; init; }

    /// <summary>IPAM is host-local's, from the ranges that Kubernetes gives the nodes.</summary>
    public bool UsePodCidr { get; init; }

    /// <summary>The API group of Calico's resources where it is not to be found out.</summary>
    public string? CalicoApiGroup { get; init; }

    /// <summary>Where a pod is told that the API is.</summary>
    public string? K8sServiceHost { get; init; }

    /// <inheritdoc cref="K8sServiceHost"/>
    public string? K8sServicePort { get; init; }

    /// <summary>Whose <c>.kube/config</c> is read if nothing else is named.</summary>
    public string? HomeDirectory { get; init; }

    /// <summary>
    /// Reads the configuration file if there is one, and the environment only if there is none, as Calico's clients do.
    /// Without a type it is etcd if etcd is named, Kubernetes if that is or if this is a pod or a login with a kubeconfig, and
    /// the embedded store otherwise.
    /// </summary>
    /// <param name="file">The file's text, or null.</param>
    /// <param name="fileName">What errors call the file.</param>
    /// <param name="environment">Looks a variable up; each may carry the prefix CALICO_.</param>
    /// <exception cref="InvalidResourceException">A setting is unknown, contradictory or incomplete.</exception>
    public static DatastoreOptions Load(string? file, string fileName, Func<string, string?> environment)
    {
        var settings = file is null
            ? new Settings("environment", name => NonEmpty(environment("CALICO_" + name)) ?? NonEmpty(environment(name)))
            : FromFile(file, fileName);
        var options = new DatastoreOptions
        {
            EtcdEndpoints = [.. (settings.Get("etcdEndpoints", "ETCD_ENDPOINTS") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)],
            EtcdDiscoverySrv = settings.Get("etcdDiscoverySrv", "ETCD_DISCOVERY_SRV"),
            EtcdUsername = settings.Get("etcdUsername", "ETCD_USERNAME"),
            EtcdPassword = settings.Get("etcdPassword", "ETCD_PASSWORD"),
            EtcdKeyFile = settings.Get("etcdKeyFile", "ETCD_KEY_FILE"),
            EtcdCertFile = settings.Get("etcdCertFile", "ETCD_CERT_FILE"),
            EtcdCACertFile = settings.Get("etcdCACertFile", "ETCD_CA_CERT_FILE"),
            EtcdKey = settings.Get("etcdKey", null),
            EtcdCert = settings.Get("etcdCert", null),
            EtcdCACert = settings.Get("etcdCACert", null),
            EmbeddedPath = settings.Get("embeddedPath", "EMBEDDED_PATH") ?? DefaultEmbeddedPath,
            IsTypeAssumed = (settings.Get("datastoreType", "DATASTORE_TYPE") ?? settings.Get("embeddedPath", "EMBEDDED_PATH")) is null,
            Kubeconfig = settings.Get("kubeconfig", "KUBECONFIG"),
            KubeconfigInline = settings.Get("kubeconfigInline", null),
            K8sApiEndpoint = settings.Get("k8sAPIEndpoint", "K8S_API_ENDPOINT"),
            K8sKeyFile = settings.Get("k8sKeyFile", "K8S_KEY_FILE"),
            K8sCertFile = settings.Get("k8sCertFile", "K8S_CERT_FILE"),
            K8sCAFile = settings.Get("k8sCAFile", "K8S_CA_FILE"),
            K8sApiToken = settings.Get("k8sAPIToken", "K8S_API_TOKEN"),
            K8sCurrentContext = settings.Get("k8sCurrentContext", "K8S_CURRENT_CONTEXT"),
            K8sInsecureSkipTlsVerify = settings.Get("k8sInsecureSkipTLSVerify", "K8S_INSECURE_SKIP_TLS_VERIFY") is "true" or "1",
            UsePodCidr = settings.Get("usePodCIDR", "USE_POD_CIDR") is "true" or "1",
            CalicoApiGroup = settings.Get("calicoAPIGroup", "CALICO_API_GROUP"),
            // Not settings of Calico's: what a pod and a login find in their environment whatever the file says.
            K8sServiceHost = NonEmpty(environment("KUBERNETES_SERVICE_HOST")),
            K8sServicePort = NonEmpty(environment("KUBERNETES_SERVICE_PORT")),
            HomeDirectory = NonEmpty(environment("HOME")),
        };
        var type = TypeOf(settings, options);
        options = options with { Type = type, IsTypeAssumed = options.IsTypeAssumed && type == DatastoreType.Embedded };
        return Checked(options, settings.Source);
    }

    private static readonly ImmutableHashSet<string> KnownInFile =
    [
        "datastoreType", "etcdEndpoints", "etcdDiscoverySrv", "etcdUsername", "etcdPassword", "etcdKeyFile", "etcdCertFile",
        "etcdCACertFile", "etcdKey", "etcdCert", "etcdCACert", "embeddedPath", "kubeconfig", "kubeconfigInline",
        "k8sAPIEndpoint", "k8sKeyFile", "k8sCertFile", "k8sCAFile", "k8sAPIToken", "k8sCurrentContext",
        "k8sInsecureSkipTLSVerify", "k8sDisableNodePoll", "usePodCIDR", "k8sClientQPS", "k8sClientBurst", "calicoAPIGroup",
    ];

    private static DatastoreType TypeOf(Settings settings, DatastoreOptions options) =>
        settings.Get("datastoreType", "DATASTORE_TYPE") switch
        {
            "etcdv3" => DatastoreType.EtcdV3,
            "kubernetes" => DatastoreType.Kubernetes,
            "embedded" => DatastoreType.Embedded,
            null when !options.EtcdEndpoints.IsEmpty || options.EtcdDiscoverySrv is not null => DatastoreType.EtcdV3,
            null when (options.Kubeconfig ?? options.KubeconfigInline ?? options.K8sApiEndpoint) is not null => DatastoreType.Kubernetes,
            null when !options.IsTypeAssumed => DatastoreType.Embedded,
            null when options.K8sServiceHost is not null || KubernetesAccess.HasHomeConfig(options) => DatastoreType.Kubernetes,
            null => DatastoreType.Embedded,
            var other => throw Invalid(settings.Source, "spec.datastoreType", other, "must be etcdv3, kubernetes or embedded"),
        };

    private static DatastoreOptions Checked(DatastoreOptions options, string source)
    {
        if (!options.EtcdEndpoints.IsEmpty && options.EtcdDiscoverySrv is not null)
            throw Invalid(source, "spec.etcdDiscoverySrv", options.EtcdDiscoverySrv, "cannot be used together with etcdEndpoints: keep one");
        var hasFile = (options.EtcdKeyFile ?? options.EtcdCertFile ?? options.EtcdCACertFile) is not null;
        var hasText = (options.EtcdKey ?? options.EtcdCert ?? options.EtcdCACert) is not null;
        if (hasFile && hasText)
            throw Invalid(source, "spec.etcdKey", null, "cannot mix inline certificates with certificate files");
        if (options.Type == DatastoreType.EtcdV3 && options.EtcdEndpoints.IsEmpty && options.EtcdDiscoverySrv is null)
            throw Invalid(source, "spec.etcdEndpoints", null, "is required with etcdv3: set ETCD_ENDPOINTS, for example http://127.0.0.1:2379");
        foreach (var endpoint in options.EtcdEndpoints)
        {
            if (!Uri.TryCreate(endpoint, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
                throw Invalid(source, "spec.etcdEndpoints", endpoint, "must be a URL such as http://127.0.0.1:2379");
        }
        return options;
    }

    private static Settings FromFile(string text, string fileName)
    {
        if (ManifestReader.Read(text, fileName) is not [{ Json: var json }])
            throw Invalid(fileName, "kind", null, "expected one object of kind CalicoAPIConfig");
        if (Text(json, "kind") != "CalicoAPIConfig" || Text(json, "apiVersion") != "projectcalico.org/v3")
            throw Invalid(fileName, "kind", Text(json, "kind"), "must be CalicoAPIConfig of apiVersion projectcalico.org/v3");
        if (!json.TryGetProperty("spec", out var spec) || spec.ValueKind != JsonValueKind.Object)
            return new Settings(fileName, _ => null);
        foreach (var field in spec.EnumerateObject().Where(f => !KnownInFile.Contains(f.Name)))
            throw Invalid(fileName, $"spec.{field.Name}", null, $"field in document is not recognized or is in the wrong location: {field.Name}");
        return new Settings(fileName, name => NonEmpty(Text(spec, name)), IsFile: true);
    }

    private static string? Text(JsonElement json, string name) =>
        !json.TryGetProperty(name, out var value) || value.ValueKind is JsonValueKind.Null ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : value.GetRawText();

    private static string? NonEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static InvalidResourceException Invalid(string source, string path, string? value, string reason) =>
        new($"datastore configuration from {source}", [new FieldError(path, value, reason)]);

    private sealed record Settings(string Source, Func<string, string?> Lookup, bool IsFile = false)
    {
        public string? Get(string field, string? variable) => IsFile ? Lookup(field) : variable is null ? null : Lookup(variable);
    }
}
