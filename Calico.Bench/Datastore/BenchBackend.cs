using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;

namespace Calico.Bench.Datastore;

/// <summary>One of the stores that are compared. Served and etcd are processes of their own, as in production.</summary>
internal sealed class BenchBackend : IAsyncDisposable
{
    private readonly Process? _server;

    private BenchBackend(string name, IDatastore store, Process? server, string? url = null)
    {
        Url = url;
        Name = name;
        Store = store;
        _server = server;
    }

    public string Name { get; }

    /// <summary>Where a client of one's own finds it; null in process.</summary>
    public string? Url { get; }
    public IDatastore Store { get; }

    public static BenchBackend Embedded(string directory) =>
        new("embedded", EmbeddedDatastore.Open(new EmbeddedOptions { Directory = Path.Combine(directory, "embedded") }), null);

    public static async Task<BenchBackend> ServedAsync(string directory)
    {
        var server = Start("dotnet", "exec", typeof(BenchBackend).Assembly.Location, "datastore-serve", Path.Combine(directory, "served"));
        var url = await server.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("the server did not start");
        return new("served", new EtcdDatastore(new EtcdOptions { Endpoints = [url] }), server, url);
    }

    /// <summary>The server's process: prints its URL and runs until its input ends.</summary>
    public static async Task<int> ServeAsync(string directory)
    {
        await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = directory });
        await using var server = await EtcdServer.StartAsync(store, new EtcdServerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0) });
        Console.WriteLine(server.Url);
        await Console.In.ReadToEndAsync();
        return 0;
    }

    public static async Task<BenchBackend> EtcdAsync(string directory)
    {
        var (client, peer) = ($"http://127.0.0.1:{FreePort()}", $"http://127.0.0.1:{FreePort()}");
        var server = Start("etcd", "--name", "bench", "--data-dir", Path.Combine(directory, "etcd"), "--log-level", "error",
            "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", $"bench={peer}");
        server.ErrorDataReceived += (_, _) => { };
        server.BeginErrorReadLine();
        var store = new EtcdDatastore(new EtcdOptions { Endpoints = [client] });
        await store.GetStatusAsync();
        return new("etcd", store, server, client);
    }

    private static Process Start(string file, params string[] arguments)
    {
        var start = new ProcessStartInfo(file) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = file == "etcd" };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        return Process.Start(start) ?? throw new InvalidOperationException($"{file} did not start");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public async ValueTask DisposeAsync()
    {
        await Store.DisposeAsync();
        if (_server is null)
            return;
        _server.StandardInput.Close();
        if (Name == "etcd")
            _server.Kill();
        await _server.WaitForExitAsync();
        _server.Dispose();
    }
}
