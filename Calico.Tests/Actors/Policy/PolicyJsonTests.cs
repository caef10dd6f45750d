using System.Text;
using Calico.Actors.Policy;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Distribution;

namespace Calico.Tests.Actors.Policy;

[Layer("unit")]
public sealed class PolicyJsonTests
{
    private const string Key = "/calico/resources/v3/projectcalico.org/networkpolicies/web/a";

    // Every field away from its default, and every field at the default of its type where that is not its own.
    private static readonly CompiledPolicy Full = new()
    {
        Key = new PolicyKey(PolicyKey.NetworkPolicy, "web", "a"),
        Revision = 7,
        Tier = "security",
        Order = -1.5,
        Selector = "app == \"x\"",
        SelectorId = "s:1",
        Types = PolicyTypes.None,
        DoNotTrack = true,
        PreDnat = true,
        ApplyOnForward = true,
        AssumeNeededOnEveryNode = true,
        Ingress =
        [
            new CompiledRule { Action = RuleAction.Allow },
            new CompiledRule
            {
                Action = RuleAction.Pass,
                IpVersion = IpVersion.V6,
                Protocol = 6,
                NotProtocol = 17,
                Icmp = new IcmpMatch(8, 0),
                NotIcmp = new IcmpMatch(0, null),
                Annotations = ["why=because"],
                Source = new EntityMatch
                {
                    Nets = [Cidr.Parse("10.0.0.0/8"), Cidr.Parse("fd00::/64")],
                    NotNets = [Cidr.Parse("10.1.0.0/16")],
                    Ports = [new PortRange(0, 0), new PortRange(80, 90)],
                    NotPorts = [new PortRange(85, 85)],
                    Sets = ["s:2"],
                    NotSets = ["s:3"],
                    NamedPorts = ["p:1"],
                    NotNamedPorts = ["p:2"],
                    Services = ["v:1"],
                },
            },
        ],
        Egress = [new CompiledRule { Action = RuleAction.Log }],
        Sets =
        [
            new SetDefinition("s:2", SetKind.Selector) { Selector = "all()" },
            new SetDefinition("p:1", SetKind.NamedPort) { Selector = "all()", PortName = "http", Protocol = 6 },
            new SetDefinition("v:1", SetKind.Service) { Service = "web/front" },
        ],
    };

    [Fact]
    public void A_policy_comes_back_as_it_was() =>
        Assert.Equal(Full, PolicyJson.Decode(PolicyJson.Encode(new PolicyEntry(Key, 7, Full, null, null))).Policy);

    [Fact]
    public void A_policy_of_defaults_comes_back_as_it_was()
    {
        var plain = new CompiledPolicy { Key = new PolicyKey(PolicyKey.GlobalNetworkPolicy, "", "g"), Revision = 0, Selector = "", SelectorId = "" };

        Assert.Equal(plain, PolicyJson.Decode(PolicyJson.Encode(new PolicyEntry(Key, 0, plain, null, null))).Policy);
    }

    [Fact]
    public void A_profile_comes_back_as_it_was()
    {
        var profile = new CompiledProfile { Name = "kns.web", Revision = 3, Ingress = Full.Ingress, LabelsToApply = [new("pcns.a", "b")] };

        Assert.Equal(profile, PolicyJson.Decode(PolicyJson.Encode(new PolicyEntry(Key, 3, null, profile, null))).Profile);
    }

    [Fact]
    public void Empty_lists_take_no_room() =>
        Assert.DoesNotContain("[]", Encoding.UTF8.GetString(PolicyJson.Encode(new PolicyEntry(Key, 7, Full, null, null))), StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("""{"policy":{"revision":1}}""")]
    [InlineData("""{"policy":{"ingress":[{}]}}""")]
    public void What_is_no_entry_is_a_format_error(string json) =>
        Assert.Throws<FormatException>(() => PolicyJson.Decode(Encoding.UTF8.GetBytes(json)));
}
