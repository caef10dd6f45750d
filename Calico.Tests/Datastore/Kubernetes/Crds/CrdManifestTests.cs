using System.Text.Json;
using Calico.Core.Model.Schema;
using Calico.Datastore.Manifests;

namespace Calico.Tests.Datastore.Kubernetes.Crds;

/// <summary>
/// The files in <c>deploy/crds</c> follow from the model. After a change of it they are written anew with
/// <c>CALICO_WRITE_CRDS=1 dotnet test Calico.Tests --filter CrdManifestTests</c>.
/// </summary>
[Layer("unit")]
public sealed class CrdManifestTests
{
    [Fact]
    public async Task The_definitions_in_deploy_are_those_of_the_model()
    {
        var wanted = CrdManifests.All();
        if (Environment.GetEnvironmentVariable("CALICO_WRITE_CRDS") == "1")
        {
            Directory.CreateDirectory(CrdManifests.Folder);
            foreach (var old in Directory.GetFiles(CrdManifests.Folder, "*.yaml"))
                File.Delete(old);
            foreach (var (name, text) in wanted)
                await File.WriteAllTextAsync(Path.Combine(CrdManifests.Folder, name), text);
        }

        Assert.Equal(wanted.Keys, Directory.GetFiles(CrdManifests.Folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal));
        foreach (var (name, text) in wanted)
            Assert.Equal(text, await File.ReadAllTextAsync(Path.Combine(CrdManifests.Folder, name)));
    }

    [Fact]
    public void Every_kind_of_calico_s_that_is_stored_has_a_definition()
    {
        string[] upstream =
        [
            "bgpconfigurations", "bgpfilters", "bgppeers", "blockaffinities", "caliconodestatuses", "clusterinformations", "felixconfigurations",
            "globalnetworkpolicies", "globalnetworksets", "hostendpoints", "ipamblocks", "ipamconfigs", "ipamhandles", "ippools",
            "ipreservations", "kubecontrollersconfigurations", "networkpolicies", "networksets", "stagedglobalnetworkpolicies",
            "stagedkubernetesnetworkpolicies", "stagednetworkpolicies", "tiers",
        ];

        var all = CrdManifests.All().Keys;

        Assert.Equal(upstream.Select(p => $"crd.projectcalico.org_{p}.yaml"), all.Where(k => k.StartsWith("crd.", StringComparison.Ordinal)));
        Assert.Equal(["mesh.projectcalico.org_calicorecords.yaml", "mesh.projectcalico.org_calicotransactions.yaml"],
            all.Where(k => k.StartsWith("mesh.", StringComparison.Ordinal)));
    }

    [Fact]
    public void Definitions_are_yaml_and_name_themselves_after_their_resource()
    {
        foreach (var (name, text) in CrdManifests.All())
        {
            var json = Assert.Single(ManifestReader.Read(text, name)).Json;
            var spec = json.GetProperty("spec");
            var full = $"{spec.GetProperty("names").GetProperty("plural").GetString()}.{spec.GetProperty("group").GetString()}";

            Assert.Equal(full, json.GetProperty("metadata").GetProperty("name").GetString());
            Assert.Equal(JsonValueKind.True, spec.GetProperty("versions")[0].GetProperty("storage").ValueKind);
        }
    }

    [Theory]
    [InlineData(FieldFormat.Name, "a-b.c")]
    [InlineData(FieldFormat.Net, "10.0.0.0/8", "fd00::/8", "192.0.2.1")]
    [InlineData(FieldFormat.NetV4, "10.0.0.0/8", "192.0.2.1")]
    [InlineData(FieldFormat.NetV6, "fd00::/8", "::1", "::ffff:192.0.2.0/120")]
    [InlineData(FieldFormat.Cidr, "10.1.2.3/8", "::1/128")]
    [InlineData(FieldFormat.CidrV4, "10.1.2.3/24")]
    [InlineData(FieldFormat.CidrV6, "fd00::1/64", "::1")]
    [InlineData(FieldFormat.Ip, "192.0.2.1", "2001:db8::1")]
    [InlineData(FieldFormat.IpV4, "192.0.2.1")]
    [InlineData(FieldFormat.IpV6, "2001:db8::1", "::")]
    [InlineData(FieldFormat.IpPort, "192.0.2.1", "192.0.2.1:179", "[2001:db8::1]:179", "2001:db8::1")]
    [InlineData(FieldFormat.Mac, "ee:ee:ee:ee:ee:ee")]
    [InlineData(FieldFormat.Interface, "*", "eth0", "bond0.100")]
    [InlineData(FieldFormat.InterfaceFilter, "eth+")]
    [InlineData(FieldFormat.IgnoredInterface, "docker*")]
    [InlineData(FieldFormat.BgpFilterInterface, "*", "cali*")]
    [InlineData(FieldFormat.BgpCommunity, "65000:1", "4200000000:1:2")]
    [InlineData(FieldFormat.PortName, "http", "a", "very-long-names")]
    [InlineData(FieldFormat.ContainerId, "0ab1-c")]
    [InlineData(FieldFormat.HostAddress, "0.0.0.0", "::", "host.example")]
    [InlineData(FieldFormat.WireguardKey, "jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=")]
    [InlineData(FieldFormat.ConntrackTimeout, "Auto", "20s", "1h0m0.5s")]
    public void A_text_that_the_validator_takes_the_schema_takes(FieldFormat format, params string[] texts)
    {
        var pattern = CrdSchema.PatternOf(format)!;

        Assert.All(texts, text =>
        {
            Assert.Null(Formats.Problem(format, text));
            Assert.Matches($@"\A(?:{pattern})\z", text);
        });
    }
}
