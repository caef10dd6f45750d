using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy.Graph;

[Layer("unit")]
public class NodePolicyGraphTests
{
    private readonly NodePolicyGraph _graph = new();

    [Theory]
    [InlineData("a:1 b:2", "a b")]
    [InlineData("a:2 b:1", "b a")]
    [InlineData("a: b:1", "b a")]
    [InlineData("b:1 a:1", "a b")]
    [InlineData("a:-1 b:-2.5", "b a")]
    public void Policies_go_by_order_and_then_by_name(string policies, string expected)
    {
        foreach (var policy in policies.Split(' ').Select(p => p.Split(':')))
            _graph.UpdatePolicy(Global(policy[0], "all()", policy[1].Length == 0 ? null : double.Parse(policy[1], System.Globalization.CultureInfo.InvariantCulture)));

        Assert.Equal(expected, Names(Web().Normal.Single()));
    }

    [Fact]
    public void Equal_orders_are_settled_by_name_then_namespace_then_kind()
    {
        var kinds = new[] { ("NetworkPolicy", "b"), ("NetworkPolicy", "a"), ("KubernetesNetworkPolicy", "b") };
        foreach (var (kind, ns) in kinds)
            _graph.UpdatePolicy(Global("p", "all()", 1) with { Key = new PolicyKey(kind, ns, "p") });

        Assert.Equal("np/a/p knp/b/p np/b/p", string.Join(' ', Web().Normal.Single().Policies(Direction.Ingress)));
    }

    [Fact]
    public void Tiers_go_by_order_then_name_and_unknown_ones_last()
    {
        foreach (var tier in new[] { new TierState("z", 1, false), new TierState("b", 5, true), new TierState("a", 5, false), new TierState("none", null, false) })
            _graph.UpdateTier(tier);
        foreach (var tier in new[] { "unknown", "none", "a", "b", "z" })
            _graph.UpdatePolicy(Global("p-" + tier, "all()", 1, tier));

        Assert.Equal("z a b none unknown", string.Join(' ', Web().Normal.Select(t => t.Name)));
        Assert.Equal("b", Web().Normal.Single(t => t.DefaultPass).Name);
    }

    [Fact]
    public void A_tier_of_staged_policies_never_drops()
    {
        _graph.UpdatePolicy(Global("s", "all()", 1) with { Key = new PolicyKey(PolicyKey.StagedGlobalNetworkPolicy, "", "s") });
        var tier = Web().Normal.Single();

        Assert.False(tier.DropsAtEnd(Direction.Ingress));
        Assert.Empty(_graph.ActivePolicies);
    }

    [Fact]
    public void A_policy_applies_only_to_its_directions()
    {
        _graph.UpdatePolicy(Global("p", "all()", 1, types: "Egress"));
        var tier = Web().Normal.Single();

        Assert.Empty(tier.Policies(Direction.Ingress));
        Assert.Single(tier.Policies(Direction.Egress));
    }

    [Fact]
    public void Older_revisions_and_repetitions_change_nothing()
    {
        _graph.UpdatePolicy(Global("p", "all()", 1) with { Revision = 5 });
        Web();
        var older = _graph.UpdatePolicy(Global("p", "app == 'x'", 1) with { Revision = 4 });
        var same = _graph.UpdatePolicy(Global("p", "app == 'x'", 1) with { Revision = 5 });

        Assert.False(older);
        Assert.False(same);
        Assert.True(_graph.Flush().IsEmpty);
    }

    [Fact]
    public void An_update_that_was_overtaken_by_its_removal_is_ignored()
    {
        _graph.RemovePolicy(Global("p", "all()").Key, 7);
        var late = _graph.UpdatePolicy(Global("p", "all()") with { Revision = 6 });
        var recreated = _graph.UpdatePolicy(Global("p", "all()") with { Revision = 8 });

        Assert.False(late);
        Assert.True(recreated);
    }

    [Fact]
    public void A_new_revision_of_the_same_meaning_is_known_but_writes_nothing()
    {
        _graph.UpdatePolicy(Global("p", "all()", 1) with { Revision = 5 });
        Web();
        _graph.UpdatePolicy(Global("p", "all()", 1) with { Revision = 6 });

        Assert.Equal(6, _graph.RevisionOf(new PolicyKey(PolicyKey.GlobalNetworkPolicy, "", "p")));
        Assert.True(_graph.Flush().IsEmpty);
    }

    [Fact]
    public void A_delta_upon_an_unknown_revision_asks_for_a_snapshot()
    {
        var member = SetMember.Of(IpAddr.Parse("10.0.0.1"));
        var early = _graph.ApplySetDelta("s:x", 1, 2, [member], []);
        _graph.ReplaceSet("s:x", 2, [member]);
        var repeated = _graph.ApplySetDelta("s:x", 1, 2, [member], []);
        var gap = _graph.ApplySetDelta("s:x", 3, 4, [], [member]);
        var next = _graph.ApplySetDelta("s:x", 2, 3, [], [member]);

        Assert.Equal((SetUpdateResult.Gap, SetUpdateResult.AlreadyKnown, SetUpdateResult.Gap, SetUpdateResult.Applied), (early, repeated, gap, next));
        Assert.Equal(0, _graph.Members("s:x")!.Count);
    }

    [Fact]
    public void An_endpoint_is_ready_once_in_sync_with_all_its_sets()
    {
        var policy = Global("p", "all()", 1, ingress: """{"action":"Allow","source":{"selector":"app == 'web'"}}""");
        _graph.UpdatePolicy(policy);
        Web();
        var before = _graph.Readiness("default/web");
        _graph.SetInSync();
        var waiting = _graph.Readiness("default/web");
        _graph.ReplaceSet(policy.Sets[0].Id, 1, []);
        var after = _graph.Readiness("default/web");

        Assert.False(before.IsReady);
        Assert.Equal(policy.Sets[0].Id, Assert.Single(waiting.MissingSets));
        Assert.False(waiting.IsReady);
        Assert.True(after.IsReady);
    }

    [Theory]
    [InlineData("""{"action":"Allow","source":{"selector":"a == 'b'"}}""", false)]
    [InlineData("""{"action":"Allow","source":{"notSelector":"a == 'b'"}}""", false)]
    [InlineData("""{"action":"Deny","source":{"selector":"a == 'b'"}},{"action":"Allow"}""", false)]
    [InlineData("""{"action":"Pass","source":{"notSelector":"a == 'b'"}}""", false)]
    [InlineData("""{"action":"Allow","protocol":"TCP","source":{"selector":"a == 'b'","ports":["p"]}},{"action":"Deny","protocol":"TCP","source":{"ports":["p",1]}},{"action":"Allow"}""", false)]
    [InlineData("""{"action":"Allow"},{"action":"Deny","source":{"selector":"a == 'b'"}}""", true)]
    public void Nothing_is_let_through_on_account_of_a_set_that_has_not_arrived(string rules, bool allowed)
    {
        _graph.UpdateProfile(AllowNamespace);
        _graph.UpdatePolicy(Global("p", "all()", 1, ingress: rules));
        Web();

        var verdict = PolicyVerdict.Evaluate(_graph, "default/web", Direction.Ingress, Tcp("10.0.0.9", "10.0.0.1", 80));

        Assert.Equal(allowed, verdict.Allowed);
    }

    [Fact]
    public void The_rules_are_whole_again_when_the_set_arrives()
    {
        var policy = Global("p", "all()", 1, ingress: """{"action":"Allow","source":{"notSelector":"a == 'b'"}}""");
        _graph.UpdatePolicy(policy);
        Web();
        _graph.ReplaceSet(policy.Sets[0].Id, 1, []);
        var changes = _graph.Flush();

        Assert.Equal(policy.Ingress.Single(), Assert.Single(changes.PoliciesChanged).Ingress.Single());
    }

    [Fact]
    public void A_profile_that_nobody_knows_denies()
    {
        Web();

        var verdict = PolicyVerdict.Evaluate(_graph, "default/web", Direction.Egress, Tcp("10.0.0.1", "10.0.0.9", 80));

        Assert.Equal((false, VerdictReason.Profile), (verdict.Allowed, verdict.Reason));
    }

    [Fact]
    public void An_endpoint_without_policy_and_profile_drops_everything()
    {
        _graph.UpdateEndpoint(Workload("web", "10.0.0.1").Endpoint with { Profiles = [] });
        _graph.Flush();

        var verdict = PolicyVerdict.Evaluate(_graph, "default/web", Direction.Ingress, Tcp("10.0.0.9", "10.0.0.1", 80));

        Assert.Equal((false, VerdictReason.NothingMatched), (verdict.Allowed, verdict.Reason));
    }

    [Fact]
    public void A_verdict_names_the_rule_that_decided_and_those_that_logged()
    {
        _graph.UpdatePolicy(Global("p", "all()", 1, ingress: """{"action":"Log"},{"action":"Deny","protocol":"UDP"},{"action":"Allow","protocol":"TCP"}""") with { Revision = 9 });
        Web();

        var verdict = PolicyVerdict.Evaluate(_graph, "default/web", Direction.Ingress, Tcp("10.0.0.9", "10.0.0.1", 80));

        Assert.Equal([0, 2], verdict.Steps.Select(s => s.Index));
        Assert.Equal(("gnp/p", 9L, "default"), (verdict.DecidedBy!.Policy!.Value.Id, verdict.DecidedBy.Revision, verdict.Tier));
    }

    [Fact]
    public void The_end_of_a_tier_is_named_when_no_rule_decided()
    {
        _graph.UpdatePolicy(Global("p", "all()", 1));
        Web();

        var verdict = PolicyVerdict.Evaluate(_graph, "default/web", Direction.Ingress, Tcp("10.0.0.9", "10.0.0.1", 80));

        Assert.Equal((false, VerdictReason.EndOfTier, "default"), (verdict.Allowed, verdict.Reason, verdict.Tier));
    }

    [Fact]
    public void A_set_is_wanted_only_while_an_active_policy_uses_it()
    {
        _graph.UpdatePolicy(Global("p", "app == 'web'", 1, ingress: """{"action":"Allow","source":{"selector":"all()"}}"""));
        var before = _graph.Flush();
        _graph.UpdateEndpoint(Workload("web", "10.0.0.1", ("app", "web")).Endpoint);
        var matched = _graph.Flush();
        _graph.RemoveEndpoint("default/web");
        var after = _graph.Flush();

        Assert.True(before.IsEmpty);
        Assert.Single(matched.SetsAdded);
        Assert.Single(after.SetsRemoved);
    }

    [Fact]
    public void A_policy_change_touches_only_what_it_selects()
    {
        for (var i = 0; i < 200; i++)
        {
            _graph.UpdatePolicy(Global($"p{i}", $"app == 'a{i}'", 1));
            _graph.UpdateEndpoint(Workload($"w{i}", $"10.0.0.{i}", ("app", $"a{i}")).Endpoint);
        }
        _graph.Flush();
        var evaluations = _graph.Evaluations;
        _graph.UpdatePolicy(Global("p7", "app == 'a8'", 1) with { Revision = 2 });
        var changes = _graph.Flush();

        Assert.Equal(["default/w7", "default/w8"], changes.EndpointsChanged.Select(e => e.Endpoint.Id));
        Assert.InRange(_graph.Evaluations - evaluations, 1, 3);
    }

    private EndpointPolicies Web()
    {
        _graph.UpdateEndpoint(Workload("web", "10.0.0.1", ("app", "web")).Endpoint);
        _graph.Flush();
        return _graph.Policies("default/web")!;
    }

    private static string Names(EndpointTier tier) => string.Join(' ', tier.Policies(Direction.Ingress).Select(p => p.Name));
}
