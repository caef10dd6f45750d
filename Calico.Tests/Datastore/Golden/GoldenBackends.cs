using Calico.Core.Model.Resources;
using Calico.Datastore;
using Calico.Tests.Datastore.Embedded;
using Calico.Tests.Datastore.Etcd;
using Calico.Tests.Datastore.Kubernetes;
using Calico.Tests.Datastore.Kubernetes.Server;

namespace Calico.Tests.Datastore.Golden;

[Layer("unit")]
public sealed class InMemoryGoldenTests : StoredValueTests
{
    protected override IDatastore Datastore { get; } = new InMemoryDatastore();
}

[Layer("unit")]
public sealed class EmbeddedGoldenTests(EmbeddedFixture fixture) : StoredValueTests, IClassFixture<EmbeddedFixture>
{
    protected override IDatastore Datastore => fixture.Store;
}

[Layer("conformance")]
public sealed class EtcdGoldenTests(RealEtcdFixture fixture) : StoredValueTests, IClassFixture<RealEtcdFixture>
{
    protected override IDatastore Datastore => fixture.Store;
}

/// <summary>On the Kubernetes API, where nodes, pods, namespaces and service accounts are kinds of its own.</summary>
public abstract class KubernetesGoldenTests : RoundTripTests
{
    protected override bool Keeps(ResourceKind kind) =>
        kind != ResourceKind.Node && kind != ResourceKind.WorkloadEndpoint && kind != ResourceKind.Profile;

    // Beyond that the API server itself rounds.
    protected override string LargeNumber => "9223372036854775807";

    protected override async Task EmptyAsync()
    {
        foreach (var kind in ResourceKind.All.Where(Keeps))
        {
            foreach (var item in (await Datastore.ListAsync(ResourceKey.Prefix(kind))).Items)
                await Datastore.CommitAsync(new Transaction([], [Write.Delete(item.Key)]));
        }
    }
}

[Layer("unit")]
public sealed class FakeGoldenTests(FakeApiFixture fixture) : KubernetesGoldenTests, IClassFixture<FakeApiFixture>
{
    protected override IDatastore Datastore => fixture.Store;
}

[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerGoldenTests : KubernetesGoldenTests
{
    private readonly ApiServerFixture _fixture;

    public ServerGoldenTests(ApiServerFixture fixture)
    {
        _fixture = fixture;
        // Skips all of them here, before the base class touches the store.
        _ = fixture.Server;
    }

    protected override IDatastore Datastore => _fixture.Store;
}
