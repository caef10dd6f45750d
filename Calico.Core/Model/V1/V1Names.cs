using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Calico.Core.Net;

namespace Calico.Core.Model.V1;

/// <summary>
/// What names of the first API become. Those that were not DNS names are brought into that form; where that changes a name,
/// eight digits of a hash of the old one keep different names apart.
/// </summary>
internal static partial class V1Names
{
    private const string OldNamespaceProfile = "k8s_ns.";
    private const string OldNamespaceLabel = "calico/k8s_ns";
    private const string NamespaceLabel = "projectcalico.org/namespace";

    /// <summary>Nodes keep their names but for the form: no hash, so that they still are the hosts' names.</summary>
    public static string OfNode(string name) => Normalized(name);

    public static string Of(string name) => Qualified(name, Normalized(name));

    public static string WithoutDots(string name) => Qualified(name, Normalized(name).Replace('.', '-'));

    public static string OfProfile(string name) =>
        Of(name.StartsWith(OldNamespaceProfile, StringComparison.Ordinal) ? "kns." + name[OldNamespaceProfile.Length..] : name);

    /// <summary><c>192-0-2-1</c>, or all groups of an IPv6 address in full.</summary>
    public static string OfAddress(IpAddr address) => address.IsV4
        ? address.ToString().Replace('.', '-')
        : string.Join('-', Enumerable.Range(0, 8).Select(i => ((ushort)(address.Bits >> (112 - (16 * i)))).ToString("x4", System.Globalization.CultureInfo.InvariantCulture)));

    public static string OfPool(Cidr cidr) => cidr.ToString().Replace('.', '-').Replace(':', '-').Replace('/', '-');

    /// <summary>The label for the Kubernetes namespace has another name now.</summary>
    public static string Selector(string selector) => selector.Replace(OldNamespaceLabel, NamespaceLabel, StringComparison.Ordinal);

    public static string Label(string label) => label == OldNamespaceLabel ? NamespaceLabel : label;

    private static string Normalized(string name)
    {
        var lower = OtherCharacters().Replace(name.ToLowerInvariant().Replace('/', '.'), "-");
        return DotsAndDashes().Replace(lower, ".").Trim('.', '-');
    }

    private static string Qualified(string old, string name)
    {
        if (old == name)
            return name;
#pragma warning disable CA5350 // The hash that Calico's own upgrade used: it names things, it protects nothing.
        return $"{name}-{Convert.ToHexStringLower(SHA1.HashData(Encoding.UTF8.GetBytes(old)))[..8]}";
#pragma warning restore CA5350
    }

    [GeneratedRegex("[^-.a-z0-9]+")]
    private static partial Regex OtherCharacters();

    [GeneratedRegex("[.-]*[.][.-]*")]
    private static partial Regex DotsAndDashes();
}
