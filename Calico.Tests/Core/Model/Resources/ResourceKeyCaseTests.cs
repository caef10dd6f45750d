using Calico.Core.Model.Resources;

namespace Calico.Tests.Core.Model.Resources;

/// <summary>Replays the rows of the key table about v3 resources, and takes no other path for a resource.</summary>
[Layer("unit")]
public class ResourceKeyCaseTests
{
    [SkippableFact]
    public void Paths_parse_to_the_keys_that_write_them()
    {
        var rows = Cases.Read("11-datastore-keys/keys.json").EnumerateArray().ToList();

        var wrong = rows.Where(row =>
        {
            var path = row.GetProperty("path").GetString()!;
            var isResource = row.GetProperty("valid").GetBoolean() && row.GetProperty("key").GetProperty("type").GetString() == "ResourceKey";
            if (!ResourceKey.TryParse(path, out var key))
                return isResource;
            var fields = row.GetProperty("key").GetProperty("fields");
            return !isResource || key.Kind.Kind != fields.GetProperty("Kind").GetString() || key.Name != fields.GetProperty("Name").GetString()
                || (key.Namespace ?? "") != fields.GetProperty("Namespace").GetString()
                || key.Path != row.GetProperty("canonicalPath").GetString();
        });

        Assert.NotEmpty(rows);
        Assert.Empty(wrong.Select(r => r.GetRawText()));
    }

    [Fact]
    public void Namespaced_keys_hold_the_namespace()
    {
        Assert.True(ResourceKey.TryParse("/calico/resources/v3/projectcalico.org/networkpolicies/ns/name", out var key));
        Assert.Equal(new ResourceKey(ResourceKind.NetworkPolicy, "ns", "name"), key);
        Assert.False(ResourceKey.TryParse("/calico/resources/v3/projectcalico.org/networkpolicies/name", out _));
        Assert.False(ResourceKey.TryParse("/calico/resources/v3/projectcalico.org/ippools/ns/name", out _));
        Assert.False(ResourceKey.TryParse("/calico/resources/v3/projectcalico.org/gadgets/name", out _));
    }

    [Theory]
    [InlineData("node-1", "k8s", "web-0", "eth0", "node--1-k8s-web--0-eth0")]
    [InlineData("n", "cni", "0123abc", "eth0", "n-cni-0123abc-eth0")]
    public void Endpoint_names_double_inner_dashes(string node, string orchestrator, string workload, string endpoint, string name)
    {
        var identifiers = new WorkloadEndpointName(node, orchestrator, workload, endpoint);

        Assert.True(identifiers.TryFormat(out var formatted, out _));
        Assert.Equal(name, formatted);
        Assert.True(WorkloadEndpointName.TryParse(name, out var parsed));
        Assert.Equal(identifiers, parsed);
    }

    [Fact]
    public void Endpoint_names_need_every_part() =>
        Assert.False(new WorkloadEndpointName("n", "k8s", "", "eth0").TryFormat(out _, out _));
}
