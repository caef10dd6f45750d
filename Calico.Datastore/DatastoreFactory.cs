using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;
using Calico.Datastore.Kubernetes;
using Microsoft.Extensions.Logging;

namespace Calico.Datastore;

/// <summary>Opens the store that a configuration names. What it returns is the caller's to dispose of.</summary>
public static class DatastoreFactory
{
    /// <summary>The store in a folder of this machine; its owner serves it to the others with <see cref="EtcdServer"/>.</summary>
    /// <exception cref="DatastoreException">See <see cref="EmbeddedDatastore.Open"/>.</exception>
    public static EmbeddedDatastore OpenEmbedded(string directory) =>
        EmbeddedDatastore.Open(new EmbeddedOptions { Directory = directory });

    /// <summary>
    /// A client of etcd, or of a served embedded store, from Calico's own settings.
    /// </summary>
    /// <param name="endpoints">ETCD_ENDPOINTS: URLs with commas between them.</param>
    /// <param name="tls">ETCD_CA_CERT_FILE, ETCD_CERT_FILE and ETCD_KEY_FILE, or the same as text.</param>
    /// <param name="username">ETCD_USERNAME; used only if there is a password too, as Calico does.</param>
    /// <param name="password">ETCD_PASSWORD.</param>
    /// <param name="logging">Where lost and resumed watches are told of.</param>
    /// <exception cref="DatastoreException">The settings are wrong, or a certificate cannot be read.</exception>
    public static EtcdDatastore OpenEtcd(string endpoints, TlsOptions? tls = null, string? username = null, string? password = null,
        ILoggerFactory? logging = null)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        var both = !string.IsNullOrEmpty(username) && !string.IsNullOrEmpty(password);
        return new EtcdDatastore(new EtcdOptions
        {
            Endpoints = [.. endpoints.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)],
            Tls = tls,
            Username = both ? username : null,
            Password = both ? password : null,
            Logging = logging,
        });
    }

    /// <summary>Opens what the options name.</summary>
    /// <exception cref="DatastoreException">The options are wrong, or a file that they name cannot be read.</exception>
    public static IDatastore Open(DatastoreOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return options.Type switch
        {
            DatastoreType.EtcdV3 => new EtcdDatastore(new EtcdOptions
            {
                Endpoints = options.EtcdEndpoints,
                Username = options.EtcdUsername,
                Password = options.EtcdPassword,
                Tls = TlsOf(options),
            }),
            DatastoreType.Kubernetes => new KubernetesDatastore(KubernetesAccess.Find(options)),
            // Who forgot to say where the datastore is must not be shown, or given, an empty one.
            _ when options.IsTypeAssumed && !Directory.Exists(options.EmbeddedPath) => throw new DatastoreException(DatastoreFault.Invalid,
                "no datastore is named: set ETCD_ENDPOINTS or KUBECONFIG, or name them in the configuration file; "
                + $"DATASTORE_TYPE=embedded makes a store of this machine's own in {options.EmbeddedPath}"),
            _ => OpenEmbedded(options.EmbeddedPath),
        };
    }

    private static TlsOptions? TlsOf(DatastoreOptions options)
    {
        var tls = new TlsOptions
        {
            CaFile = options.EtcdCACertFile,
            CaPem = options.EtcdCACert,
            CertificateFile = options.EtcdCertFile,
            CertificatePem = options.EtcdCert,
            KeyFile = options.EtcdKeyFile,
            KeyPem = options.EtcdKey,
        };
        return tls == new TlsOptions() ? null : tls;
    }
}
