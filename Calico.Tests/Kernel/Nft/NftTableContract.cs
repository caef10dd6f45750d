using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel;
using Calico.Kernel.Nft;

namespace Calico.Tests.Kernel.Nft;

/// <summary>What every <see cref="INftTable"/> promises; run against the kernel and against the fake.</summary>
public abstract class NftTableContract : IDisposable
{
    protected static readonly NftTable Table = NftSamples.V4;
    private static readonly NftSet Hosts = NftSet.OfAddresses("hosts", IpVersion.V4);
    private static readonly NftSet Nets = NftSet.OfNetworks("nets", IpVersion.V4);
    private static readonly NftSet Dispatch = NftSet.OfInterfaceVerdicts("dispatch");
    private static readonly NftRule First = new(new Cause("A", "1"), new NftMatch.Protocol(6),
        new NftStatement.Counter());
    private static readonly NftRule Second = new(new Cause("B", "2"), new NftMatch.Protocol(17),
        new NftStatement.Counter());
    private static readonly NftRule Third = new(new Cause("C", "3"), new NftMatch.Protocol(132),
        new NftStatement.Counter());

    /// <summary>Opens the table anew over the same kernel, as a restarted process would.</summary>
    protected abstract INftTable Open();

    public abstract void Dispose();

    [Fact]
    public void A_table_that_is_not_there_dumps_as_absent()
    {
        using var table = Open();

        Assert.False(table.Dump().Exists);
    }

    [Fact]
    public void An_empty_transaction_writes_nothing()
    {
        using var table = Open();
        var before = table.Generation();

        table.Commit(Transaction());

        Assert.Equal(0, table.WriteCount);
        Assert.Equal(before, table.Generation());
    }

    [Fact]
    public void Chains_rules_sets_and_members_come_back_in_the_dump()
    {
        using var table = Open();
        var forward = new NftChain("filter-FORWARD", new NftBaseHook(NftChainType.Filter, NftHook.Forward, -5,
            NftPolicy.Drop));
        var hosts = Hosts with { Cause = new Cause("NetworkPolicy/a/b", "7") };
        table.Commit(Transaction([.. Base(), new NftOp.AddChain(forward), new NftOp.AddSet(hosts),
            new NftOp.AddSet(Nets), new NftOp.AddSet(Dispatch),
            new NftOp.AddElements(hosts, Addresses("10.0.0.1", "10.0.0.2")),
                new NftOp.AddElements(Nets, Networks("10.0.0.0/8", "11.0.0.0/8", "0.0.0.0/5", "255.0.0.0/8")),
            new NftOp.AddMapEntries(Dispatch, new NftMapEntry[] { new(NftElement.OfInterface("cali1"),
                NftVerdict.Goto("c")), new(NftElement.OfInterface("cali2"), NftVerdict.Drop) }),
            new NftOp.AppendRule("c", First), new NftOp.AppendRule("c", Second)]));

        using var again = Open();
        var dump = again.Dump();

        Assert.Equal(["c", "filter-FORWARD"], dump.Chains.Select(c => c.Chain.Name).Order());
        Assert.Equal(forward, dump.Chains.Single(c => c.Chain.Base is not null).Chain);
        Assert.Equal([First.Hash, Second.Hash], Chain(dump).Rules.Select(r => r.Hash!.Value));
        Assert.Equal([First.Cause, Second.Cause], Chain(dump).Rules.Select(r => r.Cause));
        Assert.Equal(hosts, Set(dump, "hosts").Set);
        Assert.Equal(Nets, Set(dump, "nets").Set);
        Assert.Equal(Addresses("10.0.0.1", "10.0.0.2"), Set(dump, "hosts").Elements.ToArray().Order());
        Assert.Equal(Networks("0.0.0.0/5", "10.0.0.0/8", "11.0.0.0/8", "255.0.0.0/8"),
            Set(dump, "nets").Elements.ToArray().Order());
        Assert.Equal([new(NftElement.OfInterface("cali1"), NftVerdict.Goto("c")),
            new(NftElement.OfInterface("cali2"), NftVerdict.Drop)],
            Set(dump, "dispatch").Entries.ToArray().OrderBy(e => e.Key));
    }

    [Theory]
    [InlineData(IpVersion.V4)]
    [InlineData(IpVersion.V6)]
    public void Members_of_concatenated_sets_come_back_in_the_dump(IpVersion version)
    {
        var set = NftSet.OfAddressPorts("ports", version);
        var address = IpAddr.Parse(version == IpVersion.V4 ? "10.1.2.3" : "fd00::5");
        NftElement[] members = [NftElement.Of(address, 6, 80), NftElement.Of(address, 6, 443),
            NftElement.Of(address, 17, 80)];
        using var table = Open();
        table.Commit(Transaction(new NftOp.AddTable(), new NftOp.AddSet(set), new NftOp.AddElements(set, members)));

        Assert.Equal(members, Set(table.Dump(), "ports").Elements.ToArray().Order());
    }

    [Fact]
    public void New_rules_get_handles_in_the_order_of_the_transaction()
    {
        using var table = Open();

        var committed = table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First),
            new NftOp.AppendRule("c", Second)]));

        Assert.Equal(Chain(table.Dump()).Rules.Select(r => r.Handle), committed.NewHandles);
    }

    [Fact]
    public void Rules_are_inserted_replaced_and_deleted_by_handle()
    {
        using var table = Open();
        var handles = table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First),
            new NftOp.AppendRule("c", Second)])).NewHandles;

        var more = table.Commit(Transaction(new NftOp.InsertRule("c", handles[1], Third),
            new NftOp.ReplaceRule("c", handles[0], Second),
            new NftOp.DeleteRule("c", handles[1]), new NftOp.AppendRule("c", First)));

        var rules = Chain(table.Dump()).Rules;
        Assert.Equal([Second.Hash, Third.Hash, First.Hash], rules.Select(r => r.Hash!.Value));
        Assert.Equal([rules[1].Handle, rules[0].Handle, rules[2].Handle], more.NewHandles.ToArray());
    }

    [Fact]
    public void Flushing_a_chain_removes_its_rules_and_keeps_it()
    {
        using var table = Open();
        table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First)]));

        table.Commit(Transaction(new NftOp.FlushChain("c")));

        Assert.Empty(Chain(table.Dump()).Rules);
    }

    [Fact]
    public void Deleting_a_chain_deletes_its_rules()
    {
        using var table = Open();
        table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First)]));

        table.Commit(Transaction(new NftOp.DeleteChain("c")));

        Assert.Empty(table.Dump().Chains);
    }

    [Fact]
    public void Members_are_removed_one_by_one()
    {
        using var table = Open();
        table.Commit(Transaction(new NftOp.AddTable(), new NftOp.AddSet(Hosts), new NftOp.AddSet(Nets),
            new NftOp.AddElements(Hosts, Addresses("10.0.0.1", "10.0.0.2")),
            new NftOp.AddElements(Nets, Networks("10.0.0.0/8", "11.0.0.0/8"))));

        table.Commit(Transaction(new NftOp.RemoveElements(Hosts, Addresses("10.0.0.1")),
            new NftOp.RemoveElements(Nets, Networks("11.0.0.0/8"))));

        var dump = table.Dump();
        Assert.Equal(Addresses("10.0.0.2"), Set(dump, "hosts").Elements.ToArray());
        Assert.Equal(Networks("10.0.0.0/8"), Set(dump, "nets").Elements.ToArray());
    }

    [Fact]
    public void A_network_takes_the_place_of_those_inside_it_within_one_transaction()
    {
        using var table = Open();
        table.Commit(Transaction(new NftOp.AddTable(), new NftOp.AddSet(Nets),
            new NftOp.AddElements(Nets, Networks("10.0.0.0/16", "10.1.0.0/16", "12.0.0.0/8"))));

        table.Commit(Transaction(new NftOp.RemoveElements(Nets, Networks("10.0.0.0/16", "10.1.0.0/16")),
            new NftOp.AddElements(Nets, Networks("10.0.0.0/15"))));

        Assert.Equal(Networks("10.0.0.0/15", "12.0.0.0/8"), Set(table.Dump(), "nets").Elements.ToArray().Order());
    }

    [Fact]
    public void A_map_entry_gets_another_verdict_within_one_transaction()
    {
        using var table = Open();
        var key = NftElement.OfInterface("cali1");
        table.Commit(Transaction([.. Base(), new NftOp.AddSet(Dispatch),
            new NftOp.AddMapEntries(Dispatch, new NftMapEntry[] { new(key, NftVerdict.Drop) })]));

        table.Commit(Transaction(new NftOp.RemoveElements(Dispatch, new[] { key }),
            new NftOp.AddMapEntries(Dispatch, new NftMapEntry[] { new(key, NftVerdict.Goto("c")) })));

        Assert.Equal([new(key, NftVerdict.Goto("c"))], Set(table.Dump(), "dispatch").Entries.ToArray());
    }

    [Fact]
    public void The_policy_of_a_base_chain_changes_in_place()
    {
        using var table = Open();
        var hook = new NftBaseHook(NftChainType.Filter, NftHook.Input, 0);
        table.Commit(Transaction(new NftOp.AddTable(), new NftOp.AddChain(new NftChain("c", hook)),
            new NftOp.AppendRule("c", First)));

        table.Commit(Transaction(new NftOp.SetChainPolicy(new NftChain("c", hook with { Policy = NftPolicy.Drop }))));

        Assert.Equal(NftPolicy.Drop, Chain(table.Dump()).Chain.Base!.Value.Policy);
        Assert.Single(Chain(table.Dump()).Rules);
    }

    [Fact]
    public void A_refused_operation_undoes_those_before_it_and_is_named()
    {
        using var table = Open();
        table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First)]));
        var writes = table.WriteCount;

        var refused = Assert.Throws<KernelException>(() => table.Commit(Transaction(
            new NftOp.AppendRule("c", Second), new NftOp.FlushChain("c"), new NftOp.AddSet(Hosts),
                new NftOp.AppendRule("gone", Third))));

        Assert.Equal(Errno.ENOENT, refused.Errno);
        Assert.Contains("operation 4 of 4", refused.Message, StringComparison.Ordinal);
        Assert.Contains("add rule ip calico gone meta l4proto sctp", refused.Message, StringComparison.Ordinal);
        Assert.Equal([First.Hash], Chain(table.Dump()).Rules.Select(r => r.Hash!.Value));
        Assert.Empty(table.Dump().Sets);
        Assert.Equal(writes, table.WriteCount);
    }

    public static TheoryData<string, Errno> Refusals => new()
    {
        { "table twice", Errno.EEXIST },
        { "chain twice", Errno.EEXIST },
        { "set twice", Errno.EEXIST },
        { "member twice", Errno.EEXIST },
        { "network inside", Errno.EEXIST },
        { "network around", Errno.EEXIST },
        { "entry twice", Errno.EEXIST },
        { "entry with another verdict", Errno.EEXIST },
        { "rule in no chain", Errno.ENOENT },
        { "jump to no chain", Errno.ENOENT },
        { "entry to no chain", Errno.ENOENT },
        { "lookup in no set", Errno.ENOENT },
        { "insert before no rule", Errno.ENOENT },
        { "replace no rule", Errno.ENOENT },
        { "delete no rule", Errno.ENOENT },
        { "delete no chain", Errno.ENOENT },
        { "delete no set", Errno.ENOENT },
        { "remove no member", Errno.ENOENT },
        { "delete chain jumped to", Errno.EBUSY },
        { "delete chain in map", Errno.EBUSY },
        { "delete set in use", Errno.EBUSY },
        { "jump to base chain", Errno.EOPNOTSUPP },
        { "verdict map in set", Errno.EINVAL },
        { "masquerade while forwarding", Errno.EOPNOTSUPP },
        { "loop", (Errno)31 },
        { "full set", (Errno)23 },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void Wrong_operations_are_refused_with_the_errno_of_the_kernel(string what, Errno errno)
    {
        using var table = Open();
        var key = NftElement.OfInterface("cali1");
        var forward = new NftChain("forward", new NftBaseHook(NftChainType.Filter, NftHook.Forward, 0));
        var small = new NftSet("small", NftDataType.Ipv4Addr) { MaxSize = 1 };
        table.Commit(Transaction([.. Base(), new NftOp.AddChain(new NftChain("used")),
            new NftOp.AddChain(new NftChain("mapped")), new NftOp.AddChain(forward),
            new NftOp.AddSet(Hosts), new NftOp.AddSet(Nets), new NftOp.AddSet(Dispatch), new NftOp.AddSet(small),
                new NftOp.AddElements(Hosts, Addresses("10.0.0.1")),
            new NftOp.AddElements(Nets, Networks("10.1.0.0/16")),
                new NftOp.AddMapEntries(Dispatch, new NftMapEntry[] { new(key, NftVerdict.Goto("mapped")) }),
            new NftOp.AppendRule("c", Jump("used")), new NftOp.AppendRule("c", Lookup("hosts")),
                new NftOp.AppendRule("forward", Jump("c"))]));
        NftOp wrong = what switch
        {
            "table twice" => new NftOp.AddTable(),
            "chain twice" => new NftOp.AddChain(new NftChain("c")),
            "set twice" => new NftOp.AddSet(Hosts),
            "member twice" => new NftOp.AddElements(Hosts, Addresses("10.0.0.1")),
            "network inside" => new NftOp.AddElements(Nets, Networks("10.1.2.0/24")),
            "network around" => new NftOp.AddElements(Nets, Networks("10.0.0.0/8")),
            "entry twice" => new NftOp.AddMapEntries(Dispatch,
                new NftMapEntry[] { new(key, NftVerdict.Goto("mapped")) }),
            "entry with another verdict" => new NftOp.AddMapEntries(Dispatch,
                new NftMapEntry[] { new(key, NftVerdict.Goto("used")) }),
            "rule in no chain" => new NftOp.AppendRule("gone", First),
            "jump to no chain" => new NftOp.AppendRule("c", Jump("gone")),
            "entry to no chain" => new NftOp.AddMapEntries(Dispatch,
                new NftMapEntry[] { new(NftElement.OfInterface("x"), NftVerdict.Goto("gone")) }),
            "lookup in no set" => new NftOp.AppendRule("c", Lookup("gone")),
            "insert before no rule" => new NftOp.InsertRule("c", 999, First),
            "replace no rule" => new NftOp.ReplaceRule("c", 999, First),
            "delete no rule" => new NftOp.DeleteRule("c", 999),
            "delete no chain" => new NftOp.DeleteChain("gone"),
            "delete no set" => new NftOp.DeleteSet("gone"),
            "remove no member" => new NftOp.RemoveElements(Hosts, Addresses("10.0.0.2")),
            "delete chain jumped to" => new NftOp.DeleteChain("used"),
            "delete chain in map" => new NftOp.DeleteChain("mapped"),
            "delete set in use" => new NftOp.DeleteSet("hosts"),
            "jump to base chain" => new NftOp.AppendRule("c", Jump("forward")),
            "verdict map in set" => new NftOp.AppendRule("c",
                new NftRule(Cause.None, new NftStatement.VerdictMap(NftField.SourceAddress, "hosts"))),
            "masquerade while forwarding" => new NftOp.AppendRule("forward",
                new NftRule(Cause.None, new NftStatement.Masquerade())),
            "loop" => new NftOp.AppendRule("used", Jump("c")),
            _ => new NftOp.AddElements(small, Addresses("10.0.0.1", "10.0.0.2")),
        };

        var refused = Assert.Throws<KernelException>(() => table.Commit(Transaction(wrong)));

        Assert.Equal(errno, refused.Errno);
    }

    [Fact]
    public void Chains_that_use_each_other_can_go_together_once_they_are_empty()
    {
        using var table = Open();
        table.Commit(Transaction([.. Base(), new NftOp.AddChain(new NftChain("d")),
            new NftOp.AppendRule("d", Jump("c")), new NftOp.AddSet(Hosts),
            new NftOp.AppendRule("c", Lookup("hosts"))]));

        table.Commit(Transaction(new NftOp.FlushChain("c"), new NftOp.FlushChain("d"), new NftOp.DeleteSet("hosts"),
            new NftOp.DeleteChain("c"), new NftOp.DeleteChain("d")));

        Assert.Empty(table.Dump().Chains);
        Assert.Empty(table.Dump().Sets);
    }

    [Fact]
    public void A_set_is_made_anew_with_another_key_within_one_transaction()
    {
        using var table = Open();
        var handle = table.Commit(Transaction([.. Base(), new NftOp.AddSet(Hosts),
            new NftOp.AppendRule("c", Lookup("hosts"))])).NewHandles[0];

        table.Commit(Transaction(new NftOp.DeleteRule("c", handle), new NftOp.DeleteSet("hosts"),
            new NftOp.AddSet(Nets with { Cause = new Cause("X") }),
            new NftOp.AddSet(NftSet.OfNetworks("hosts", IpVersion.V4)), new NftOp.AppendRule("c", Lookup("hosts"))));

        Assert.True(Set(table.Dump(), "hosts").Set.Interval);
    }

    [Fact]
    public void Deleting_the_table_takes_everything()
    {
        using var table = Open();
        table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First)]));

        table.Commit(Transaction(new NftOp.DeleteTable()));

        Assert.False(table.Dump().Exists);
    }

    [Fact]
    public void Every_object_of_a_transaction_counts_as_a_write()
    {
        using var table = Open();

        table.Commit(Transaction([.. Base(), new NftOp.AppendRule("c", First), new NftOp.AddSet(Hosts),
            new NftOp.AddElements(Hosts, Addresses("10.0.0.1", "10.0.0.2", "10.0.0.3"))]));

        Assert.Equal(7, table.WriteCount);
    }

    [Fact]
    public void A_large_transaction_goes_in_whole()
    {
        using var table = Open();
        var members = Enumerable.Range(0, 100_000).Select(i =>
            NftElement.Of(IpAddr.FromV4(0x0a000000 + (uint)i))).ToArray();
        var rules = Enumerable.Range(0, 6000).Select(i => new NftRule(new Cause($"R{i}"),
            new NftMatch.Mark(NftMarkOf.Packet, (uint)i), new NftStatement.Counter())).ToList();

        var committed = table.Commit(Transaction([.. Base(), new NftOp.AddSet(Hosts),
            new NftOp.AddElements(Hosts, members), .. rules.Select(r => new NftOp.AppendRule("c", r))]));

        var dump = table.Dump();
        Assert.Equal(members.Length, Set(dump, "hosts").Elements.Length);
        Assert.Equal(rules.Select(r => r.Hash), Chain(dump).Rules.Select(r => r.Hash!.Value));
        Assert.Equal(Chain(dump).Rules.Select(r => r.Handle), committed.NewHandles);
    }

    private static NftOp[] Base() => [new NftOp.AddTable(), new NftOp.AddChain(new NftChain("c"))];
    private static NftTransaction Transaction(params NftOp[] ops) => new(Table, [.. ops]);
    private static NftRule Jump(string chain) => new(Cause.None, new NftStatement.Verdict(NftVerdict.Jump(chain)));
    private static NftRule Lookup(string set) => new(Cause.None, new NftMatch.InSet(set, NftField.SourceAddress),
        new NftStatement.Counter());
    private static NftElement[] Addresses(params string[] texts) =>
        [.. texts.Select(t => NftElement.Of(IpAddr.Parse(t)))];
    private static NftElement[] Networks(params string[] texts) => [.. texts.Select(t => NftElement.Of(Cidr.Parse(t)))];
    private static NftDumpedChain Chain(NftDump dump) => dump.Chains.Single(c => c.Chain.Name == "c");
    private static NftDumpedSet Set(NftDump dump, string name) => dump.Sets.Single(s => s.Set.Name == name);
}

[Layer("unit")]
public sealed class FakeNftTableTests : NftTableContract
{
    private readonly FakeNftKernel _kernel = new();

    protected override INftTable Open() => new FakeNftTable(Table, _kernel);

    public override void Dispose()
    {
    }
}

[Layer("kernel")]
public sealed class NetlinkNftTableTests : NftTableContract
{
    private readonly NftNamespace _namespace = new();

    protected override INftTable Open() => _namespace.Open(Table);

    public override void Dispose() => _namespace.Dispose();
}
