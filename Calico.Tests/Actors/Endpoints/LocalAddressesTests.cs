using Calico.Actors.Endpoints;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Endpoints;

[Layer("unit")]
public sealed class LocalAddressesTests
{
    private readonly LocalAddresses _local = new();

    [Fact]
    public void An_address_comes_with_its_first_workload_and_goes_with_its_last()
    {
        Assert.Equal("+10.0.0.1", Change(null, Workload("a", "10.0.0.1")));
        Assert.Equal("", Change(null, Workload("b", "10.0.0.1")));
        Assert.Equal("", Change(Workload("a", "10.0.0.1"), null));
        Assert.Equal("-10.0.0.1", Change(Workload("b", "10.0.0.1"), null));
        Assert.Empty(_local.All);
    }

    [Fact]
    public void A_workload_that_is_fenced_has_no_address()
    {
        Change(null, Workload("a", "10.0.0.1", "fd00::1"));

        Assert.Equal("-10.0.0.1 -fd00::1", Change(Workload("a", "10.0.0.1", "fd00::1"), Workload("a", "10.0.0.1", "fd00::1") with { IsFenced = true }));
        Assert.Equal("+10.0.0.1 +fd00::1", Change(Workload("a", "10.0.0.1", "fd00::1") with { IsFenced = true }, Workload("a", "10.0.0.1", "fd00::1")));
    }

    [Fact]
    public void One_that_is_told_again_changes_nothing_but_what_is_new()
    {
        Change(null, Workload("a", "10.0.0.1", "10.0.0.2"));

        Assert.Equal("", Change(Workload("a", "10.0.0.1", "10.0.0.2"), Workload("a", "10.0.0.2", "10.0.0.1")));
        Assert.Equal("+10.0.0.3 -10.0.0.1", Change(Workload("a", "10.0.0.1", "10.0.0.2"), Workload("a", "10.0.0.2", "10.0.0.3", "10.0.0.3")));
        Assert.Equal([IpAddr.Parse("10.0.0.2"), IpAddr.Parse("10.0.0.3")], _local.All.Order());
    }

    private string Change(Workload? before, Workload? after)
    {
        var (added, removed) = _local.Change(before, after);
        return string.Join(' ', added.Order().Select(a => $"+{a}").Concat(removed.Order().Select(a => $"-{a}")));
    }

    private static Workload Workload(string container, params string[] addresses) => new()
    {
        ContainerId = container,
        Network = "net",
        Orchestrator = "k8s",
        Namespace = "default",
        Name = container,
        PodInterface = "eth0",
        HostInterface = "cali" + container,
        Addresses = [.. addresses],
    };
}
