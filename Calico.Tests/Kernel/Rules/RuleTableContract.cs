using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Rules;

namespace Calico.Tests.Kernel.Rules;

/// <summary>What routing policy rules do, in the kernel and in the fake.</summary>
public abstract class RuleTableContract : IDisposable
{
    private readonly ITestWorld _world;
    private readonly IRuleTable _rules;

    protected RuleTableContract(ITestWorld world)
    {
        _world = world;
        _rules = world.Create().OpenRules();
    }

    public void Dispose()
    {
        _rules.Dispose();
        _world.Dispose();
        GC.SuppressFinalize(this);
    }

    public static TheoryData<RoutingRule> Rules =>
    [
        new RoutingRule(IpVersion.V4, 99, 100) { Mark = 0x40000, MarkMask = 0x40000 },
        new RoutingRule(IpVersion.V6, 99, 70_000) { Mark = 0, MarkMask = 0x100000, Not = true, Protocol = 80 },
        new RoutingRule(IpVersion.V4, 5, 254) { Source = Cidr.Parse("10.65.0.0/16"), Destination = Cidr.Parse("10.66.1.1/32") },
        new RoutingRule(IpVersion.V6, 5, 254) { Source = Cidr.Parse("fd65::/48"), InputLink = "eth0" },
        new RoutingRule(IpVersion.V4, 5, 254) { SuppressPrefixLength = 0 },
    ];

    [Theory]
    [MemberData(nameof(Rules))]
    public void A_rule_reads_back_is_added_once_and_goes(RoutingRule rule)
    {
        var before = _rules.Dump();

        _rules.Add(rule);
        _rules.Add(rule);
        var during = _rules.Dump();
        _rules.Delete(rule);
        _rules.Delete(rule);

        Assert.Contains(rule, during);
        Assert.Equal(before.Count + 1, during.Count);
        Assert.Equal(before, _rules.Dump());
        Assert.Equal(2, _rules.WriteCount);
    }

    [Fact]
    public void A_namespace_begins_with_the_rules_of_the_kernel()
    {
        Assert.Equal([(0u, 255u), (32766u, 254u), (32767u, 253u)], _rules.Dump(IpVersion.V4).Select(r => (r.Priority, r.Table)));
        Assert.Equal([(0u, 255u), (32766u, 254u)], _rules.Dump(IpVersion.V6).Select(r => (r.Priority, r.Table)));
        Assert.Equal(5, _rules.Dump().Count);
    }

    [Fact]
    public void Rules_are_in_the_order_of_their_priority()
    {
        _rules.Add(new RoutingRule(IpVersion.V4, 200, 100));
        _rules.Add(new RoutingRule(IpVersion.V4, 100, 101));
        _rules.Add(new RoutingRule(IpVersion.V4, 100, 102));

        Assert.Equal([255u, 101u, 102u, 100u, 254u, 253u], _rules.Dump(IpVersion.V4).Select(r => r.Table));
    }

    [Fact]
    public void Rules_that_differ_only_in_their_mark_are_two()
    {
        _rules.Add(new RoutingRule(IpVersion.V4, 7, 100) { Mark = 1, MarkMask = 0xFF });
        _rules.Add(new RoutingRule(IpVersion.V4, 7, 100) { Mark = 2, MarkMask = 0xFF });
        _rules.Delete(new RoutingRule(IpVersion.V4, 7, 100) { Mark = 1, MarkMask = 0xFF });

        Assert.Equal(2u, Assert.Single(_rules.Dump(IpVersion.V4), r => r.Table == 100).Mark);
    }
}

[Layer("kernel")]
public sealed class RuleTableTests() : RuleTableContract(new TestNamespaces());

[Layer("unit")]
public sealed class FakeRuleTableTests() : RuleTableContract(new FakeNamespaces());
