using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Nft;

namespace Calico.Tests.Core.Nft;

/// <summary>How packets walk; the single matches are tried against the kernel in NftPacketTests.</summary>
[Layer("unit")]
public sealed class NftEvaluatorTests
{
    private static readonly NftTable Table = new(NftFamily.Ip, "calico");
    private static readonly NftPacket Web = NftPacket.Tcp(IpAddr.Parse("10.1.0.2"), IpAddr.Parse("10.2.0.2"),
        80) with
    { InInterface = "cali1", OutInterface = "cali2" };
    private readonly FakeNftTable _table = new(Table);

    public NftEvaluatorTests() => Commit(new NftOp.AddTable());

    [Fact]
    public void A_packet_that_nothing_decides_gets_the_policy()
    {
        Base("base", NftPolicy.Drop, Rule(new NftMatch.Protocol(17), Verdict(NftVerdict.Accept)));

        var walk = _table.Walk(NftHook.Forward, Web);

        Assert.Equal(NftOutcome.Drop, walk.Outcome);
        Assert.Equal("base policy drop", Assert.Single(walk.Trace).ToString());
        Assert.Null(walk.DecidedBy);
    }

    [Fact]
    public void The_trace_names_the_rules_and_their_causes()
    {
        Chain("policy", new NftRule(new Cause("NetworkPolicy/a/b", "7"), new NftMatch.Protocol(6),
            new NftMatch.Port(NftSide.Destination, 80), Verdict(NftVerdict.Accept)));
        Base("base", NftPolicy.Drop, Rule(new NftMatch.Interface(false, "cali*"), Verdict(NftVerdict.Jump("policy"))));

        var walk = _table.Walk(NftHook.Forward, Web);

        Assert.True(walk.Accepted);
        Assert.Equal(["base[0] iifname \"cali*\" jump policy",
            "policy[0] meta l4proto tcp tcp dport 80 accept (NetworkPolicy/a/b@7)"],
            walk.Trace.Select(s => s.ToString()));
        Assert.Equal("NetworkPolicy/a/b", walk.DecidedBy!.Cause.Resource);
    }

    [Fact]
    public void Return_goes_back_behind_the_jump_and_goto_does_not_come_back()
    {
        Chain("inner", Rule(Verdict(NftVerdict.Return)), Rule(Verdict(NftVerdict.Accept)));
        Chain("outer", Rule(Verdict(NftVerdict.Goto("inner"))), Rule(Verdict(NftVerdict.Accept)));
        Base("base", NftPolicy.Accept, Rule(Verdict(NftVerdict.Jump("outer"))), Rule(Verdict(NftVerdict.Drop)));

        Assert.Equal(NftOutcome.Drop, _table.Walk(NftHook.Forward, Web).Outcome);
    }

    [Fact]
    public void Return_in_a_base_chain_is_its_policy()
    {
        Base("base", NftPolicy.Accept, Rule(Verdict(NftVerdict.Return)), Rule(Verdict(NftVerdict.Drop)));

        Assert.True(_table.Walk(NftHook.Forward, Web).Accepted);
    }

    [Fact]
    public void Accept_ends_one_base_chain_and_drop_all()
    {
        Base("late", NftPolicy.Accept, 10, Rule(new NftMatch.Mark(NftMarkOf.Packet, 1, 1),
            new NftStatement.Reject(NftRejectWith.AdminProhibited)));
        Base("early", NftPolicy.Drop, -10, Rule(new NftStatement.SetMark(NftMarkOf.Packet, 1, 1)),
            Rule(Verdict(NftVerdict.Accept)));

        var walk = _table.Walk(NftHook.Forward, Web);

        Assert.Equal(NftOutcome.Reject, walk.Outcome);
        Assert.Equal(1u, walk.Packet.Mark);
    }

    [Fact]
    public void Nat_chains_see_first_packets_only()
    {
        Commit(new NftOp.AddChain(new NftChain("nat", new NftBaseHook(NftChainType.Nat, NftHook.Postrouting, 100))),
            new NftOp.AppendRule("nat", Rule(new NftStatement.Masquerade())));

        Assert.IsType<NftStatement.Masquerade>(_table.Walk(NftHook.Postrouting, Web).Nat);
        Assert.Null(_table.Walk(NftHook.Postrouting, Web with { CtState = NftCtState.Established }).Nat);
    }

    [Fact]
    public void A_verdict_map_without_the_key_leaves_the_packet_to_the_next_rule()
    {
        var map = NftSet.OfInterfaceVerdicts("map");
        Commit(new NftOp.AddSet(map), new NftOp.AddMapEntries(map,
            new NftMapEntry[] { new(NftElement.OfInterface("cali1"), NftVerdict.Drop) }));
        Base("base", NftPolicy.Accept, Rule(new NftStatement.VerdictMap(NftField.InInterface, "map")));

        Assert.Equal(NftOutcome.Drop, _table.Walk(NftHook.Forward, Web).Outcome);
        Assert.True(_table.Walk(NftHook.Forward, Web with { InInterface = "cali9" }).Accepted);
        Assert.True(_table.Walk(NftHook.Forward, Web with { InInterface = null }).Accepted);
    }

    [Fact]
    public void A_packet_without_ports_fulfils_neither_a_port_nor_its_negation()
    {
        var fragment = Web with { SourcePort = null, DestinationPort = null };
        Base("base", NftPolicy.Accept, Rule(new NftMatch.Protocol(6), new NftMatch.Port(NftSide.Destination, 80),
            Verdict(NftVerdict.Drop)),
            Rule(new NftMatch.Protocol(6), new NftMatch.Port(NftSide.Destination, 80) { Negate = true },
                Verdict(NftVerdict.Drop)));

        Assert.True(_table.Walk(NftHook.Forward, fragment).Accepted);
        Assert.False(_table.Walk(NftHook.Forward, Web).Accepted);
    }

    [Fact]
    public void Untracked_packets_have_no_connection_to_mark_or_ask()
    {
        Base("base", NftPolicy.Accept, Rule(new NftStatement.NoTrack()),
            Rule(new NftStatement.SetMark(NftMarkOf.Connection, 5)),
            Rule(new NftMatch.CtDnat { Negate = true }, Verdict(NftVerdict.Drop)),
                Rule(new NftMatch.CtState(NftCtState.Untracked), new NftStatement.Log("seen")));

        var walk = _table.Walk(NftHook.Forward, Web);

        Assert.True(walk.Accepted);
        Assert.Equal(0u, walk.Packet.CtMark);
        Assert.Equal("seen", Assert.Single(walk.Logs).Prefix);
    }

    [Fact]
    public void Rates_and_connection_counts_are_properties_of_the_packet()
    {
        Base("base", NftPolicy.Accept, Rule(new NftMatch.Rate(10, NftRateUnit.Second) { Negate = true },
            Verdict(NftVerdict.Drop)),
            Rule(new NftMatch.Connections(3) { Negate = true }, Verdict(NftVerdict.Drop)));

        Assert.True(_table.Walk(NftHook.Forward, Web).Accepted);
        Assert.False(_table.Walk(NftHook.Forward, Web with { WithinRate = false }).Accepted);
        Assert.False(_table.Walk(NftHook.Forward, Web with { Connections = 4 }).Accepted);
    }

    [Fact]
    public void What_a_rule_did_before_a_condition_failed_stays_done()
    {
        Base("base", NftPolicy.Accept, Rule(new NftStatement.SetMark(NftMarkOf.Packet, 4, 4),
            new NftMatch.Protocol(17), Verdict(NftVerdict.Drop)));

        Assert.Equal(4u, _table.Walk(NftHook.Forward, Web).Packet.Mark);
    }

    private static NftTerm Verdict(NftVerdict verdict) => new NftStatement.Verdict(verdict);
    private static NftRule Rule(params ReadOnlySpan<NftTerm> terms) => new(Cause.None, terms);
    private void Base(string name, NftPolicy policy, params NftRule[] rules) => Base(name, policy, 0, rules);
    private void Base(string name, NftPolicy policy, int priority, params NftRule[] rules) =>
        Commit([new NftOp.AddChain(new NftChain(name, new NftBaseHook(NftChainType.Filter, NftHook.Forward, priority,
            policy))), .. rules.Select(r => new NftOp.AppendRule(name, r))]);
    private void Chain(string name, params NftRule[] rules) =>
        Commit([new NftOp.AddChain(new NftChain(name)), .. rules.Select(r => new NftOp.AppendRule(name, r))]);
    private void Commit(params NftOp[] ops) => _table.Commit(new NftTransaction(Table, [.. ops]));
}
