using Calico.Datastore.Kubernetes;

namespace Calico.Tests.Datastore.Kubernetes.Server;

// The same on the real API server, which checks what it is given against the definitions.

[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerResourceTests(ApiServerFixture fixture) : KubernetesResourceTests
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Server.Options;
}

[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerIpamTests(ApiServerFixture fixture) : KubernetesIpamTests
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Server.Options;
}

[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerObjectTests(ApiServerFixture fixture) : KubernetesObjectTests
{
    protected override KubernetesDatastore Store => fixture.Store;

    protected override KubernetesOptions Options => fixture.Server.Options;
}
