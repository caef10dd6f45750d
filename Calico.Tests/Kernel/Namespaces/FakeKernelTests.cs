using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Tests.Kernel.Namespaces;

[Layer("unit")]
public class FakeKernelTests
{
    [Fact]
    public void A_test_can_make_requests_fail()
    {
        var kernel = new FakeKernel();
        using var host = kernel.CreateNamespace("host");
        using var links = host.OpenLinks();
        using var routes = host.OpenRoutes();
        var link = links.CreateBridge("br0");
        links.Change(new LinkChange(link.Index) { Up = true });
        var results = new Errno[2];

        kernel.Refuse = (operation, subject) => (operation, subject) == ("add route", "10.1.0.0/16") ? Errno.ENOMEM : Errno.None;
        routes.Apply([Add("10.1.0.0/16", link), Add("10.2.0.0/16", link)], results);

        Assert.Equal([Errno.ENOMEM, Errno.None], results);
        kernel.Refuse = (_, _) => Errno.EBUSY;
        Assert.Equal(Errno.EBUSY, Assert.Throws<KernelException>(() => links.Delete("br0")).Errno);
        Assert.Equal(1, routes.WriteCount);
    }

    [Fact]
    public async Task A_test_can_make_monitors_overflow()
    {
        var kernel = new FakeKernel();
        using var host = kernel.CreateNamespace("host");
        using var monitor = host.OpenMonitor(KernelEventGroups.Links);

        host.LoseEvents();

        Assert.IsType<KernelEvent.Overflow>(Assert.Single(await monitor.NextAsync(CancellationToken.None)));
    }

    [Fact]
    public void Names_are_taken_once()
    {
        var kernel = new FakeKernel();
        kernel.CreateNamespace("host").Dispose();

        Assert.True(Assert.Throws<KernelException>(() => kernel.CreateNamespace("host")).AlreadyExists);
        Assert.True(kernel.DeleteNamespace("host"));
        Assert.False(kernel.DeleteNamespace("host"));
        Assert.True(Assert.Throws<KernelException>(() => kernel.OpenNamespace("host")).IsNotFound);
    }

    private static RouteChange Add(string destination, Link link) =>
        new(new Route(new RouteKey(Cidr.Parse(destination), 0), RouteKind.Unicast, 80, [new NextHop(null, link.Index)]), Delete: false);
}
