using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.V1;

namespace Calico.Tests.Core.Model;

/// <summary>Replays the whole key table, with legacy paths and stored values; what is no key is refused.</summary>
[Layer("conformance")]
public class ModelKeyCaseTests
{
    [SkippableFact]
    public void Every_path_parses_to_the_key_that_upstream_reads_and_is_written_as_upstream_writes_it()
    {
        var wrong = new List<string>();
        foreach (var row in Cases.Read("11-datastore-keys/keys.json").EnumerateArray())
        {
            var isKey = ModelKey.TryParse(row.GetProperty("path").GetString()!, out var key);
            if (isKey != row.GetProperty("valid").GetBoolean())
                wrong.Add($"{row.GetProperty("id")} {row.GetProperty("path")}: {(isKey ? key!.Type : "no key")}");
            else if (isKey && (key!.Path != row.GetProperty("canonicalPath").GetString() || Difference(key, row.GetProperty("key")) is not null))
                wrong.Add($"{row.GetProperty("id")} {row.GetProperty("path")}: {key.Path} {Difference(key, row.GetProperty("key"))}");
        }
        Assert.Empty(wrong);
    }

    [SkippableFact]
    public void Paths_of_earlier_releases_mean_the_policies_of_today()
    {
        var wrong = new List<string>();
        foreach (var row in Cases.Read("11-datastore-keys/values.json").EnumerateArray().Where(r => r.TryGetProperty("args", out _)))
        {
            var args = row.GetProperty("args");
            if (!ModelKey.TryParse(args[0].GetString()!, out var key) || Difference(key, args[1]) is not null)
                wrong.Add($"{row.GetProperty("id")} {args[0]}: {key?.Type} {(key is null ? "" : Difference(key, args[1]))}");
        }
        Assert.Empty(wrong);
    }

    [SkippableFact]
    public void Stored_values_are_read_as_upstream_reads_them()
    {
        var wrong = new List<string>();
        foreach (var row in Cases.Read("11-datastore-keys/values.json").EnumerateArray().Where(r => r.TryGetProperty("raw", out _)))
        {
            var parsed = row.GetProperty("parsed");
            if (Read(row.GetProperty("key"), Encoding.UTF8.GetBytes(row.GetProperty("raw").GetString()!)) is not { } read)
                continue;
            if (!Covers(JsonNode.Parse(read), JsonNode.Parse(parsed.GetRawText())))
                wrong.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: {read} instead of {parsed}");
        }
        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("/calico/ipam/v2/assignment/ipv4/block/10.65.1.0-26", "BlockKey", "CIDR=10.65.1.0/26")]
    [InlineData("/calico/ipam/v2/assignment/ipv6/block/fd00:65::-122", "BlockKey", "CIDR=fd00:65::/122")]
    [InlineData("/calico/ipam/v2/host/n1/ipv4/block/10.65.1.0-26", "BlockAffinityKey", "AffinityType=host CIDR=10.65.1.0/26 Host=n1")]
    [InlineData("/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.65.1.0-26", "BlockAffinityKey", "AffinityType=virtual CIDR=10.65.1.0/26 Host=load-balancer")]
    [InlineData("/calico/ipam/v2/handle/k8s-pod-network.4f0c", "IPAMHandleKey", "HandleID=k8s-pod-network.4f0c")]
    [InlineData("/calico/ipam/v2/config", "IPAMConfigKey", "")]
    [InlineData("/calico/v1/host/n1/workload/k8s/web%2fpod-1/endpoint/eth0", "WorkloadEndpointKey", "EndpointID=eth0 Hostname=n1 OrchestratorID=k8s WorkloadID=web/pod-1")]
    [InlineData("/calico/v1/policy/NetworkPolicy/ns/name", "PolicyKey", "Kind=NetworkPolicy Name=name Namespace=ns")]
    [InlineData("/calico/v1/policy/GlobalNetworkPolicy//name", "PolicyKey", "Kind=GlobalNetworkPolicy Name=name Namespace=")]
    [InlineData("/calico/v1/policy/tier/default/policy/ns%2fstaged:name", "LegacyPolicyKey", "Kind=StagedNetworkPolicy Name=name Namespace=ns Tier=default")]
    [InlineData("/calico/v1/policy/tier/default/policy/ns%2fknp.default.name", "LegacyPolicyKey", "Kind=KubernetesNetworkPolicy Name=name Namespace=ns Tier=default")]
    [InlineData("/calico/v1/policy/profile/kns.web/labels", "ProfileLabelsKey", "Name=kns.web")]
    [InlineData("/calico/v1/ipam/v4/pool/10.65.0.0-16", "IPPoolKey", "CIDR=10.65.0.0/16")]
    [InlineData("/calico/felix/v2/no-region/host/n1/workload/k8s/web%2fa/endpoint/eth0", "WorkloadEndpointStatusKey", "EndpointID=eth0 Hostname=n1 OrchestratorID=k8s RegionString=no-region WorkloadID=web/a")]
    public void Each_kind_of_key_has_one_path(string path, string type, string fields)
    {
        Assert.True(ModelKey.TryParse(path, out var key));
        Assert.Equal((type, path), (key.Type, key.Path));
        Assert.Equal(fields, string.Join(' ', key.Fields.Select(f => $"{f.Key}={f.Value}")));
    }

    /// <summary>Null for what this product stores nothing of.</summary>
    private static string? Read(JsonElement key, byte[] raw) => key.GetProperty("type").GetString() switch
    {
        "BlockAffinityKey" => $$"""{"state":"{{IpamJson.ParseAffinityState(raw)}}","deleted":false}""",
        "BlockKey" => Encoding.UTF8.GetString(IpamJson.WriteBlock(IpamJson.ParseBlock(raw))),
        "IPAMHandleKey" => Encoding.UTF8.GetString(IpamJson.WriteHandle(IpamJson.ParseHandle(raw))),
        "ResourceKey" when ResourceKind.All.FirstOrDefault(k => k.Kind == key.GetProperty("fields").GetProperty("Kind").GetString()) is { } kind =>
            Encoding.UTF8.GetString(StoredResource.Encode(StoredResource.Read(
                new ResourceKey(kind, kind.IsNamespaced ? key.GetProperty("fields").GetProperty("Namespace").GetString() : null, key.GetProperty("fields").GetProperty("Name").GetString()!), raw, 1))),
        _ => null,
    };

    // Everything that is expected is there; the rest are our own words for what is absent.
    private static bool Covers(JsonNode? actual, JsonNode? expected) => expected switch
    {
        JsonObject fields => actual is JsonObject o && fields.All(f => Covers(o[f.Key], f.Value)),
        JsonArray items => actual is JsonArray a && a.Count == items.Count && items.Zip(a).All(p => Covers(p.Second, p.First)),
        null => actual is null,
        _ => JsonNode.DeepEquals(actual, expected),
    };

    private static string? Difference(ModelKey key, JsonElement expected)
    {
        if (key.Type != expected.GetProperty("type").GetString())
            return $"is a {key.Type}";
        foreach (var (name, value) in Scalars(expected.GetProperty("fields")))
        {
            if (key.Fields.GetValueOrDefault(name, "") != value && !(value.Length == 0 && name == "AffinityType"))
                return $"{name} is {key.Fields.GetValueOrDefault(name, "")}";
        }
        return null;
    }

    // Go's embedded keys are objects inside.
    private static IEnumerable<(string Name, string Value)> Scalars(JsonElement fields) => fields.EnumerateObject().SelectMany(f =>
        f.Value.ValueKind == JsonValueKind.Object ? Scalars(f.Value) : [(f.Name, f.Value.ToString())]);
}
