using Calico.Core.Model.Selectors;
using Calico.Core.Policy;

namespace Calico.Tests.Core.Policy;

[Layer("unit")]
public class SetIdTests
{
    [Fact]
    public void A_selector_set_has_the_selectors_id() =>
        Assert.Equal("s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug", SetIds.OfSelector(Selector.All).Id);

    [Fact]
    public void A_named_port_set_hashes_selector_protocol_and_name() =>
        Assert.StartsWith("n:cl9_Kgeu4H0OGLbhovVR3NB", SetIds.OfNamedPort(Selector.All, IpProtocol.Tcp, "http").Id);

    [Fact]
    public void A_service_set_hashes_the_service() =>
        Assert.StartsWith("svc:-B0RxVUwdW1aFEcXPP4q2", SetIds.OfService("default/web", SetKind.Service));
}
