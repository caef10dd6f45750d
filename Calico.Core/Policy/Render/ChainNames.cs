using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Calico.Core.Net;
using Calico.Core.Policy.Graph;

namespace Calico.Core.Policy.Render;

/// <summary>The four groups of hooks whose chains carry the group's name in front, as in <c>filter-cali-FORWARD</c>.</summary>
internal static class Layer
{
    public const string Filter = "filter";
    public const string Mangle = "mangle";
    public const string Nat = "nat";
    public const string Raw = "raw";
}

/// <summary>
/// Calico's names of chains, maps and sets in their nftables form. Names of policies and profiles appear as they are
/// where they fit; a longer one is replaced by a hash.
/// </summary>
public static class ChainNames
{
    /// <summary>The name of the IPv4 and IPv6 tables.</summary>
    public const string Table = "calico";

    /// <summary>The name of the ARP table.</summary>
    public const string ArpTable = "calico-arp";

    // The kernel takes 255 characters; "filter-" or "mangle-" goes in front of every name.
    private const int MaxLength = 255 - 7;

    private const int MaxSetLength = 31;

    public static string In(string layer, string chain) => $"{layer}-{chain}";

    public static string Policy(PolicyKey policy, Direction direction) =>
        Limited(direction == Direction.Ingress ? "cali-pi-" : "cali-po-", policy.Id, MaxLength);

    public static string Profile(string name, Direction direction) =>
        Limited(direction == Direction.Ingress ? "cali-pri-" : "cali-pro-", name, MaxLength);

    /// <summary>The chain of traffic to a workload.</summary>
    public static string ToWorkload(string interfaceName) => Limited("cali-tw-", interfaceName, MaxLength);

    /// <summary>The chain of traffic from a workload.</summary>
    public static string FromWorkload(string interfaceName) => Limited("cali-fw-", interfaceName, MaxLength);

    /// <summary>A host endpoint's chain: <paramref name="prefix"/> is one of th, fh, thfw and fhfw.</summary>
    internal static string Host(string prefix, string interfaceName) =>
        Limited($"cali-{prefix}-", interfaceName == "*" ? "any-interface-at-all" : interfaceName, MaxLength);

    internal static string Arp(string interfaceName) => Limited("cali-arp-", interfaceName, MaxLength);

    /// <summary>The chain of a group of policies: named by a hash of selector, direction and members, staged ones too.</summary>
    public static string Group(PolicyGroup group)
    {
        var text = new StringBuilder();
        text.Append(group.Selector).Append('\n')
            .Append(group.Direction == Direction.Ingress ? "inbound" : "outbound").Append('\n')
            .Append(CultureInfo.InvariantCulture, $"{group.Policies.Length}\n");
        foreach (var policy in group.Policies)
        {
            text.Append(CultureInfo.InvariantCulture,
                $"{{Name: {policy.Name}, Namespace: {policy.Namespace}, Kind: {policy.Kind}}}\n");
        }
        var hash = Base64Url.EncodeToString(Sha3.Hash224(Encoding.UTF8.GetBytes(text.ToString())));
        return (group.Direction == Direction.Ingress ? "cali-gi-" : "cali-go-") + hash[..20];
    }

    /// <summary>The set that holds one family's members of a set id; colons are not allowed in names of nftables.</summary>
    public static string Set(string setId, IpVersion family)
    {
        var name = (family == IpVersion.V4 ? "cali40" : "cali60") + setId;
        return (name.Length > MaxSetLength ? name[..MaxSetLength] : name).Replace(':', '-');
    }

    /// <summary>
    /// Prefix and suffix, or where that is too long the prefix, an underscore and the beginning of the suffix's
    /// SHA-256. A suffix that begins with the underscore is hashed as well when it fits exactly, so no two collide.
    /// </summary>
    public static string Limited(string prefix, string suffix, int limit)
    {
        if (suffix.Length == 0)
            suffix = "_";
        var length = Encoding.UTF8.GetByteCount(prefix) + Encoding.UTF8.GetByteCount(suffix);
        if (length < limit || (length == limit && suffix[0] != '_'))
            return prefix + suffix;
        var hash = Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(suffix)));
        return $"{prefix}_{hash[..Math.Min(hash.Length, limit - 1 - prefix.Length)]}";
    }
}
