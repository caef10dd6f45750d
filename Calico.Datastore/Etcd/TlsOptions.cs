using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Calico.Datastore.Etcd;

/// <summary>
/// Certificates in PEM, each as a file or as the text itself (Calico's <c>etcdCACertFile</c>/<c>etcdCACert</c> and so on),
/// not both.
/// </summary>
public sealed record TlsOptions
{
    public string? CaFile { get; init; }
    public string? CaPem { get; init; }
    public string? CertificateFile { get; init; }
    public string? CertificatePem { get; init; }
    public string? KeyFile { get; init; }
    public string? KeyPem { get; init; }

    internal bool HasCa => CaFile is not null || CaPem is not null;
    internal bool HasCertificate => CertificateFile is not null || CertificatePem is not null;

    internal IEnumerable<string> Problems()
    {
        if (CaFile is not null && CaPem is not null || CertificateFile is not null && CertificatePem is not null
            || KeyFile is not null && KeyPem is not null)
        {
            yield return "a certificate or key is given both as a file and as text";
        }
        if (HasCertificate != (KeyFile is not null || KeyPem is not null))
            yield return "a certificate needs its key, and a key its certificate";
    }

    /// <summary>Trust in this authority alone; null for the system's.</summary>
    internal X509ChainPolicy? ChainPolicy()
    {
        if (!HasCa)
            return null;
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPem(Read(CaFile, CaPem));
        if (policy.CustomTrustStore.Count == 0)
            throw new DatastoreException(DatastoreFault.Invalid, $"TLS: no certificate in {CaFile ?? "the given authority"}");
        return policy;
    }

    internal SslStreamCertificateContext Certificate()
    {
        try
        {
            var pem = Read(CertificateFile, CertificatePem);
            var certificate = X509Certificate2.CreateFromPem(pem, Read(KeyFile, KeyPem));
            var chain = new X509Certificate2Collection();
            chain.ImportFromPem(pem);
            return SslStreamCertificateContext.Create(certificate, chain, offline: true);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new DatastoreException(DatastoreFault.Invalid,
                $"TLS: certificate {CertificateFile ?? "as text"} with key {KeyFile ?? "as text"}: {e.Message}", e);
        }
    }

    private static string Read(string? file, string? text)
    {
        if (text is not null)
            return text;
        try
        {
            return File.ReadAllText(file ?? throw new DatastoreException(DatastoreFault.Invalid, "TLS: no file is given"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DatastoreException(DatastoreFault.Denied, $"TLS: {file}: {e.Message}", e);
        }
    }

    /// <summary>Changes whenever one of the files was replaced: whoever renews certificates need not restart anything.</summary>
    internal long Stamp()
    {
        long stamp = 0;
        foreach (var file in (string?[])[CaFile, CertificateFile, KeyFile])
            stamp = HashCode.Combine(stamp, file is null ? 0 : File.GetLastWriteTimeUtc(file).Ticks);
        return stamp;
    }
}

/// <summary>What the files hold now, read again after they were replaced.</summary>
internal sealed class TlsMaterial(TlsOptions options)
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";

    private readonly Lock _gate = new();
    private long? _stamp;
    private SslStreamCertificateContext? _certificate;
    private X509ChainPolicy? _policy;

    public SslStreamCertificateContext? Certificate
    {
        get
        {
            lock (_gate)
            {
                Refresh();
                return _certificate;
            }
        }
    }

    public X509ChainPolicy? Policy
    {
        get
        {
            lock (_gate)
            {
                Refresh();
                return _policy?.Clone();
            }
        }
    }

    /// <summary>Checks a server: its name, and that its chain ends in the given authority.</summary>
    public bool IsTrusted(X509Certificate? certificate, X509Chain? presented, SslPolicyErrors errors)
    {
        if (Policy is not { } policy)
            return errors == SslPolicyErrors.None;
        if (certificate is null || (errors & ~SslPolicyErrors.RemoteCertificateChainErrors) != 0)
            return false;
        policy.ApplicationPolicy.Add(new Oid(ServerAuthentication));
        foreach (var element in presented?.ChainElements ?? Enumerable.Empty<X509ChainElement>())
            policy.ExtraStore.Add(element.Certificate);
        using var chain = new X509Chain { ChainPolicy = policy };
        return chain.Build(new X509Certificate2(certificate));
    }

    private void Refresh()
    {
        var stamp = options.Stamp();
        if (stamp == _stamp)
            return;
        try
        {
            _policy = options.ChainPolicy();
            _certificate = options.HasCertificate ? options.Certificate() : null;
            _stamp = stamp;
        }
        catch (DatastoreException) when (_stamp is not null)
        {
            // Caught between two files of a renewal: the ones before still serve, and the next connection looks again.
        }
    }
}
