using System.Text;
using System.Text.Json;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;

namespace Calico.Tests.Core.Model.Resources;

[Layer("unit")]
public class ResourceCodecTests
{
    private const string Policy =
        """{"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"allow-db","namespace":"web","uid":"6d0e8b1e-3c1f-4a57-9a1e-0c2c6f6f3b11","creationTimestamp":"2026-08-22T10:00:00Z","labels":{"projectcalico.org/tier":"default"},"annotations":{"projectcalico.org/metadata":"{\"name\":\"allow-db\"}"}},"spec":{"tier":"default","order":100,"ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"app == 'api' \u0026\u0026 x != '\u003c'"},"destination":{"ports":[5432,"80:90","http"]}}],"selector":"app == 'db'","types":["Ingress"]}}""";

    [Fact]
    public void Stored_bytes_survive_the_round_trip()
    {
        var policy = ResourceCodec.Decode(ResourceKind.NetworkPolicy, Encoding.UTF8.GetBytes(Policy));

        Assert.Equal(Policy, Encoding.UTF8.GetString(ResourceCodec.Encode(policy)));
    }

    [Fact]
    public void Decoded_fields_are_typed()
    {
        var policy = (NetworkPolicy)ResourceCodec.Decode(ResourceKind.NetworkPolicy, Encoding.UTF8.GetBytes(Policy));

        Assert.Equal(100, policy.Spec.Order);
        Assert.Equal(Protocol.Tcp, policy.Spec.Ingress[0].Protocol);
        Assert.Equal([Port.Single(5432), Port.Range(80, 90), Port.Named("http")], policy.Spec.Ingress[0].Destination!.Ports);
        Assert.Equal("NetworkPolicy(web/allow-db)", policy.ToString());
        Assert.Equal("/calico/resources/v3/projectcalico.org/networkpolicies/web/allow-db", policy.Key.Path);
    }

    [Fact]
    public void Equal_content_is_an_equal_record()
    {
        var one = ResourceCodec.Decode(ResourceKind.NetworkPolicy, Encoding.UTF8.GetBytes(Policy));
        var two = ResourceCodec.Decode(ResourceKind.NetworkPolicy, Encoding.UTF8.GetBytes(Policy.Replace("5432", "5433", StringComparison.Ordinal)));

        Assert.Equal(one, ResourceCodec.Decode(ResourceKind.NetworkPolicy, Encoding.UTF8.GetBytes(Policy)));
        Assert.NotEqual(one, two);
    }

    [Fact]
    public void Unknown_fields_are_kept_at_every_level()
    {
        const string json = """{"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{"name":"t","future":[1]},"spec":{"order":1,"later":{"a":true}},"status":{"then":0},"top":"x"}""";

        var tier = ResourceCodec.Decode(ResourceKind.Tier, Encoding.UTF8.GetBytes(json));

        Assert.Equal(json, Encoding.UTF8.GetString(ResourceCodec.Encode(tier)));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_kind_decodes_from_its_name_alone(string kind)
    {
        Assert.True(ResourceKind.TryFind(kind, out var found));
        var json = $$"""{"kind":"{{kind}}","apiVersion":"projectcalico.org/v3","metadata":{"name":"x"},"spec":null}""";

        var resource = ResourceCodec.Decode(found, Encoding.UTF8.GetBytes(json));

        Assert.Equal(kind, resource.Kind);
        Assert.Equal("x", resource.Name);
        Assert.Contains("\"spec\":{", Encoding.UTF8.GetString(ResourceCodec.Encode(resource)), StringComparison.Ordinal);
    }

    public static TheoryData<string> Kinds => new(ResourceKind.All.Select(k => k.Kind));

    [Fact]
    public void Strict_reading_reports_every_field_that_does_not_fit_with_its_path()
    {
        var error = Assert.Throws<InvalidResourceException>(() => Parse("""
            {"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"p","namespace":"n"},
             "spec":{"ordr":1,"order":"first","ingress":[{"action":"Allow","protocol":"tcp","destination":{"ports":["a:b",70000]}},{"acton":"Deny"}]}}
            """));

        Assert.Equal(
            [
                "spec.ingress[0].destination.ports[0]", "spec.ingress[0].destination.ports[1]", "spec.ingress[0].protocol",
                "spec.ingress[1].acton", "spec.order", "spec.ordr",
            ],
            error.Errors.Select(e => e.Path).Order(StringComparer.Ordinal));
        Assert.Contains("cannot unmarshal string into Go struct field NetworkPolicySpec.spec.order of type float64", error.Message, StringComparison.Ordinal);
        Assert.Contains("field in document is not recognized or is in the wrong location: acton", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Validation_reports_every_broken_limit_with_its_path()
    {
        var policy = Parse("""
            {"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"p","namespace":"n"},
             "spec":{"selector":"a = 'b'","ingress":[{"action":"Permit","protocol":"ICMP","icmp":{"type":1,"code":256}},{"destination":{"ports":[0]}}]}}
            """);

        var errors = ResourceValidator.Validate(policy);

        Assert.Equal(
            [
                "spec.ingress[0].action", "spec.ingress[0].icmp.code", "spec.ingress[1].action", "spec.ingress[1].destination.ports",
                "spec.ingress[1].destination.ports[0]", "spec.selector",
            ],
            errors.Select(e => e.Path).Order(StringComparer.Ordinal));
        Assert.Contains("error with field spec.ingress[0].icmp.code: Code = '256' (must be from 0 to 255)", errors.Select(e => e.ToString()));
    }

    [Fact]
    public void Numbers_and_booleans_without_quotes_are_strings_where_strings_belong()
    {
        var set = (NetworkSet)Parse("""
            {"kind":"NetworkSet","apiVersion":"projectcalico.org/v3","metadata":{"name":"s","namespace":1,"labels":{"v":1.10,"on":true}}}
            """);

        Assert.Equal("on=true,v=1.10", set.Metadata.Labels.ToString());
        Assert.Equal("1", set.Namespace);
    }

    [Fact]
    public void Field_names_are_read_in_any_case_as_Go_does()
    {
        var profile = (Profile)Parse("""{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"p"},"spec":{"Ingress":[{"action":"Deny"}]}}""");

        Assert.Single(profile.Spec.Ingress);
    }

    [Theory]
    [InlineData("0", "0")]
    [InlineData("100", "100")]
    [InlineData("-1.5", "-1.5")]
    [InlineData("1e20", "100000000000000000000")]
    [InlineData("1e21", "1e+21")]
    [InlineData("0.000001", "0.000001")]
    [InlineData("0.0000001", "1e-07")]
    [InlineData("1234567.125", "1234567.125")]
    public void Numbers_are_written_as_Go_writes_them(string given, string written)
    {
        var json = """{"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{"name":"t"},"spec":{"order":NUMBER}}"""
            .Replace("NUMBER", given, StringComparison.Ordinal);

        var encoded = Encoding.UTF8.GetString(ResourceCodec.Encode(ResourceCodec.Decode(ResourceKind.Tier, Encoding.UTF8.GetBytes(json))));

        Assert.Contains($"\"order\":{written}}}", encoded, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("90s", "1m30s")]
    [InlineData("1h", "1h0m0s")]
    [InlineData("1.5s", "1.5s")]
    [InlineData("300ms", "300ms")]
    [InlineData("1500us", "1.5ms")]
    [InlineData("0", "0s")]
    public void Durations_are_written_as_Go_writes_them(string given, string written) =>
        Assert.Equal(written, GoDuration.Parse(given).ToString());

    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("s")]
    [InlineData("1d")]
    [InlineData("1..5s")]
    [InlineData("999999999999h")]
    public void Other_durations_are_refused(string text) => Assert.False(GoDuration.TryParse(text, out _));

    private static Resource Parse(string json)
    {
        using var document = JsonDocument.Parse(json);
        return ResourceCodec.ParseStrict(document.RootElement);
    }
}
