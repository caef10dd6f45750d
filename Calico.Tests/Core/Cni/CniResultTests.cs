using System.Text;
using System.Text.Json.Nodes;
using Calico.Core.Cni;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Cni;

[Layer("unit")]
public class CniResultTests
{
    // What Calico itself answers to an ADD: host side first, the pod's address without a gateway.
    private static readonly CniResult Pod = new(
        [new CniInterface("cali1a2b3c4d5e6"), new CniInterface("eth0", "b2:00:00:00:00:01", "/var/run/netns/cni-1") { Mtu = 1450 }],
        [new CniAddress(Cidr.Parse("10.65.1.249/32"), 1), new CniAddress(Cidr.Parse("fd00::1/128"), 1)],
        [new CniRoute(Cidr.Parse("10.65.1.249/32")) { Mtu = 1400 }]);

    [Theory]
    [InlineData("1.0.0", """{"cniVersion":"1.0.0","interfaces":[{"name":"cali1a2b3c4d5e6"},{"name":"eth0","mac":"b2:00:00:00:00:01","mtu":1450,"sandbox":"/var/run/netns/cni-1"}],"ips":[{"interface":1,"address":"10.65.1.249/32"},{"interface":1,"address":"fd00::1/128"}],"routes":[{"dst":"10.65.1.249/32","mtu":1400}],"dns":{}}""")]
    [InlineData("0.3.1", """{"cniVersion":"0.3.1","interfaces":[{"name":"cali1a2b3c4d5e6"},{"name":"eth0","mac":"b2:00:00:00:00:01","sandbox":"/var/run/netns/cni-1"}],"ips":[{"version":"4","interface":1,"address":"10.65.1.249/32"},{"version":"6","interface":1,"address":"fd00::1/128"}],"routes":[{"dst":"10.65.1.249/32"}],"dns":{}}""")]
    [InlineData("0.2.0", """{"cniVersion":"0.2.0","ip4":{"ip":"10.65.1.249/32","routes":[{"dst":"10.65.1.249/32"}]},"ip6":{"ip":"fd00::1/128"},"dns":{}}""")]
    public void A_pod_s_result_has_the_shape_of_the_version(string version, string json)
    {
        Assert.True(CniVersion.TryParse(version, out var parsed));

        Assert.Equal(json, Encoding.UTF8.GetString(Pod.ToBytes(parsed)));
    }

    [Theory]
    [InlineData("1.0.0")]
    [InlineData("1.1.0")]
    public void A_current_result_survives_the_round_trip(string version)
    {
        Assert.True(CniVersion.TryParse(version, out var parsed));
        var bytes = Pod.ToBytes(parsed);

        Assert.True(CniResult.TryParse(bytes, out var read, out var readVersion, out _));
        Assert.Equal(parsed, readVersion);
        Assert.Equal(bytes, read.ToBytes(parsed));
    }

    [Theory]
    [InlineData("""{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1"}]}""", "ips[0].address '10.0.0.1'")]
    [InlineData("""{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/32","gateway":"x"}]}""", "ips[0].gateway 'x'")]
    [InlineData("""{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/32","interface":0}]}""", "ips[0].interface 0")]
    [InlineData("""{"cniVersion":"1.0.0","ips":[null]}""", "ips[0].address")]
    [InlineData("""{"cniVersion":"1.0.0","routes":[{"dst":"x"}]}""", "routes[0].dst 'x'")]
    [InlineData("""{"cniVersion":"0.2.0","ip4":{"ip":"x"}}""", "ip4.ip 'x'")]
    [InlineData("""{"cniVersion":"0.2.0","ip6":{"ip":"fd00::1/64","routes":[{"dst":"fd00::/8","gw":"y"}]}}""", "ip6.routes[0].gw 'y'")]
    [InlineData("""{"cniVersion":"7.0.0"}""", "cniVersion '7.0.0'")]
    [InlineData("""{"cniVersion":"1.0.0","ips":{}}""", "'ips'")]
    [InlineData("null", "null")]
    public void A_result_that_makes_no_sense_is_refused_by_place(string json, string where)
    {
        Assert.False(CniResult.TryParse(Encoding.UTF8.GetBytes(json), out _, out _, out var error));

        Assert.Contains(where, error, StringComparison.Ordinal);
    }

    private static readonly string[] Tokens =
        ["{", "}", "[", "]", ":", ",", "null", "1", "\"ips\"", "\"ip4\"", "\"dns\"", "\"interfaces\"", "\"routes\"", "\"x\""];

    [Fact]
    public void Random_documents_never_throw() =>
        Gen.OneOf(Array.ConvertAll(Tokens, Gen.Const))
            .Array[0, 20].Sample(parts =>
        {
            _ = CniResult.TryParse(Encoding.UTF8.GetBytes(string.Concat(parts)), out _, out _, out _);
        }, iter: 20_000);

    [SkippableFact]
    public void Results_convert_between_versions_as_the_table_says()
    {
        var cases = JsonNode.Parse(File.ReadAllBytes(Cases.Find("14-cni/result-versions.json")))!.AsArray();
        var wrong = new List<string>();
        foreach (var test in cases.Select(c => c!))
        {
            var input = Encoding.UTF8.GetBytes(test["input"]!.ToJsonString());
            if (!CniResult.TryParse(input, out var result, out _, out var error)
                || !CniVersion.TryParse(test["to"]!.GetValue<string>(), out var to))
                wrong.Add($"{test["id"]}: {error}");
            else if (JsonNode.Parse(result.ToBytes(to)) is var output && !JsonNode.DeepEquals(output, test["output"]))
                wrong.Add($"{test["id"]}: {output!.ToJsonString()}");
        }

        Assert.NotEmpty(cases);
        Assert.Empty(wrong);
    }
}
