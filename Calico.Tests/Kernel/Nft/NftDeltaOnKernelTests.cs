using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Nft;

namespace Calico.Tests.Kernel.Nft;

/// <summary>The delta against the real kernel: adoption, and random networks that the kernel must take.</summary>
[Layer("kernel")]
public sealed class NftDeltaOnKernelTests : IDisposable
{
    private static readonly NftTable Table = NftSamples.V4;
    private readonly NftNamespace _namespace = new();

    [Fact]
    public void After_a_restart_the_same_wishes_write_nothing()
    {
        using (var table = _namespace.Open(Table))
        {
            var delta = Wishes(table.Dump());
            Commit(delta, table);
            Assert.True(table.WriteCount > 0);
        }
        using var restarted = _namespace.Open(Table);
        var adopted = Wishes(restarted.Dump());

        var transaction = adopted.Plan();
        restarted.Commit(transaction);

        Assert.Equal("", transaction.ToString());
        Assert.Equal(0, restarted.WriteCount);
        Assert.False(adopted.HasChanges);
    }

    [Fact]
    public void After_a_restart_only_what_others_changed_is_written()
    {
        using (var table = _namespace.Open(Table))
            Commit(Wishes(table.Dump()), table);
        _namespace.Script("""
            add chain ip calico foreign
            add rule ip calico foreign counter
            insert rule ip calico rules ip protocol 47 drop
            delete element ip calico hosts { 10.65.0.1 }
            add element ip calico nets { 12.0.0.0/9 }
            add set ip calico foreign-set { type mark ; }
            """);
        using var restarted = _namespace.Open(Table);
        var adopted = Wishes(restarted.Dump());

        var transaction = adopted.Plan();
        Commit(adopted, restarted, transaction);

        Assert.Equal(5, transaction.ObjectCount - transaction.Ops.OfType<NftOp.FlushChain>().Count());
        Assert.True(Wishes(restarted.Dump()).Plan().IsEmpty);
    }

    [Fact]
    public void Random_networks_that_nest_and_touch_are_taken_by_the_kernel()
    {
        using var table = _namespace.Open(Table);
        var delta = new NftDelta(Table);
        delta.Adopt(table.Dump());
        delta.SetDefinition(NftSet.OfNetworks("nets", IpVersion.V4));
        var random = new Random(4711);
        var wanted = new HashSet<Cidr>();

        for (var round = 0; round < 60; round++)
        {
            for (var change = 0; change < 8; change++)
            {
                var network = new Cidr(IpAddr.FromV4((uint)random.Next(16) << 28 | (uint)random.Next(16) << 20),
                    random.Next(0, 14)).Network;
                if (random.Next(3) > 0 && wanted.Add(network))
                    delta.AddElements("nets", NftElement.Of(network));
                else if (wanted.Remove(network))
                    delta.RemoveElements("nets", NftElement.Of(network));
            }
            Commit(delta, table);
            var cover = wanted.Where(n => !wanted.Any(o => o != n && o.Contains(n))).Order().ToList();
            Assert.Equal(cover, table.Dump().Sets.Single().Elements.ToArray().Select(e => e.Network).Order());
        }
    }

    [Fact]
    public void A_set_with_another_key_is_made_anew_below_the_rules_that_use_it()
    {
        _namespace.Script("""
            add table ip calico
            add set ip calico hosts { type mark ; }
            add chain ip calico rules
            add rule ip calico rules meta mark @hosts drop
            """);
        using var table = _namespace.Open(Table);
        var delta = Wishes(table.Dump());

        Commit(delta, table);

        Assert.True(Wishes(table.Dump()).Plan().IsEmpty);
    }

    private static NftDelta Wishes(NftDump dump)
    {
        var delta = new NftDelta(Table);
        delta.Adopt(dump);
        foreach (var op in NftSamples.Setup(Table).Concat(NftSamples.Members(Table)))
        {
            switch (op)
            {
                case NftOp.AddSet o:
                    delta.SetDefinition(o.Set);
                    break;
                case NftOp.AddElements o:
                    delta.AddElements(o.Set.Name, o.Elements.Span);
                    break;
                case NftOp.AddMapEntries o:
                    foreach (var entry in o.Entries.Span)
                        delta.MapSet(o.Set.Name, entry.Key, entry.Verdict);
                    break;
            }
        }
        delta.SetChain("target", []);
        delta.SetChain("rules", NftSamples.Rules(Table));
        delta.SetChain(new NftChain("filter-FORWARD", new NftBaseHook(NftChainType.Filter, NftHook.Forward, 0)), []);
        return delta;
    }

    private static void Commit(NftDelta delta, INftTable table) => Commit(delta, table, delta.Plan());

    private static void Commit(NftDelta delta, INftTable table, NftTransaction transaction)
    {
        if (!transaction.IsEmpty)
            delta.Committed(table.Commit(transaction));
    }

    public void Dispose() => _namespace.Dispose();
}
