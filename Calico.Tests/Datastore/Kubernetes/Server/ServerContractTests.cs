using Calico.Datastore;

namespace Calico.Tests.Datastore.Kubernetes.Server;

/// <summary>The same contract as of the embedded store and of etcd, on the real API server.</summary>
[Layer("kubernetes")]
[Collection(ServerCollection.Name)]
public sealed class ServerContractTests : KubernetesContractTests, IAsyncLifetime
{
    private readonly ApiServerFixture _fixture;

    public ServerContractTests(ApiServerFixture fixture)
    {
        _fixture = fixture;
        // Skips all of them here, wherever a test touches the store first.
        _ = fixture.Server;
    }

    protected override IDatastore Store => _fixture.Store;

    protected override bool ForgetsByItself => true;

    protected override Task CompactAsync(long revision) => _fixture.Server.CompactAsync(revision);

    public Task InitializeAsync() => Task.CompletedTask;

    // A list of some records reads all of them: what the tests before left behind would cost those after it minutes.
    public Task DisposeAsync() => _fixture.Server.ForgetRecordsAsync();
}
