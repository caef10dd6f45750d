using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>What a foreign speaker is told to be. It has one IPv4 and one IPv6 session, each over its own family, with ours.</summary>
internal sealed record ForeignConfig
{
    public required uint As { get; init; }
    public required uint OurAs { get; init; }
    public string? Password { get; init; }

    /// <summary>Prefixes of either family that it announces, with community <see cref="Community"/> and large community <see cref="LargeCommunity"/>.</summary>
    public string[] Routes { get; init; } = [];

    public string Community => "65010:7";
    public string LargeCommunity => "65010:8:9";

    /// <summary>It starts again after a crash and shall say so (RFC 4724).</summary>
    public bool IsRestart { get; init; }
}

/// <summary>A route as the foreign speaker's own tool shows it: AS numbers, and communities as <c>a:b</c> and <c>a:b:c</c>, in order.</summary>
internal sealed record ForeignRoute(string Prefix, string NextHop, string AsPath, string Communities, string LargeCommunities);

/// <summary>Another BGP implementation, run as Debian ships it in a network namespace of the test's.</summary>
internal abstract class ForeignSpeaker(InteropBed bed) : IAsyncDisposable
{
    private readonly List<Process> _processes = [];

    protected InteropBed Bed => bed;
    protected string Folder { get; } = Directory.CreateTempSubdirectory("calico-interop-").FullName;

    /// <summary>Its name, and the program without which the tests are skipped.</summary>
    public abstract string Program { get; }

    /// <summary>What it said.</summary>
    public string Log => string.Join('\n', Directory.GetFiles(Folder, "*.log").Select(File.ReadAllText));

    public abstract Task StartAsync(ForeignConfig config);

    /// <summary>What it knows of a prefix from us; null if nothing.</summary>
    public abstract Task<ForeignRoute?> FindAsync(string prefix);

    /// <summary>kill -9, of it and of what it started.</summary>
    public async Task CrashAsync()
    {
        foreach (var process in _processes)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }
        _processes.Clear();
    }

    public async ValueTask DisposeAsync()
    {
        await CrashAsync();
        if (Directory.Exists(Folder))
            Directory.Delete(Folder, recursive: true);
    }

    /// <summary>Starts a program in the foreign namespace, its output in a file of that name.</summary>
    protected void Run(string log, params string[] command) =>
        _processes.Add(InteropBed.Start(bed.Theirs, Path.Combine(Folder, log), command));

    /// <summary>What a tool of the speaker prints; empty while it cannot reach it.</summary>
    protected async Task<string> AskAsync(params string[] command)
    {
        var (status, output, _) = await ChildProcess.RunAsync(["ip", "netns", "exec", bed.Theirs, .. command]);
        return status == 0 ? output : "";
    }

    protected Task WriteAsync(string name, string text) => File.WriteAllTextAsync(Path.Combine(Folder, name), text);

    protected static bool IsV4(string prefix) => Cidr.Parse(prefix).IsV4;
    protected static IEnumerable<string> V4(ForeignConfig config) => config.Routes.Where(IsV4);
    protected static IEnumerable<string> V6(ForeignConfig config) => config.Routes.Where(r => !IsV4(r));
}
