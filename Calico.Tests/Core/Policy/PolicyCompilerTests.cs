using System.Text.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy;

namespace Calico.Tests.Core.Policy;

[Layer("unit")]
public class PolicyCompilerTests
{
    [Theory]
    [InlineData("", "projectcalico.org/namespace == \"ns\"")]
    [InlineData("a == 'b'", "(a == \"b\" && projectcalico.org/namespace == \"ns\")")]
    [InlineData("a == 'b' || c == 'd'", "((a == \"b\" || c == \"d\") && projectcalico.org/namespace == \"ns\")")]
    public void A_namespaced_policy_selects_within_its_namespace(string selector, string expected) =>
        Assert.Equal(expected, Namespaced($$"""{"selector":"{{selector}}"}""").Selector);

    [Fact]
    public void A_service_account_selector_is_added_to_a_namespaced_policy() =>
        Assert.Equal("(projectcalico.org/namespace == \"ns\" && pcsa.x == \"y\")",
            Namespaced("""{"serviceAccountSelector":"x == 'y'"}""").Selector);

    [Theory]
    [InlineData("""{"selector":"all()"}""", "all()")]
    [InlineData("""{}""", "all()")]
    [InlineData("""{"namespaceSelector":"env == 'prod'"}""", "pcns.env == \"prod\"")]
    [InlineData("""{"namespaceSelector":"all()"}""", "has(projectcalico.org/namespace)")]
    [InlineData("""{"selector":"all()","namespaceSelector":"env == 'prod'"}""", "(has(projectcalico.org/namespace) && pcns.env == \"prod\")")]
    [InlineData("""{"selector":"a == 'b'","serviceAccountSelector":"all()"}""", "(a == \"b\" && has(projectcalico.org/serviceaccount))")]
    [InlineData("""{"selector":"all()","serviceAccountSelector":"x == 'y'"}""", "(has(projectcalico.org/serviceaccount) && pcsa.x == \"y\")")]
    [InlineData("""{"namespaceSelector":"n == '1'","serviceAccountSelector":"s == '2'"}""", "(pcns.n == \"1\" && pcsa.s == \"2\")")]
    public void A_global_policy_folds_namespaces_and_service_accounts_in(string spec, string expected) =>
        Assert.Equal(expected, Globally(spec).Selector);

    [Theory]
    [InlineData("""{"selector":"a == 'b'"}""", "(projectcalico.org/namespace == \"ns\" && a == \"b\")", "")]
    [InlineData("""{"notSelector":"a == 'b'"}""", "(projectcalico.org/namespace == \"ns\" && !a == \"b\")", "")]
    [InlineData("""{"namespaceSelector":"all()"}""", "has(projectcalico.org/namespace)", "")]
    [InlineData("""{"namespaceSelector":"global()"}""", "!has(projectcalico.org/namespace)", "")]
    [InlineData("""{"namespaceSelector":"global()","selector":"a == 'b'"}""", "(!has(projectcalico.org/namespace) && a == \"b\")", "")]
    [InlineData("""{"namespaceSelector":"e == 'p'","selector":"a == 'b'"}""", "(pcns.e == \"p\" && a == \"b\")", "")]
    [InlineData("""{"selector":"a == 'b'","notSelector":"c == 'd'"}""", "((projectcalico.org/namespace == \"ns\" && a == \"b\") && !c == \"d\")", "")]
    [InlineData("""{"serviceAccounts":{"names":["z","y"]}}""", "(projectcalico.org/namespace == \"ns\" && projectcalico.org/serviceaccount in {\"y\", \"z\"})", "")]
    [InlineData("""{"serviceAccounts":{"names":["z"],"selector":"t == '1'"},"selector":"a == 'b'"}""",
        "(projectcalico.org/namespace == \"ns\" && ((pcsa.t == \"1\" && projectcalico.org/serviceaccount in {\"z\"}) && a == \"b\"))", "")]
    [InlineData("""{"nets":["10.0.0.0/8"]}""", "", "")]
    public void An_end_of_a_rule_in_a_namespaced_policy_selects(string entity, string positive, string negative) =>
        AssertSets(Namespaced($$"""{"types":["Ingress"],"ingress":[{"action":"Allow","source":{{entity}}}]}"""), positive, negative);

    [Theory]
    [InlineData("""{"selector":"a == 'b'"}""", "a == \"b\"", "")]
    [InlineData("""{"notSelector":"a == 'b'"}""", "", "a == \"b\"")]
    [InlineData("""{"namespaceSelector":"e == 'p'","notSelector":"a == 'b'"}""", "(pcns.e == \"p\" && !a == \"b\")", "")]
    [InlineData("""{"serviceAccounts":{"selector":"t == '1'"}}""", "pcsa.t == \"1\"", "")]
    public void An_end_of_a_rule_in_a_global_policy_selects(string entity, string positive, string negative) =>
        AssertSets(Globally($$"""{"types":["Ingress"],"ingress":[{"action":"Allow","source":{{entity}}}]}"""), positive, negative);

    [Fact]
    public void Named_ports_alone_replace_the_selector_set()
    {
        var rule = Globally("""
            {"types":["Ingress"],"ingress":[{"action":"Allow","protocol":"TCP","destination":{"selector":"a == 'b'","ports":["http"]}}]}
            """).Ingress.Single();

        Assert.Empty(rule.Destination.Sets);
        Assert.StartsWith("n:", Assert.Single(rule.Destination.NamedPorts));
    }

    [Fact]
    public void Named_ports_beside_numbers_keep_the_selector_set()
    {
        var compiled = Globally("""
            {"types":["Ingress"],"ingress":[{"action":"Allow","protocol":"TCP","destination":{"selector":"a == 'b'","ports":["http",80]}}]}
            """);

        Assert.Single(compiled.Ingress.Single().Destination.Sets);
        Assert.Equal(["n:", "s:"], compiled.Sets.Select(s => s.Id[..2]));
    }

    [Fact]
    public void Excluded_named_ports_are_narrowed_by_the_positive_selector()
    {
        var set = Globally("""
            {"types":["Ingress"],"ingress":[{"action":"Deny","source":{"selector":"a == 'b'","notPorts":["http"]}}]}
            """).Sets.Single(s => s.Kind == SetKind.NamedPort);

        Assert.Equal(("a == \"b\"", "http", (byte)0), (set.Selector, set.PortName, set.Protocol));
    }

    [Fact]
    public void A_service_is_a_set_with_ports_for_destinations_and_without_for_sources()
    {
        var compiled = Namespaced("""
            {"types":["Ingress","Egress"],"ingress":[{"action":"Allow","source":{"services":{"name":"web"}}}],
             "egress":[{"action":"Allow","destination":{"services":{"name":"web","namespace":"other"}}}]}
            """);

        Assert.Equal([("svc", "other/web"), ("svcnoport", "ns/web")], compiled.Sets.Select(s => (s.Id[..s.Id.IndexOf(':')], s.Service)));
    }

    [Fact]
    public void Networks_lose_their_host_bits_and_addresses_become_networks()
    {
        var rule = Globally("""{"types":["Ingress"],"ingress":[{"action":"Allow","source":{"nets":["10.1.2.3/8","10.9.9.9"]}}]}""").Ingress.Single();

        Assert.Equal(["10.0.0.0/8", "10.9.9.9/32"], rule.Source.Nets.Select(n => n.ToString()));
    }

    [Theory]
    [InlineData("""{"ingress":[{"action":"Allow","destination":{"ports":[80]}}]}""")]
    [InlineData("""{"ingress":[{"action":"Allow","protocol":"ICMP","destination":{"ports":[80]}}]}""")]
    [InlineData("""{"selector":"a == "}""")]
    [InlineData("""{"ingress":[{"action":"Allow","source":{"selector":"((a)"}}]}""")]
    [InlineData("""{"ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/33"]}}]}""")]
    [InlineData("""{"ingress":[{"action":"Maybe"}]}""")]
    public void What_cannot_be_compiled_is_an_error_not_an_exception(string spec)
    {
        var policy = (ITieredPolicy)ResourceCodec.Decode(ResourceKind.GlobalNetworkPolicy, Element("GlobalNetworkPolicy", "", spec));

        Assert.False(PolicyCompiler.TryCompile(policy, 1, out _, out var error));
        Assert.StartsWith("gnp/p: ", error);
    }

    [Fact]
    public void A_staged_deletion_is_no_policy()
    {
        var policy = (ITieredPolicy)ResourceCodec.Decode(ResourceKind.StagedNetworkPolicy, Element("StagedNetworkPolicy", "ns", """{"stagedAction":"Delete"}"""));

        Assert.False(PolicyCompiler.TryCompile(policy, 1, out _, out _));
    }

    [Fact]
    public void Missing_types_tier_and_order_mean_both_default_and_last()
    {
        var compiled = Globally("{}");

        Assert.Equal((PolicyTypes.Both, "default", null), (compiled.Types, compiled.Tier, compiled.Order));
    }

    [Fact]
    public void Equal_policies_compile_to_equal_values()
    {
        const string spec = """{"ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"a == 'b'","nets":["10.0.0.0/8"]},"destination":{"ports":[80,"http"]}}]}""";

        Assert.Equal(Globally(spec), Globally(spec));
        Assert.False(Globally(spec).SameMeaning(Globally(spec.Replace("80", "81", StringComparison.Ordinal))));
    }

    [Theory]
    [InlineData("10.0.0.0/8", "", true, false)]
    [InlineData("fd00::/8", "", false, true)]
    [InlineData("10.0.0.0/8,fd00::/8", "", true, true)]
    [InlineData("", "10.0.0.0/8", true, false)]
    [InlineData("", "0.0.0.0/0", false, false)]
    [InlineData("", "", true, true)]
    public void A_rule_is_left_out_where_its_networks_are_of_the_other_family(string nets, string notNets, bool v4, bool v6)
    {
        var rule = new CompiledRule
        {
            Action = Calico.Core.Policy.RuleAction.Allow,
            Source = new EntityMatch { Nets = Parse(nets), NotNets = Parse(notNets) },
        };

        Assert.Equal((v4, v6), (rule.ForFamily(IpVersion.V4) is not null, rule.ForFamily(IpVersion.V6) is not null));
    }

    private static System.Collections.Immutable.ImmutableArray<Cidr> Parse(string nets) =>
        [.. nets.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(n => Cidr.Parse(n))];

    private static void AssertSets(CompiledPolicy policy, string positive, string negative)
    {
        var rule = policy.Ingress.Single();
        Assert.Equal(positive, string.Join(' ', rule.Source.Sets.Select(Text)));
        Assert.Equal(negative, string.Join(' ', rule.Source.NotSets.Select(Text)));

        string Text(string id) => policy.Sets.Single(s => s.Id == id).Selector;
    }

    private static CompiledPolicy Namespaced(string spec) => Compile("NetworkPolicy", "ns", spec);

    private static CompiledPolicy Globally(string spec) => Compile("GlobalNetworkPolicy", "", spec);

    private static CompiledPolicy Compile(string kind, string ns, string spec)
    {
        var json = Element(kind, ns, spec);
        var policy = (ITieredPolicy)ResourceCodec.Decode(ResourceCodec.KindOf(json), json);
        Assert.True(PolicyCompiler.TryCompile(policy, 1, out var compiled, out var error), error);
        return compiled!;
    }

    private static JsonElement Element(string kind, string ns, string spec) => JsonDocument.Parse($$$"""
        {"kind":"{{{kind}}}","apiVersion":"projectcalico.org/v3","metadata":{"name":"p"{{{(ns.Length > 0 ? $",\"namespace\":\"{ns}\"" : "")}}}},"spec":{{{spec}}}}
        """).RootElement;
}
