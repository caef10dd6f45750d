using Calico.Datastore.Etcd;

namespace Calico.Datastore.Kubernetes;

/// <summary>
/// Finds the way to the Kubernetes API as Calico's clients do:
/// <code>
///   kubeconfig (KUBECONFIG, kubeconfigInline)    else, inside of a pod, its service account
///        '--- each of K8S_API_ENDPOINT, K8S_CA_FILE, K8S_CERT_FILE and K8S_KEY_FILE, K8S_API_TOKEN,
///             K8S_INSECURE_SKIP_TLS_VERIFY in place of what the file says
/// </code>
/// Without any of them the user's own <c>~/.kube/config</c>, if there is one.
/// </summary>
public static class KubernetesAccess
{
    private const string ServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

    /// <summary>The namespace of the pod that this runs in; null if it is in none, or cannot read it.</summary>
    public static string? PodNamespace
    {
        get
        {
            try
            {
                return File.ReadAllText(Path.Combine(ServiceAccount, "namespace")).Trim() is { Length: > 0 } own ? own : null;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }
    }

    /// <param name="options">Calico's client configuration.</param>
    /// <param name="serviceAccountFolder">Where a pod finds its account.</param>
    /// <exception cref="DatastoreException">Nothing says where the API is, or a file cannot be read.</exception>
    public static KubernetesOptions Find(DatastoreOptions options, string serviceAccountFolder = ServiceAccount)
    {
        ArgumentNullException.ThrowIfNull(options);
        var found = FromKubeconfig(options) ?? FromServiceAccount(options, serviceAccountFolder) ?? FromHome(options)
            ?? (options.K8sApiEndpoint is { } endpoint ? new KubernetesOptions { Endpoint = endpoint } : null)
            ?? throw new DatastoreException(DatastoreFault.Invalid,
                "kubernetes: nothing says where the API is: set KUBECONFIG or K8S_API_ENDPOINT, or run in a pod with a service account");
        var tls = found.Tls ?? new TlsOptions();
        if (options.K8sCAFile is { } ca)
            tls = tls with { CaFile = ca, CaPem = null };
        if (options.K8sCertFile is { } certificate)
            tls = tls with { CertificateFile = certificate, CertificatePem = null };
        if (options.K8sKeyFile is { } key)
            tls = tls with { KeyFile = key, KeyPem = null };
        return found with
        {
            Endpoint = options.K8sApiEndpoint ?? found.Endpoint,
            Tls = tls == new TlsOptions() ? null : tls,
            Token = options.K8sApiToken ?? found.Token,
            TokenFile = options.K8sApiToken is null ? found.TokenFile : null,
            SkipTlsVerify = options.K8sInsecureSkipTlsVerify || found.SkipTlsVerify,
            CalicoApiGroup = options.CalicoApiGroup,
            UsePodCidr = options.UsePodCidr,
        };
    }

    /// <summary>The API of a kubeconfig.</summary>
    /// <exception cref="DatastoreException">The file cannot be read.</exception>
    public static KubernetesOptions From(Kubeconfig config) => new()
    {
        Endpoint = config.Server,
        Tls = config.Tls,
        TlsServerName = config.TlsServerName,
        SkipTlsVerify = config.SkipTlsVerify,
        Token = config.Token,
        TokenFile = config.TokenFile,
        Username = config.Username,
        Password = config.Password,
    };

    private static KubernetesOptions? FromKubeconfig(DatastoreOptions options) =>
        options.KubeconfigInline is { } text ? From(Kubeconfig.Read(text, "inline", options.K8sCurrentContext))
        : options.Kubeconfig is { } path ? From(Kubeconfig.ReadFile(path, options.K8sCurrentContext))
        : null;

    // Every pod gets the address in its environment and, unless it declines, an account in a folder.
    private static KubernetesOptions? FromServiceAccount(DatastoreOptions options, string folder)
    {
        var token = Path.Combine(folder, "token");
        if (options.K8sServiceHost is not { } host || !File.Exists(token))
            return null;
        var authority = Path.Combine(folder, "ca.crt");
        return new KubernetesOptions
        {
            Endpoint = $"https://{(host.Contains(':', StringComparison.Ordinal) ? $"[{host}]" : host)}:{options.K8sServicePort ?? "443"}",
            Tls = File.Exists(authority) ? new TlsOptions { CaFile = authority } : null,
            TokenFile = token,
        };
    }

    /// <summary>Whether whoever is logged in has a kubeconfig where kubectl looks for one.</summary>
    public static bool HasHomeConfig(DatastoreOptions options) => HomeConfig(options) is { } path && File.Exists(path);

    private static string? HomeConfig(DatastoreOptions options) =>
        options.HomeDirectory is { } home ? Path.Combine(home, ".kube", "config") : null;

    private static KubernetesOptions? FromHome(DatastoreOptions options) =>
        options.K8sApiEndpoint is null && HasHomeConfig(options)
            ? From(Kubeconfig.ReadFile(HomeConfig(options)!, options.K8sCurrentContext))
            : null;
}
