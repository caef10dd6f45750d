using System.Net;
using System.Text;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;

namespace Calico.Tests.Datastore.Etcd;

/// <summary>An embedded store and its server, which can be stopped and started again at the same address.</summary>
public sealed class ServedStore : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly EtcdServerOptions _options;
    private EtcdServer? _server;

    private ServedStore(EtcdServerOptions options)
    {
        Store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = _directory.Path, CompactionInterval = TimeSpan.Zero });
        _options = options;
    }

    public EmbeddedDatastore Store { get; }
    public string Url { get; private set; } = "";
    public IPEndPoint Address { get; private set; } = new(IPAddress.Loopback, 0);

    public static async Task<ServedStore> StartAsync(EtcdServerOptions? options = null)
    {
        var served = new ServedStore(options ?? new EtcdServerOptions());
        await served.ServeAsync();
        return served;
    }

    public async Task ServeAsync()
    {
        _server = await EtcdServer.StartAsync(Store, _options with { Listen = Address });
        (Url, Address) = (_server.Url, _server.Address);
    }

    public async Task StopServingAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
        _server = null;
    }

    public EtcdDatastore Connect(Func<EtcdOptions, EtcdOptions>? configure = null)
    {
        var options = new EtcdOptions { Endpoints = [Url], MaxBackoff = TimeSpan.FromMilliseconds(200) };
        return new EtcdDatastore(configure?.Invoke(options) ?? options);
    }

    public async ValueTask DisposeAsync()
    {
        await StopServingAsync();
        await Store.DisposeAsync();
        _directory.Dispose();
    }
}

internal static class DatastoreExtensions
{
    public static async Task<long> PutAsync(this IDatastore store, string key, string value = "v") =>
        (await store.CommitAsync(new Transaction([], [Write.Put(key, Encoding.UTF8.GetBytes(value))]))).Revision;

    public static async Task<DatastoreException> FaultAsync(Func<Task> action) => await Assert.ThrowsAsync<DatastoreException>(action);
}
