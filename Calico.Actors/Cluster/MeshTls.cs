using System.Security.Cryptography.X509Certificates;
using Akka.Actor.Setup;
using Akka.Event;
using Akka.Remote.Transport.DotNetty;

namespace Calico.Actors.Cluster;

/// <summary>
/// Mutual TLS between members: every member shows a certificate that chains to the mesh's own root and names a node
/// (URI SAN <c>calico://node/NAME</c>). Host names are not checked: members are addressed by IP.
/// </summary>
internal static class MeshTls
{
    private const string SubjectAlternativeName = "2.5.29.17";
    private const string NodeUri = "calico://node/";

    public static Setup Setup(X509Certificate2 certificate, X509Certificate2Collection? roots) =>
        new DotNettySslSetup(certificate, suppressValidation: false, requireMutualAuthentication: true, validateCertificateHostname: false,
            (peer, _, _, _, log) =>
            {
                var refusal = Refuse(peer, roots);
                if (refusal is not null)
                    log.Warning("mesh: a peer's certificate was refused: {Reason}", refusal);
                return refusal is null;
            });

    /// <summary>Null if the certificate is acceptable, else why not.</summary>
    internal static string? Refuse(X509Certificate2? peer, X509Certificate2Collection? roots)
    {
        if (peer is null)
            return "none was shown";
        using var chain = new X509Chain();
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        if (roots is not null)
            chain.ChainPolicy.CustomTrustStore.AddRange(roots);
        if (!chain.Build(peer))
            return $"{peer.Subject}: {string.Join("; ", chain.ChainStatus.Select(s => s.StatusInformation.Trim()))}";
        var san = peer.Extensions[SubjectAlternativeName]?.Format(false) ?? "";
        return san.Contains(NodeUri, StringComparison.Ordinal) ? null : $"{peer.Subject} names no node (URI SAN {NodeUri}…)";
    }
}
