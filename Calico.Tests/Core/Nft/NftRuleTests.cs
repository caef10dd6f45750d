using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Tests.Core.Nft;

[Layer("unit")]
public sealed class NftRuleTests
{
    private static readonly NftTerm Tcp = new NftMatch.Protocol(6);
    private static readonly NftTerm Accept = new NftStatement.Verdict(NftVerdict.Accept);

    [Fact]
    public void A_comment_has_the_hash_and_the_cause()
    {
        var rule = new NftRule(new Cause("NetworkPolicy/default/web", "812"), Tcp, Accept);

        Assert.Equal($"cali:{rule.Hash}; NetworkPolicy/default/web@812", rule.Comment);
        Assert.Equal(16, rule.Hash.ToString().Length);
        Assert.True(NftRule.TryParseComment(rule.Comment, out var hash, out var cause));
        Assert.Equal(rule.Hash, hash);
        Assert.Equal(rule.Cause, cause);
    }

    [Fact]
    public void A_comment_without_cause_reads_back()
    {
        var rule = new NftRule(Cause.None, Tcp);

        Assert.True(NftRule.TryParseComment(rule.Comment, out var hash, out var cause));
        Assert.Equal(rule.Hash, hash);
        Assert.True(cause.IsNone);
    }

    [Fact]
    public void A_long_cause_is_cut_and_the_hash_stays_whole()
    {
        var rule = new NftRule(new Cause(new string('x', 300), "1"), Tcp);

        Assert.Equal(NftRule.MaxCommentLength, rule.Comment.Length);
        Assert.True(NftRule.TryParseComment(rule.Comment, out var hash, out _));
        Assert.Equal(rule.Hash, hash);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("cali:")]
    [InlineData("cali:short")]
    [InlineData("cali:!!!!!!!!!!!!!!!!; x")]
    [InlineData("other:AAAAAAAAAAAAAAAA")]
    [InlineData("cali:AAAAAAAAAAAAAAAAx")]
    public void Comments_of_others_are_not_ours(string? comment) =>
        Assert.False(NftRule.TryParseComment(comment, out _, out _));

    [Fact]
    public void The_hash_depends_on_terms_and_resource_and_not_on_the_revision()
    {
        var rule = new NftRule(new Cause("A", "1"), Tcp, Accept);

        Assert.Equal(rule.Hash, new NftRule(new Cause("A", "2"), Tcp, Accept).Hash);
        Assert.NotEqual(rule.Hash, new NftRule(new Cause("B", "1"), Tcp, Accept).Hash);
        Assert.NotEqual(rule.Hash, new NftRule(new Cause("A", "1"), new NftMatch.Protocol(17), Accept).Hash);
        Assert.NotEqual(rule.Hash, new NftRule(new Cause("A", "1"), new NftMatch.Protocol(6) { Negate = true },
            Accept).Hash);
    }

    [Fact]
    public void Hashes_are_the_same_in_every_release()
    {
        var rule = new NftRule(new Cause("NetworkPolicy/default/web", "812"), new NftMatch.Interface(false, "cali*"),
            Tcp,
            new NftMatch.Port(NftSide.Destination, NftPortRange.Of(80), new NftPortRange(8000, 8080)),
            new NftMatch.InSet("cali40s-5y5I3VdRZfDU01O--xXAPx2", NftField.SourceAddress), new NftStatement.Counter(),
                Accept);

        Assert.Equal("iifname \"cali*\" meta l4proto tcp tcp dport { 80, 8000-8080 } "
            + "ip saddr @cali40s-5y5I3VdRZfDU01O--xXAPx2 counter accept", NftText.Render(rule));
        Assert.Equal(NftRuleHash.Of($"{NftText.Render(rule)} # NetworkPolicy/default/web"), rule.Hash);
        Assert.Equal("AOaak_ZJlyAcRqtN", rule.Hash.ToString());
    }

    [Fact]
    public void Ports_need_a_protocol_that_has_them()
    {
        var port = new NftMatch.Port(NftSide.Destination, 80);

        Assert.Throws<ArgumentException>(() => new NftRule(Cause.None, port));
        Assert.Throws<ArgumentException>(() => new NftRule(Cause.None, new NftMatch.Protocol(1), port));
        Assert.Throws<ArgumentException>(() => new NftRule(Cause.None, new NftMatch.Protocol(6) { Negate = true },
            port));
    }

    [Fact]
    public void Nothing_follows_a_verdict() => Assert.Throws<ArgumentException>(() =>
        new NftRule(Cause.None, Accept, Tcp));

    [Fact]
    public void A_reset_needs_tcp() => Assert.Throws<ArgumentException>(() =>
        new NftRule(Cause.None, new NftStatement.Reject(NftRejectWith.TcpReset)));

    [Fact]
    public void Overlapping_and_adjacent_ports_are_merged()
    {
        var match = new NftMatch.Port(NftSide.Source, new NftPortRange(90, 100), NftPortRange.Of(80),
            new NftPortRange(95, 110), NftPortRange.Of(81), new NftPortRange(111, 65535));

        Assert.Equal([new NftPortRange(80, 81), new NftPortRange(90, 65535)], match.Ranges.ToArray());
    }

    [Fact]
    public void A_mark_outside_its_mask_is_refused() =>
        Assert.Throws<ArgumentException>(() => new NftStatement.SetMark(NftMarkOf.Packet, 0x30000, 0x10000));

    [Theory]
    [InlineData("cali*", "cali", true)]
    [InlineData("cali+", "cali", true)]
    [InlineData("eth0", "eth0", false)]
    public void Interface_patterns_end_in_a_star_or_a_plus(string pattern, string name, bool isPrefix)
    {
        var match = new NftMatch.Interface(false, pattern);

        Assert.Equal((name, isPrefix), (match.Name, match.IsPrefix));
    }

    [Fact]
    public void References_are_those_of_all_terms()
    {
        var rule = new NftRule(Cause.None, new NftMatch.InSet("s", NftField.SourceAddress),
            new NftMatch.InSet("t", NftField.DestinationAddress), new NftStatement.Verdict(NftVerdict.Jump("c")));

        Assert.Equal(["s", "t"], rule.ReferencedSets);
        Assert.Equal(["c"], rule.ReferencedChains);
    }
}

[Layer("unit")]
public sealed class NftElementTests
{
    [Theory]
    [InlineData("10.0.0.0/8")]
    [InlineData("255.255.255.255/32")]
    [InlineData("0.0.0.0/0")]
    [InlineData("fd00::/64")]
    [InlineData("::/0")]
    public void A_network_reads_back(string network) => Assert.Equal(Cidr.Parse(network),
        NftElement.Of(Cidr.Parse(network)).Network);

    [Fact]
    public void An_address_with_protocol_and_port_reads_back()
    {
        var element = NftElement.Of(IpAddr.Parse("fd00::1"), 17, 53);

        Assert.Equal((IpAddr.Parse("fd00::1"), (byte)17, (ushort)53),
            (element.Address, element.Protocol, element.Port));
    }

    [Fact]
    public void An_interface_name_reads_back() =>
        Assert.Equal("cali0123456789a", NftElement.OfInterface("cali0123456789a").InterfaceName);

    [Fact]
    public void An_interface_name_has_at_most_fifteen_bytes()
    {
        Assert.Throws<ArgumentException>(() => NftElement.OfInterface("0123456789abcdef"));
        Assert.Throws<ArgumentException>(() => NftElement.OfInterface(""));
    }

    [Fact]
    public void Addresses_of_two_families_differ() =>
        Assert.NotEqual(NftElement.Of(IpAddr.Parse("0.0.0.1")), NftElement.Of(IpAddr.Parse("::1")));

    [Fact]
    public void A_network_sorts_before_those_inside_it()
    {
        NftElement[] sorted = [.. new[] { "10.1.0.0/16", "10.0.0.0/24", "10.0.0.0/8", "9.0.0.0/8" }.Select(t =>
            NftElement.Of(Cidr.Parse(t))).Order()];

        Assert.Equal(["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/24", "10.1.0.0/16"], sorted.Select(e => e.ToString()));
    }

    [Fact]
    public unsafe void An_element_takes_24_bytes() => Assert.Equal(24, sizeof(NftElement));
}

[Layer("unit")]
public sealed class NftSetTests
{
    [Fact]
    public void Intervals_are_over_one_address() =>
        Assert.Throws<ArgumentException>(() => NftSet.OfAddressPorts("s", IpVersion.V4) with { Interval = true });

    [Fact]
    public void An_element_holds_one_address() =>
        Assert.Throws<ArgumentException>(() => new NftSet("s", NftDataType.Ipv4Addr, NftDataType.Ipv4Addr));

    [Fact]
    public void The_cause_is_no_part_of_the_definition()
    {
        var set = NftSet.OfAddresses("s", IpVersion.V4);

        Assert.True(set.SameDefinition(set with { Cause = new Cause("x") }));
        Assert.False(set.SameDefinition(NftSet.OfNetworks("s", IpVersion.V4)));
        Assert.False(set.SameDefinition(NftSet.OfAddresses("s", IpVersion.V6)));
    }

    [Fact]
    public void A_transaction_renders_as_nft_script_and_cuts_long_lists()
    {
        var set = NftSet.OfAddresses("s", IpVersion.V4);
        var transaction = new NftTransaction(new NftTable(NftFamily.Ip, "calico"),
            [new NftOp.AddTable(), new NftOp.AddSet(set),
            new NftOp.AddElements(set, Enumerable.Range(1, 10).Select(i =>
                NftElement.Of(IpAddr.FromV4((uint)i))).ToArray()), new NftOp.DeleteRule("c", 7)]);

        Assert.Equal("""
            create table ip calico
            create set ip calico s { type ipv4_addr ; }
            create element ip calico s { 0.0.0.1, 0.0.0.2, 0.0.0.3, 0.0.0.4, 0.0.0.5, 0.0.0.6, 0.0.0.7, 0.0.0.8, ... 2 more }
            delete rule ip calico c handle 7

            """, transaction.Render());
        Assert.Equal(13, transaction.ObjectCount);
    }
}
