using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Tests.Datastore.Kubernetes.Fake;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>A client of the fake API server.</summary>
public sealed class FakeApiFixture : IAsyncLifetime
{
    public FakeApi Api { get; } = new();

    public KubernetesDatastore Store { get; private set; } = null!;

    public Task InitializeAsync()
    {
        Store = new KubernetesDatastore(new KubernetesOptions { Endpoint = "http://fake", Wrap = _ => Api.Handler() });
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await Store.DisposeAsync();
}

[Layer("unit")]
public sealed class FakeContractTests(FakeApiFixture fixture) : WatchContractTests, IClassFixture<FakeApiFixture>
{
    protected override IDatastore Store => fixture.Store;
}
