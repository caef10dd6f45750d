using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel;
using Calico.Kernel.Nft;
using CsCheck;

namespace Calico.Tests.Core.Nft;

/// <summary>The delta against the fake kernel, which refuses every operation that comes in the wrong order.</summary>
[Layer("unit")]
public sealed class NftDeltaTests
{
    private static readonly NftTable Table = new(NftFamily.Ip, "calico");
    private readonly FakeNftTable _kernel = new(Table);
    private readonly NftDelta _delta = new(Table);

    public NftDeltaTests() => _delta.Adopt(_kernel.Dump());

    [Fact]
    public void One_member_more_is_one_operation_with_one_member()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.AddElements("s", Host(1), Host(2), Host(3));
        Commit();

        _delta.AddElements("s", Host(3), Host(4));
        _delta.RemoveElements("s", Host(1));

        Assert.Equal("""
            delete element ip calico s { 10.0.0.1 }
            create element ip calico s { 10.0.0.4 }

            """, Commit().ToString());
    }

    [Fact]
    public void A_member_that_comes_and_goes_before_the_plan_is_no_operation()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.AddElements("s", Host(1));
        Commit();

        _delta.RemoveElements("s", Host(1));
        _delta.AddElements("s", Host(2), Host(1));
        _delta.RemoveElements("s", Host(2));

        Assert.True(_delta.Plan().IsEmpty);
        Assert.False(_delta.HasChanges);
    }

    [Fact]
    public void Nested_networks_reach_the_kernel_as_their_cover()
    {
        _delta.SetDefinition(NftSet.OfNetworks("s", IpVersion.V4));
        _delta.AddElements("s", Net("10.1.0.0/16"), Net("10.2.0.0/16"), Net("10.1.2.0/24"));
        Commit();
        Assert.Equal([Net("10.1.0.0/16"), Net("10.2.0.0/16")], _kernel.SetOf("s").Elements.Order());

        _delta.AddElements("s", Net("10.0.0.0/8"));
        Commit();
        Assert.Equal([Net("10.0.0.0/8")], _kernel.SetOf("s").Elements);

        _delta.RemoveElements("s", Net("10.0.0.0/8"), Net("10.1.0.0/16"));
        Commit();
        Assert.Equal([Net("10.1.2.0/24"), Net("10.2.0.0/16")], _kernel.SetOf("s").Elements.Order());
    }

    [Fact]
    public void Rules_that_stay_keep_their_handles()
    {
        _delta.SetChain("c", Rules("abcdef"));
        Commit();
        var before = Handles();

        _delta.SetChain("c", Rules("abxdefy"));
        var transaction = Commit();

        Assert.Equal(["ReplaceRule", "AppendRule"], transaction.Ops.Select(o => o.GetType().Name));
        var after = Handles();
        Assert.Equal([before[0], before[1], before[3], before[4], before[5]],
            new[] { after[0], after[1], after[3], after[4], after[5] });
    }

    [Fact]
    public void Any_chain_becomes_any_other() =>
        Gen.Select(Gen.String[Gen.Char['a', 'h'], 0, 14], Gen.String[Gen.Char['a', 'h'], 0, 14]).Sample((from, to) =>
        {
            var kernel = new FakeNftTable(Table);
            var delta = new NftDelta(Table);
            delta.Adopt(kernel.Dump());
            delta.SetChain("c", Rules(from));
            delta.Committed(kernel.Commit(delta.Plan()));
            delta.SetChain("c", Rules(to));
            var transaction = delta.Plan();
            if (!transaction.IsEmpty)
                delta.Committed(kernel.Commit(transaction));

            Assert.Equal(Rules(to), kernel.RulesOf("c"));
            Assert.True(transaction.ObjectCount <= from.Length + to.Length);
            if (from.Distinct().Count() == from.Length && to.Distinct().Count() == to.Length)
                Assert.True(transaction.ObjectCount <= from.Length + to.Length - (2 * CommonSubsequence(from, to)));
            Assert.True(delta.Plan().IsEmpty);
            var adopted = new NftDelta(Table);
            adopted.SetChain("c", Rules(to));
            adopted.Adopt(kernel.Dump());
            Assert.True(adopted.Plan().IsEmpty);
        }, iter: 2000);

    [Fact]
    public void A_moved_rule_costs_two_operations()
    {
        _delta.SetChain("c", Rules("abcdefgh"));
        Commit();

        _delta.SetChain("c", Rules("habcdefg"));

        Assert.Equal(["InsertRule", "DeleteRule"], Commit().Ops.Select(o => o.GetType().Name));
    }

    [Fact]
    public void Chains_and_sets_come_before_the_rules_that_use_them_and_go_after()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.SetDefinition(NftSet.OfInterfaceVerdicts("m"));
        _delta.SetChain("a", [Jump("b"), Lookup("s"), new NftRule(Cause.None,
            new NftStatement.VerdictMap(NftField.InInterface, "m"))]);
        _delta.SetChain("b", [Jump("c")]);
        _delta.SetChain("c", []);
        _delta.MapSet("m", NftElement.OfInterface("cali1"), NftVerdict.Goto("c"));
        Commit();
        Assert.Equal(3, _kernel.Chains.Count());

        foreach (var chain in new[] { "a", "b", "c" })
            _delta.RemoveChain(chain);
        _delta.RemoveSet("s");
        _delta.RemoveSet("m");
        Commit();

        Assert.Empty(_kernel.Chains);
        Assert.Empty(_kernel.Dump().Sets);
        Assert.Equal(0, _delta.ChainCount + _delta.SetCount + _delta.KnownRuleCount);
    }

    [Fact]
    public void An_endpoint_that_moves_to_another_chain_changes_one_entry()
    {
        _delta.SetDefinition(NftSet.OfInterfaceVerdicts("m"));
        _delta.SetChain("x", []);
        _delta.SetChain("y", []);
        _delta.MapSet("m", NftElement.OfInterface("cali1"), NftVerdict.Goto("x"));
        Commit();

        _delta.MapSet("m", NftElement.OfInterface("cali1"), NftVerdict.Goto("y"));
        _delta.RemoveChain("x");

        Assert.Equal("""
            delete element ip calico m { "cali1" }
            create element ip calico m { "cali1" : goto y }
            delete chain ip calico x

            """, Commit().ToString());
    }

    [Fact]
    public void A_set_with_another_definition_is_made_anew_with_the_rules_that_use_it()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.AddElements("s", Host(1));
        _delta.SetChain("user", [Lookup("s"), .. Rules("ab")]);
        _delta.SetChain("other", Rules("c"));
        Commit();

        _delta.RemoveSet("s");
        _delta.SetDefinition(NftSet.OfNetworks("s", IpVersion.V4));
        _delta.AddElements("s", Net("10.0.0.0/8"));
        var transaction = Commit();

        Assert.True(_kernel.SetOf("s").Set.Interval);
        Assert.Equal([Net("10.0.0.0/8")], _kernel.SetOf("s").Elements);
        Assert.Equal([Lookup("s"), .. Rules("ab")], _kernel.RulesOf("user"));
        Assert.DoesNotContain("other", transaction.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_base_chain_with_another_priority_is_made_anew()
    {
        var hook = new NftBaseHook(NftChainType.Filter, NftHook.Forward, 0);
        _delta.SetChain(new NftChain("base", hook), Rules("ab"));
        Commit();

        _delta.SetChain(new NftChain("base", hook with { Priority = 5 }), Rules("abc"));
        Commit();

        Assert.Equal(5, _kernel.Chains.Single().Base!.Value.Priority);
        Assert.Equal(Rules("abc"), _kernel.RulesOf("base"));
    }

    [Fact]
    public void A_chain_in_a_map_that_becomes_a_base_chain_leaves_the_map_first()
    {
        _delta.SetDefinition(NftSet.OfInterfaceVerdicts("m"));
        _delta.SetChain("x", []);
        _delta.SetChain("y", []);
        _delta.MapSet("m", NftElement.OfInterface("cali1"), NftVerdict.Goto("x"));
        Commit();

        _delta.SetChain(new NftChain("x", new NftBaseHook(NftChainType.Filter, NftHook.Input, 0)), []);
        _delta.MapSet("m", NftElement.OfInterface("cali1"), NftVerdict.Goto("y"));
        Commit();

        Assert.Equal(NftVerdict.Goto("y"), _kernel.SetOf("m").Verdicts[NftElement.OfInterface("cali1")]);
    }

    [Fact]
    public void Another_policy_is_one_operation()
    {
        var hook = new NftBaseHook(NftChainType.Filter, NftHook.Forward, 0);
        _delta.SetChain(new NftChain("base", hook), Rules("ab"));
        Commit();

        _delta.SetChain(new NftChain("base", hook with { Policy = NftPolicy.Drop }), Rules("ab"));

        Assert.IsType<NftOp.SetChainPolicy>(Assert.Single(Commit().Ops));
    }

    [Fact]
    public void What_a_rejected_plan_had_is_in_the_next_one()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.AddElements("s", Host(1));
        _delta.SetChain("c", Rules("ab"));
        var transaction = _delta.Plan();
        _kernel.Kernel.FailNextCommit(Errno.ENOMEM);
        Assert.Throws<KernelException>(() => _kernel.Commit(transaction));

        _delta.Rejected();

        Assert.Equal(transaction.ToString(), Commit().ToString());
        Assert.Equal(Rules("ab"), _kernel.RulesOf("c"));
    }

    [Fact]
    public void Wishes_that_change_while_a_plan_is_under_way_enter_the_next_one()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.AddElements("s", Host(1), Host(2));
        _delta.SetChain("c", Rules("ab"));
        _delta.SetChain("gone", []);
        var transaction = _delta.Plan();

        _delta.AddElements("s", Host(3));
        _delta.RemoveElements("s", Host(1));
        _delta.SetChain("c", Rules("bx"));
        _delta.RemoveChain("gone");
        Assert.Throws<InvalidOperationException>(() => _delta.Plan());
        _delta.Committed(_kernel.Commit(transaction));
        Commit();

        Assert.Equal([Host(2), Host(3)], _kernel.SetOf("s").Elements.Order());
        Assert.Equal(Rules("bx"), _kernel.RulesOf("c"));
        Assert.Single(_kernel.Chains);
    }

    [Fact]
    public void A_table_that_somebody_deleted_is_written_again()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));
        _delta.AddElements("s", Host(1));
        _delta.SetChain("c", [Lookup("s")]);
        Commit();
        _kernel.Commit(new NftTransaction(Table, [new NftOp.DeleteTable()]));

        _delta.Adopt(_kernel.Dump());
        Commit();

        Assert.Equal([Lookup("s")], _kernel.RulesOf("c"));
        Assert.Equal([Host(1)], _kernel.SetOf("s").Elements);
    }

    [Fact]
    public void A_set_redefined_without_being_removed_is_a_bug()
    {
        _delta.SetDefinition(NftSet.OfAddresses("s", IpVersion.V4));

        Assert.Throws<InvalidOperationException>(() => _delta.SetDefinition(NftSet.OfNetworks("s", IpVersion.V4)));
        Assert.Throws<InvalidOperationException>(() => _delta.AddElements("t", Host(1)));
    }

    /// <summary>
    /// Random wishes in random portions, with restarts and interference between: the kernel ends as wished, and
    /// the plan after that is empty.
    /// </summary>
    [Fact]
    public void Any_history_ends_in_the_wished_state() =>
        Gen.Select(Gen.Int[0, 11], Gen.Int[0, 5], Gen.Int[0, 30]).Array[0, 120].Sample(steps =>
        {
            var world = new FakeNftKernel();
            var kernel = new FakeNftTable(Table, world);
            var wishes = new NftWishes();
            var delta = new NftDelta(Table);
            delta.Adopt(kernel.Dump());
            foreach (var (kind, name, value) in steps)
            {
                if (kind == 10)
                {
                    Sync(delta, kernel);
                    wishes.AssertIn(kernel);
                }
                else if (kind == 11)
                {
                    kernel = new FakeNftTable(Table, world);
                    delta = new NftDelta(Table);
                    wishes.Replay(delta);
                    delta.Adopt(kernel.Dump());
                }
                else
                {
                    wishes.Step(delta, kind, name, value);
                }
            }
            Sync(delta, kernel);
            wishes.AssertIn(kernel);
            delta.Adopt(kernel.Dump());
            Assert.True(delta.Plan().IsEmpty);
            Assert.False(delta.HasChanges);
        }, iter: 400);

    private static void Sync(NftDelta delta, FakeNftTable kernel)
    {
        var transaction = delta.Plan();
        if (!transaction.IsEmpty)
            delta.Committed(kernel.Commit(transaction));
    }

    private static int CommonSubsequence(string a, string b) => a.Length == 0 || b.Length == 0 ? 0
        : a[0] == b[0] ? 1 + CommonSubsequence(a[1..], b[1..])
        : Math.Max(CommonSubsequence(a[1..], b), CommonSubsequence(a, b[1..]));

    private NftTransaction Commit()
    {
        var transaction = _delta.Plan();
        if (!transaction.IsEmpty)
            _delta.Committed(_kernel.Commit(transaction));
        Assert.False(_delta.HasChanges);
        Assert.Equal(_kernel.Chains.Sum(c => _kernel.RulesOf(c.Name).Count), _delta.KnownRuleCount);
        return transaction;
    }

    private ulong[] Handles() => [.. _kernel.Dump().Chains.Single(c => c.Chain.Name == "c").Rules.Select(r =>
        r.Handle)];
    private static NftElement Host(byte last) => NftElement.Of(IpAddr.FromV4(0x0a000000u + last));
    private static NftElement Net(string text) => NftElement.Of(Cidr.Parse(text));
    internal static NftRule[] Rules(string letters) => [.. letters.Select(l =>
        new NftRule(new Cause("x"), new NftMatch.Mark(NftMarkOf.Packet, l), new NftStatement.Counter()))];
    private static NftRule Jump(string chain) => new(Cause.None, new NftStatement.Verdict(NftVerdict.Jump(chain)));
    private static NftRule Lookup(string set) => new(Cause.None, new NftMatch.InSet(set, NftField.SourceAddress),
        new NftStatement.Counter());
}
