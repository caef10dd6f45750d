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
    private readonly string[] _extra;
    private readonly string _peer;
    private Process? _process;

    private EtcdProcess(string[] extra)
    {
        _extra = extra;
        Url = $"http://127.0.0.1:{FreePort()}";
        _peer = $"http://127.0.0.1:{FreePort()}";
    }

    public string Url { get; }

    public static async Task<EtcdProcess> StartAsync(params string[] extra)
    {
        for (var attempt = 0; ; attempt++)
        {
            var etcd = new EtcdProcess(extra);
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
        _process = ChildProcess.Start(["etcd", "--name", "test", "--data-dir", Path.Combine(_directory.Path, "data"),
            "--listen-client-urls", Url, "--advertise-client-urls", Url, "--listen-peer-urls", _peer,
            "--initial-advertise-peer-urls", _peer, "--initial-cluster", $"test={_peer}", "--log-level", "error", .. _extra]);
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
