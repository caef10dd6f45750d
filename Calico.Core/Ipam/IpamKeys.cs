using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// Where IPAM records stand in the store: Calico's own keys below <c>/calico/ipam/v2/</c>
/// (facts: a CIDR inside a key has its slash written as a dash).
/// </summary>
public static class IpamKeys
{
    public const string BlockPrefix = "/calico/ipam/v2/assignment/";
    public const string HostPrefix = "/calico/ipam/v2/host/";

    /// <summary>Below it stand the affinities of owners that are no hosts, such as <c>load-balancer</c>.</summary>
    public const string VirtualPrefix = "/calico/ipam/v2/virtual/";

    public const string HandlePrefix = "/calico/ipam/v2/handle/";
    public const string Config = "/calico/ipam/v2/config";

    public static string Block(Cidr block) => $"{BlockPrefix}{Family(block)}/block/{Dashed(block)}";

    public static string Affinity(string host, Cidr block) => $"{HostPrefix}{host}/{Family(block)}/block/{Dashed(block)}";

    /// <summary>All affinities of one host.</summary>
    public static string AffinitiesOf(string host) => $"{HostPrefix}{host}/";

    public static string Handle(string handleId) => HandlePrefix + handleId;

    /// <summary>Reads an affinity key back; false for anything else, such as the bare host marker.</summary>
    public static bool TryParseAffinity(string key, out string host, out Cidr block)
    {
        host = "";
        block = default;
        if (!key.StartsWith(HostPrefix, StringComparison.Ordinal))
            return false;
        var parts = key[HostPrefix.Length..].Split('/');
        if (parts.Length != 4 || parts[2] != "block" || !TryParseDashed(parts[3], out block))
            return false;
        host = parts[0];
        return parts[1] == Family(block);
    }

    /// <summary>Reads the affinity key of any owner back, as a block names it: <c>host:NODE</c> or <c>virtual:NAME</c>.</summary>
    public static bool TryParseOwner(string key, out string owner, out Cidr block)
    {
        var isVirtual = key.StartsWith(VirtualPrefix, StringComparison.Ordinal);
        var isAffinity = TryParseAffinity(isVirtual ? HostPrefix + key[VirtualPrefix.Length..] : key, out var name, out block);
        owner = (isVirtual ? "virtual:" : "host:") + name;
        return isAffinity;
    }

    /// <summary>
    /// The id as keys have it. Addresses that were taken over from host-local may name it with a carriage return and
    /// more behind it.
    /// </summary>
    public static string HandleId(string stored) => stored.Split('\r')[0];

    /// <summary>Reads a block key back.</summary>
    public static bool TryParseBlock(string key, out Cidr block)
    {
        block = default;
        if (!key.StartsWith(BlockPrefix, StringComparison.Ordinal))
            return false;
        var parts = key[BlockPrefix.Length..].Split('/');
        return parts.Length == 3 && parts[1] == "block" && TryParseDashed(parts[2], out block) && parts[0] == Family(block);
    }

    private static string Family(Cidr block) => block.IsV4 ? "ipv4" : "ipv6";
    private static string Dashed(Cidr block) => $"{block.Address}-{block.PrefixLength}";

    private static bool TryParseDashed(string text, out Cidr block)
    {
        var dash = text.LastIndexOf('-');
        block = default;
        return dash > 0 && Cidr.TryParse($"{text.AsSpan(0, dash)}/{text.AsSpan(dash + 1)}", out block);
    }
}
