using Calico.Core.Nft;

namespace Calico.Tests.Kernel.Nft;

/// <summary>
/// Our netlink encoding and nft's own of the same words must leave the same table, as nft itself reads it back.
/// </summary>
[Layer("kernel")]
public sealed class NftAgainstCliTests : IDisposable
{
    private readonly NftNamespace _ours = new();
    private readonly NftNamespace _theirs = new();

    public static TheoryData<string> Families => ["ip", "ip6", "inet", "arp"];

    [Theory]
    [MemberData(nameof(Families))]
    public void Every_kind_of_rule_reaches_the_kernel_as_nft_would_write_it(string family)
    {
        var table = TableOf(family);
        var transaction = new NftTransaction(table, [.. NftSamples.Setup(table),
            .. NftSamples.Rules(table).Select(r => new NftOp.AppendRule("rules", r))]);

        AssertSameTable(transaction);
    }

    [Theory]
    [InlineData("ip")]
    [InlineData("ip6")]
    public void Address_translation_reaches_the_kernel_as_nft_would_write_it(string family)
    {
        var table = TableOf(family);

        AssertSameTable(new NftTransaction(table, NftSamples.Nat(table)));
    }

    [Theory]
    [InlineData("ip")]
    [InlineData("ip6")]
    public void Members_of_every_kind_of_set_reach_the_kernel_as_nft_would_write_them(string family)
    {
        var table = TableOf(family);

        AssertSameTable(new NftTransaction(table, [.. NftSamples.Setup(table), .. NftSamples.Members(table)]));
    }

    [Fact]
    public void Base_chains_of_all_hooks_reach_the_kernel_as_nft_would_write_them()
    {
        var chains = Enum.GetValues<NftHook>().Select(h => new NftChain($"filter-{h}",
            new NftBaseHook(NftChainType.Filter, h, -300, NftPolicy.Drop)))
            .Append(new NftChain("mangle-OUTPUT", new NftBaseHook(NftChainType.Route, NftHook.Output, -150)));

        AssertSameTable(new NftTransaction(NftSamples.V4, [new NftOp.AddTable(),
            .. chains.Select(c => new NftOp.AddChain(c))]));
    }

    private void AssertSameTable(NftTransaction transaction)
    {
        using var table = _ours.Open(transaction.Table);
        table.Commit(transaction);
        _theirs.Script(transaction.Render(complete: true));

        Assert.Equal(_theirs.List(transaction.Table), _ours.List(transaction.Table));
    }

    private static NftTable TableOf(string family) => family switch
    {
        "ip" => NftSamples.V4,
        "ip6" => NftSamples.V6,
        "inet" => NftSamples.Inet,
        _ => NftSamples.Arp,
    };

    public void Dispose()
    {
        _ours.Dispose();
        _theirs.Dispose();
    }
}
