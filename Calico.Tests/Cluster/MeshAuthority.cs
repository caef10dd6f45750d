using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Calico.Tests.Cluster;

/// <summary>A certificate authority in memory, that gives members what an installation would.</summary>
internal sealed class MeshAuthority : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly DateTimeOffset _from = TimeProvider.System.GetUtcNow().AddHours(-1);
    private readonly DateTimeOffset _until = TimeProvider.System.GetUtcNow().AddHours(1);

    public MeshAuthority(string name)
    {
        var request = new CertificateRequest($"CN={name}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        Root = request.CreateSelfSigned(_from, _until);
    }

    public X509Certificate2 Root { get; }

    /// <param name="uri">What the certificate says that its owner is; nothing at all if null.</param>
    public X509Certificate2 Issue(string name, string? uri)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        if (uri is not null)
            names.AddUri(new Uri(uri));
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(Root, _from, _until, RandomNumberGenerator.GetBytes(16));
        return certificate.CopyWithPrivateKey(key);
    }

    public void Dispose()
    {
        Root.Dispose();
        _key.Dispose();
    }
}
