using Calico.Datastore;
using Calico.Datastore.Embedded;

namespace Calico.Tests.Datastore.Embedded;

/// <summary>One embedded store for all contract tests.</summary>
public sealed class EmbeddedFixture : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();

    public EmbeddedDatastore Store { get; private set; } = null!;

    public Task InitializeAsync()
    {
        Store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path });
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await Store.DisposeAsync();
        _directory.Dispose();
    }
}

[Layer("unit")]
public sealed class EmbeddedContractTests(EmbeddedFixture fixture) : WatchContractTests, IClassFixture<EmbeddedFixture>
{
    protected override IDatastore Store => fixture.Store;
}
