using System.Diagnostics;
using Calico.Tests.Conformance.Bgp.Interop;

namespace Calico.Tests.Conformance.Bgp.Traffic;

/// <summary>What a router of the chain is told: it is 192.0.2.HOST and fd00:192::HOST, and so is the other one.</summary>
/// <param name="Ns">Its namespace.</param>
/// <param name="Host">1 or 2.</param>
/// <param name="OtherHost">2 or 1.</param>
/// <param name="Behind">The host's addresses behind it.</param>
internal sealed record RouterPlace(string Ns, int Host, int OtherHost, string Behind, string Behind6)
{
    public uint As => 65000 + (uint)Host;
    public uint OtherAs => 65000 + (uint)OtherHost;
    public uint BehindAs => 65010 + (uint)Host;
}

/// <summary>A program that routes by BGP in a namespace: it has four sessions and writes what it learns into the kernel.</summary>
internal abstract class ChainRouter(RouterPlace place) : IAsyncDisposable
{
    protected const int Sessions = 4;

    private Process? _process;

    protected RouterPlace Place => place;
    protected string Folder { get; } = Directory.CreateTempSubdirectory("calico-router-").FullName;

    public string Ns => place.Ns;
    public string Log => string.Join('\n', Directory.GetFiles(Folder, "*.log").Select(File.ReadAllText));

    private string LogFile => Path.Combine(Folder, "router.log");

    public static ChainRouter Of(string kind, RouterPlace place) => kind == "bird" ? new BirdRouter(place) : new OurRouter(place);

    /// <summary>As a first start, or again after an end of whatever kind.</summary>
    public async Task StartAsync(bool again = false) => _process = InteropBed.Start(place.Ns, LogFile, await CommandAsync(again));

    /// <summary>All sessions are up, and every restart, its own and its neighbours', is over.</summary>
    public abstract Task<bool> IsSettledAsync();

    /// <summary>What its own tool shows, for people.</summary>
    public abstract Task<string> ShowAsync();

    protected abstract Task<string[]> CommandAsync(bool again);

    /// <summary>kill -9.</summary>
    public async Task KillAsync()
    {
        _process!.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, as before an upgrade.</summary>
    public async Task TerminateAsync()
    {
        await ChildProcess.RunAsync("kill", "-TERM", _process!.Id.ToString(System.Globalization.CultureInfo.InvariantCulture));
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await _process.WaitForExitAsync(limit.Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            if (!_process.HasExited)
                await KillAsync();
            _process.Dispose();
        }
        Directory.Delete(Folder, recursive: true);
    }
}
