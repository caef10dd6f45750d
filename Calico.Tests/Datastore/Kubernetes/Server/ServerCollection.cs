using Calico.Datastore.Kubernetes;

namespace Calico.Tests.Datastore.Kubernetes.Server;

/// <summary>One API server for all tests of the layer, if there is one.</summary>
public sealed class ApiServerFixture : IAsyncLifetime
{
    private ApiServerProcess? _server;
    private KubernetesDatastore? _store;

    /// <summary>Skips the test where there is no server.</summary>
    public ApiServerProcess Server
    {
        get
        {
            Skip.If(_server is null, ApiServerProcess.Missing);
            return _server!;
        }
    }

    /// <summary>A client of it.</summary>
    public KubernetesDatastore Store => _store ??= new KubernetesDatastore(Server.Options);

    public async Task InitializeAsync()
    {
        if (ApiServerProcess.Missing is not null)
            return;
        _server = await ApiServerProcess.StartAsync();
        // Those of the golden manifests.
        foreach (var ns in new[] { "web", "data" })
            await _server.CreateAsync("/api/v1/namespaces", $$$"""{"metadata":{"name":"{{{ns}}}"}}""");
    }

    public async Task DisposeAsync()
    {
        if (_store is not null)
            await _store.DisposeAsync();
        if (_server is not null)
            await _server.DisposeAsync();
    }
}

[CollectionDefinition(Name)]
public sealed class ServerCollection : ICollectionFixture<ApiServerFixture>
{
    public const string Name = "kubernetes";
}
