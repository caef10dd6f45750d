using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Calico.Core.Model;
using Calico.Core.Model.Json;
using Calico.Core.Net;

namespace Calico.Core.Cni;

/// <summary>
/// What the annotations of a pod, and for pools and families those of its namespace, ask of the plugin (facts c.6). What a
/// pod says beats what its namespace says, and both beat the network configuration.
/// </summary>
public sealed record CniPodWishes
{
    private const string Prefix = "cni.projectcalico.org/";

    public static CniPodWishes None { get; } = new();

    /// <summary>Names or networks of pools; null leaves the configuration's.</summary>
    public ImmutableArray<string>? V4Pools { get; private init; }

    /// <inheritdoc cref="V4Pools"/>
    public ImmutableArray<string>? V6Pools { get; private init; }

    /// <summary>The families that the pod gets; null leaves the configuration's.</summary>
    public ImmutableArray<IpVersion>? Families { get; private init; }

    /// <summary>Particular addresses, at most one a family, to be assigned by IPAM.</summary>
    public ImmutableArray<IpAddr> Addresses { get; private init; } = [];

    /// <summary>The same, but IPAM hears nothing of them.</summary>
    public ImmutableArray<IpAddr> AddressesWithoutIpam { get; private init; } = [];

    /// <summary>The MAC of the pod's interface.</summary>
    public MacAddress? Mac { get; private init; }

    /// <summary>Addresses from outside that lead to the pod.</summary>
    public ImmutableArray<IpAddr> FloatingIps { get; private init; } = [];

    /// <summary>Reads the annotations; the problem names the one that cannot be used, and why.</summary>
    public static bool TryRead(StringMap pod, StringMap ns, CniNetworkConfig config, out CniPodWishes wishes, out string? problem)
    {
        wishes = None;
        var read = new Reader();
        var found = new CniPodWishes
        {
            V4Pools = read.List(pod, "ipv4pools") ?? read.List(ns, "ipv4pools"),
            V6Pools = read.List(pod, "ipv6pools") ?? read.List(ns, "ipv6pools"),
            Families = read.Families(pod) ?? read.Families(ns),
            Addresses = read.Addresses(pod, "ipAddrs", onePerFamily: true),
            AddressesWithoutIpam = read.Addresses(pod, "ipAddrsNoIpam", onePerFamily: true),
            FloatingIps = read.Addresses(pod, "floatingIPs", onePerFamily: false),
            Mac = read.Mac(pod),
        };
        problem = read.Problem ?? found.Contradiction(config);
        if (problem is not null)
            return false;
        wishes = found;
        return true;
    }

    private string? Contradiction(CniNetworkConfig config)
    {
        if (!Addresses.IsEmpty && !AddressesWithoutIpam.IsEmpty)
            return $"the annotations {Prefix}ipAddrs and {Prefix}ipAddrsNoIpam exclude each other";
        if (!AddressesWithoutIpam.IsEmpty && !config.AllowIpAddrsNoIpam)
            return $"the annotation {Prefix}ipAddrsNoIpam is not allowed: set feature_control.ip_addrs_no_ipam to true in the network configuration";
        if (!FloatingIps.IsEmpty && !config.AllowFloatingIps)
            return $"the annotation {Prefix}floatingIPs is not allowed: set feature_control.floating_ips to true in the network configuration";
        return null;
    }

    private sealed class Reader
    {
        public string? Problem { get; private set; }

        public ImmutableArray<string>? List(StringMap annotations, string name)
        {
            if (annotations.GetOrNull(Prefix + name) is not { Length: > 0 } text)
                return null;
            try
            {
                if (JsonSerializer.Deserialize(text, KubernetesJsonContext.Default.ListString) is { } list && !list.Contains(null!))
                    return [.. list];
            }
            catch (JsonException)
            {
            }
            Fail(name, text, "is no JSON list of texts");
            return null;
        }

        public ImmutableArray<IpAddr> Addresses(StringMap annotations, string name, bool onePerFamily)
        {
            var addresses = ImmutableArray.CreateBuilder<IpAddr>();
            foreach (var text in List(annotations, name) ?? [])
            {
                if (!IpAddr.TryParse(text, out var address))
                    Fail(name, text, "is no address");
                else if (onePerFamily && addresses.Any(a => a.Version == address.Version))
                    Fail(name, text, $"is a second IPv{(int)address.Version} address; a pod has one of each family");
                else
                    addresses.Add(address);
            }
            return addresses.ToImmutable();
        }

        public ImmutableArray<IpVersion>? Families(StringMap annotations)
        {
            if (List(annotations, "ipFamilies") is not { } texts)
                return null;
            var families = ImmutableArray.CreateBuilder<IpVersion>();
            foreach (var text in texts)
            {
                if (!TryFamily(text, out var family))
                    Fail("ipFamilies", text, "is neither IPv4 nor IPv6");
                else if (!families.Contains(family.Value))
                    families.Add(family.Value);
            }
            if (families.Count == 0)
                Fail("ipFamilies", "[]", "names no family");
            return families.ToImmutable();
        }

        public MacAddress? Mac(StringMap annotations)
        {
            if (annotations.GetOrNull(Prefix + "hwAddr") is not { Length: > 0 } text)
                return null;
            // The lowest bit of the first byte is that of groups; no interface may have such an address.
            if (MacAddress.TryParse(text, out var mac) && mac.Bits != 0 && (mac.Bits >> 40 & 1) == 0)
                return mac;
            Fail("hwAddr", text, "is no MAC address that an interface can have");
            return null;
        }

        private static bool TryFamily(string text, [NotNullWhen(true)] out IpVersion? family)
        {
            family = text.ToLowerInvariant() switch
            {
                "ipv4" => IpVersion.V4,
                "ipv6" => IpVersion.V6,
                _ => null,
            };
            return family is not null;
        }

        private void Fail(string name, string text, string why) => Problem ??= $"annotation {Prefix}{name}: '{text}' {why}";
    }
}
