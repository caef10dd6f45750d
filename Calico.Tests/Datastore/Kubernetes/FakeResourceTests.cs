using Calico.Datastore.Kubernetes;

namespace Calico.Tests.Datastore.Kubernetes;

[Layer("unit")]
public sealed class FakeResourceTests(FakeApiFixture fixture) : KubernetesResourceTests, IClassFixture<FakeApiFixture>
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Options;
}

[Layer("unit")]
public sealed class FakeIpamTests(FakeApiFixture fixture) : KubernetesIpamTests, IClassFixture<FakeApiFixture>
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Options;
}

[Layer("unit")]
public sealed class FakeObjectTests(FakeApiFixture fixture) : KubernetesObjectTests, IClassFixture<FakeApiFixture>
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Options;
}
