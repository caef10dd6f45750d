using Calico.Datastore;
using Calico.Tests.Datastore.Embedded;
using Calico.Tests.Datastore.Etcd;

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
