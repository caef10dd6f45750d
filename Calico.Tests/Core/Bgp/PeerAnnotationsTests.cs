using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class PeerAnnotationsTests
{
    [Theory]
    [InlineData("ipv4", Families.Ipv4Unicast)]
    [InlineData("IPv6", Families.Ipv6Unicast)]
    [InlineData("ipv4,ipv6", Families.Both)]
    [InlineData("ipv6, ipv4", Families.Both)]
    public void Families_are_named_by_commas(string text, Families families)
    {
        var annotations = StringMap.Empty.With(PeerAnnotations.FamiliesKey, text);

        Assert.Empty(PeerAnnotations.Problems(annotations));
        Assert.Equal(families, PeerAnnotations.Of(annotations, null).Families);
    }

    [Theory]
    [InlineData("provider", BgpRole.Provider)]
    [InlineData("rs", BgpRole.RouteServer)]
    [InlineData("rs-client", BgpRole.RouteServerClient)]
    [InlineData("Customer", BgpRole.Customer)]
    [InlineData("peer", BgpRole.Peer)]
    public void A_role_has_the_rfcs_name(string text, BgpRole role)
    {
        var annotations = StringMap.Empty.With(PeerAnnotations.RoleKey, text);

        Assert.Empty(PeerAnnotations.Problems(annotations));
        Assert.Equal(role, PeerAnnotations.Of(annotations, null).Role);
    }

    [Theory]
    [InlineData(PeerAnnotations.FamiliesKey, "", "must be ipv4, ipv6, or ipv4,ipv6")]
    [InlineData(PeerAnnotations.FamiliesKey, "ipv4,", "must be ipv4, ipv6, or ipv4,ipv6")]
    [InlineData(PeerAnnotations.FamiliesKey, "ipv5", "must be ipv4, ipv6, or ipv4,ipv6")]
    [InlineData(PeerAnnotations.RoleKey, "boss", "must be one of provider, rs, rs-client, customer, peer")]
    [InlineData(PeerAnnotations.RoleKey, "3", "must be one of")]
    public void What_cannot_be_read_is_named_and_counts_as_not_said(string key, string text, string problem)
    {
        var annotations = StringMap.Empty.With(key, text);

        var (value, said) = Assert.Single(PeerAnnotations.Problems(annotations));

        Assert.Equal(text, value);
        Assert.StartsWith($"{key} {problem}", said, StringComparison.Ordinal);
        Assert.Equal(new PeerAnnotations(null, Families.None, null), PeerAnnotations.Of(annotations, null));
    }
}
