using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Calico.Core.Net;

namespace Calico.Node.Lab;

/// <summary>A certificate, its key and the authority, as files.</summary>
internal sealed record PemFiles(string Certificate, string Key, string Authority);

/// <summary>
/// The lab's own certificate authority. Each certificate serves both directions of mutual TLS and names its owner
/// twice: as common name and, for nodes, as the URI <c>calico://node/NAME</c>. Valid for a month.
/// </summary>
internal sealed class Pki(string folder)
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private static readonly TimeSpan Lifetime = TimeSpan.FromDays(30);

    private string AuthorityFile => Path.Combine(folder, "ca.crt");
    private string AuthorityKeyFile => Path.Combine(folder, "ca.key");

    public PemFiles Of(string name) => new(Path.Combine(folder, name + ".crt"), Path.Combine(folder, name + ".key"), AuthorityFile);

    public void CreateAuthority()
    {
        Directory.CreateDirectory(folder);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=calico-lab authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var (from, until) = Validity();
        using var authority = request.CreateSelfSigned(from, until);
        WriteSecret(AuthorityFile, authority.ExportCertificatePem());
        WriteSecret(AuthorityKeyFile, key.ExportPkcs8PrivateKeyPem());
    }

    public PemFiles IssueForNode(string name, IpAddr address) => Issue(name, address, new Uri($"calico://node/{name}"));

    public PemFiles Issue(string name, IpAddr? address = null, Uri? uri = null)
    {
        using var authority = X509Certificate2.CreateFromPemFile(AuthorityFile, AuthorityKeyFile);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid(ServerAuthentication), new Oid(ClientAuthentication)], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, true, false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        if (address is { } ip)
            names.AddIpAddress(ip.ToIPAddress());
        names.AddIpAddress(IPAddress.Loopback);
        if (uri is not null)
            names.AddUri(uri);
        request.CertificateExtensions.Add(names.Build());
        // Nothing may outlive its authority.
        using var certificate = request.Create(authority, Validity().From, authority.NotAfter, RandomNumberGenerator.GetBytes(16));

        var files = Of(name);
        WriteSecret(files.Certificate, certificate.ExportCertificatePem());
        WriteSecret(files.Key, key.ExportPkcs8PrivateKeyPem());
        return files;
    }

    private static (DateTimeOffset From, DateTimeOffset Until) Validity()
    {
        var now = TimeProvider.System.GetUtcNow();
        return (now.AddHours(-1), now.Add(Lifetime));
    }

    private static void WriteSecret(string path, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var writer = new StreamWriter(path, options);
        writer.Write(text);
        writer.Write('\n');
    }
}
