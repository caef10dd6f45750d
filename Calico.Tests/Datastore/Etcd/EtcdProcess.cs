using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Calico.Datastore;
using Calico.Datastore.Etcd;

namespace Calico.Tests.Datastore.Etcd;

/// <summary>The real etcd, on free loopback ports with data in a temporary directory.</summary>
public sealed class EtcdProcess : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _name;
    private readonly string[] _extra;
    private readonly string _peer;
    private string _cluster;
    private Process? _process;

    private EtcdProcess(string name, string[] extra)
    {
        _name = name;
        _extra = extra;
        Url = $"http://127.0.0.1:{FreePort()}";
        _peer = $"http://127.0.0.1:{FreePort()}";
        _cluster = $"{name}={_peer}";
    }

    public string Url { get; }

    /// <summary>Members of one cluster, all up.</summary>
    public static async Task<EtcdProcess[]> StartClusterAsync(int members)
    {
        for (var attempt = 0; ; attempt++)
        {
            var all = Enumerable.Range(0, members).Select(i => new EtcdProcess($"member{i}", [])).ToArray();
            var cluster = string.Join(',', all.Select(m => m._cluster));
            foreach (var member in all)
                member._cluster = cluster;
            try
            {
                await Task.WhenAll(all.Select(m => m.RunAsync()));
                return all;
            }
            catch (InvalidOperationException) when (attempt < 5)
            {
                foreach (var member in all)
                    await member.DisposeAsync();
            }
        }
    }

    public static async Task<EtcdProcess> StartAsync(params string[] extra)
    {
        for (var attempt = 0; ; attempt++)
        {
            var etcd = new EtcdProcess("test", extra);
            try
            {
                await etcd.RunAsync();
                return etcd;
            }
            catch (InvalidOperationException) when (attempt < 5)
            {
                // Somebody took one of the ports in between.
                await etcd.DisposeAsync();
            }
        }
    }

    /// <summary>Starts it, or starts it again after <see cref="KillAsync"/>, and waits until it answers.</summary>
    public async Task RunAsync()
    {
        _process = ChildProcess.Start(["etcd", "--name", _name, "--data-dir", Path.Combine(_directory.Path, "data"),
            "--listen-client-urls", Url, "--advertise-client-urls", Url, "--listen-peer-urls", _peer,
            "--initial-advertise-peer-urls", _peer, "--initial-cluster", _cluster, "--log-level", "error", .. _extra]);
        // Nobody reads what it says: it must not block on that.
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
        _process.OutputDataReceived += (_, _) => { };
        _process.BeginOutputReadLine();
        await using var store = new EtcdDatastore(new EtcdOptions { Endpoints = [Url], RequestTimeout = TimeSpan.FromSeconds(30) });
        var up = store.GetStatusAsync();
        if (await Task.WhenAny(up, _process.WaitForExitAsync()) != up)
            throw new InvalidOperationException($"etcd ended with {_process.ExitCode}");
        await up;
    }

    public async Task KillAsync()
    {
        if (_process is null)
            return;
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _directory.Dispose();
    }
}
