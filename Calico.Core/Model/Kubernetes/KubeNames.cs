using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Calico.Core.Model.Kubernetes;

/// <summary>Names and ids that Calico derives from Kubernetes' objects.</summary>
public static class KubeNames
{
    /// <summary>Prefix of the host side of a pod's veth where the agent's options name none.</summary>
    public const string DefaultInterfacePrefix = "cali";

    /// <summary>Prefix of the name that a Kubernetes NetworkPolicy has as a Calico policy in etcd and in calicoctl.</summary>
    public const string PolicyPrefix = "knp.default.";

    /// <summary>Prefix under which pods inherit the labels of their namespace.</summary>
    public const string NamespaceLabelPrefix = "pcns.";

    /// <summary>Prefix under which pods inherit the labels of their service account.</summary>
    public const string ServiceAccountLabelPrefix = "pcsa.";

    public const string NameLabel = "projectcalico.org/name";
    public const string NamespaceLabel = "projectcalico.org/namespace";
    public const string OrchestratorLabel = "projectcalico.org/orchestrator";
    public const string ServiceAccountLabel = "projectcalico.org/serviceaccount";

    /// <summary>
    /// The host side of a pod's veth: the prefix and 11 hex digits of SHA-1 over <c>NAMESPACE.POD</c>.
    /// </summary>
    public static string InterfaceName(string ns, string pod, string prefix = DefaultInterfacePrefix)
    {
#pragma warning disable CA5350 // Calico's naming scheme, no protection
        var hash = SHA1.HashData(Encoding.UTF8.GetBytes($"{ns}.{pod}"));
#pragma warning restore CA5350
        return string.Concat(prefix, Convert.ToHexStringLower(hash).AsSpan(0, 11));
    }

    /// <summary>
    /// The uid of a Calico object made from a Kubernetes object: the bits of every byte reversed except in the two bytes
    /// that hold the UUID's version and variant. Applied twice it is the uid itself.
    /// </summary>
    public static bool TryConvertUid(string uid, out string converted)
    {
        converted = "";
        if (!Guid.TryParseExact(uid, "D", out var parsed))
            return false;
        var bytes = parsed.ToByteArray(bigEndian: true);
        for (var i = 0; i < bytes.Length; i++)
        {
            if (i is not (6 or 8))
                bytes[i] = ReverseBits(bytes[i]);
        }
        converted = new Guid(bytes, bigEndian: true).ToString("D", CultureInfo.InvariantCulture);
        return true;
    }

    private static byte ReverseBits(byte value)
    {
        var result = 0;
        for (var bit = 0; bit < 8; bit++)
            result |= ((value >> bit) & 1) << (7 - bit);
        return (byte)result;
    }
}
