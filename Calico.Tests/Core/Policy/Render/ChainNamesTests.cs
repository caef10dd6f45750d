using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Render;

namespace Calico.Tests.Core.Policy.Render;

[Layer("unit")]
public class ChainNamesTests
{
    private static readonly PolicyKey DenyAll = new(PolicyKey.GlobalNetworkPolicy, "", "deny-all");

    [Fact]
    public void Policies_are_named_by_kind_namespace_and_name()
    {
        Assert.Equal("cali-pi-gnp/deny-all", ChainNames.Policy(DenyAll, Direction.Ingress));
        Assert.Equal("cali-po-knp/default/web",
            ChainNames.Policy(new(PolicyKey.KubernetesNetworkPolicy, "default", "web"), Direction.Egress));
    }

    [Fact]
    public void Profiles_are_named_as_they_are() =>
        Assert.Equal("cali-pri-kns.kube-system", ChainNames.Profile("kns.kube-system", Direction.Ingress));

    [Fact]
    public void The_host_endpoint_for_all_interfaces_has_a_name_of_its_own() =>
        Assert.Equal("cali-th-any-interface-at-all", ChainNames.Host("th", "*"));

    [Theory]
    [InlineData("cali-pi-", "knp/default/default-deny", 28, "cali-pi-_hkektpvVyhILpLRsra1")]
    [InlineData("cali-thfw-", "any-interface-at-all", 28, "cali-thfw-_Nqh4HyA73udmyanQI")]
    [InlineData("cali-th-", "any-interface-at-all", 28, "cali-th-any-interface-at-all")]
    [InlineData("cali-tw-", "", 28, "cali-tw-_")]
    public void Long_names_become_hashes_as_in_Calico(string prefix, string suffix, int limit, string expected) =>
        Assert.Equal(expected, ChainNames.Limited(prefix, suffix, limit));

    [Fact]
    public void A_name_of_exactly_the_limit_that_looks_like_a_hash_is_hashed() =>
        Assert.NotEqual("p-_abc", ChainNames.Limited("p-", "_abc", 6));

    [Fact]
    public void The_longest_policy_name_still_fits_the_kernel()
    {
        var key = new PolicyKey(PolicyKey.NetworkPolicy, new string('n', 63), new string('p', 253));

        var name = ChainNames.In("filter", ChainNames.Policy(key, Direction.Ingress));

        Assert.InRange(name.Length, 1, 255);
    }

    [Fact]
    public void Groups_have_Calicos_hash()
    {
        var group = new PolicyGroup(Direction.Ingress, "all()",
            [new(PolicyKey.GlobalNetworkPolicy, "", "a"), new(PolicyKey.GlobalNetworkPolicy, "", "b")]);

        Assert.Equal("cali-gi-js-B7zioflPRrAki3OCu", ChainNames.Group(group));
    }

    [Fact]
    public void Sets_are_cut_to_what_ipset_takes_and_lose_their_colon()
    {
        Assert.Equal("cali40s-5y5I3VdRZfDU01O--xXAPx2",
            ChainNames.Set("s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug", IpVersion.V4));
        Assert.Equal("cali60all-hosts-net", ChainNames.Set("all-hosts-net", IpVersion.V6));
    }

    [Theory]
    [InlineData("", "6b4e03423667dbb73b6e15454f0eb1abd4597f9a1b078e3f5b5a6bc7")]
    [InlineData("abc", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf")]
    public void The_hash_of_groups_is_SHA3_224(string text, string expected) =>
        Assert.Equal(expected, Convert.ToHexStringLower(Sha3.Hash224(System.Text.Encoding.ASCII.GetBytes(text))));

    [Fact]
    public void The_hash_takes_more_than_one_block()
    {
        // FIPS 202 example: 1600 bits of 0xa3.
        var data = Enumerable.Repeat((byte)0xa3, 200).ToArray();

        Assert.Equal("9376816aba503f72f96ce7eb65ac095deee3be4bf9bbc2a1cb7e11e0", Convert.ToHexStringLower(Sha3.Hash224(data)));
    }

    [Fact]
    public void Marks_come_from_the_low_end_of_the_mask()
    {
        var marks = new Marks();

        Assert.Equal((0x10000u, 0x20000u, 0x40000u, 0x80000u, 0x100000u),
            (marks.Accept, marks.Pass, marks.Drop, marks.Scratch0, marks.Scratch1));
        Assert.Equal(0x1b0000u, marks.All);
    }

    [Fact]
    public void A_mask_without_room_for_five_bits_is_refused() =>
        Assert.Throws<ArgumentException>(() => new Marks(0xf000));
}
