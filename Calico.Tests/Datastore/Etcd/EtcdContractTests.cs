using System.Net;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;

namespace Calico.Tests.Datastore.Etcd;

/// <summary>An embedded store, served, and a client of it.</summary>
public sealed class ServedFixture : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private EmbeddedDatastore? _store;
    private EtcdServer? _server;

    public EtcdDatastore Store { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path });
        _server = await EtcdServer.StartAsync(_store, new EtcdServerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
        // The contract is not about time: what runs beside this may take the processors for long.
        Store = new EtcdDatastore(new EtcdOptions { Endpoints = [_server.Url], RequestTimeout = TimeSpan.FromMinutes(1) });
    }

    public async Task DisposeAsync()
    {
        await Store.DisposeAsync();
        await _server!.DisposeAsync();
        await _store!.DisposeAsync();
        _directory.Dispose();
    }
}

/// <summary>A client of the real etcd.</summary>
public sealed class RealEtcdFixture : IAsyncLifetime
{
    private EtcdProcess? _etcd;

    public EtcdDatastore Store { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _etcd = await EtcdProcess.StartAsync();
        Store = new EtcdDatastore(new EtcdOptions { Endpoints = [_etcd.Url] });
    }

    public async Task DisposeAsync()
    {
        await Store.DisposeAsync();
        await _etcd!.DisposeAsync();
    }
}

[Layer("unit")]
public sealed class ServedContractTests(ServedFixture fixture) : WatchContractTests, IClassFixture<ServedFixture>
{
    protected override IDatastore Store => fixture.Store;
}

[Layer("conformance")]
public sealed class RealEtcdContractTests(RealEtcdFixture fixture) : WatchContractTests, IClassFixture<RealEtcdFixture>
{
    protected override IDatastore Store => fixture.Store;
}
