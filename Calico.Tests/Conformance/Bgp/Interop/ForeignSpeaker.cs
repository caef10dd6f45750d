using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>Another BGP implementation, run as Debian ships it in a network namespace of the test's.</summary>
internal abstract class ForeignSpeaker(InteropBed bed) : IAsyncDisposable
{
    private readonly List<Process> _processes = [];

    protected InteropBed Bed => bed;
    protected string Folder { get; } = Directory.CreateTempSubdirectory("calico-interop-").FullName;

    /// <summary>Its name, and the program without which the tests are skipped.</summary>
    public abstract string Program { get; }

    /// <summary>Its tool shows the path identifiers that it was told.</summary>
    public virtual bool ShowsPathIds => true;

    /// <summary>It passes on what it hears.</summary>
    public virtual bool HasTable => true;

    /// <summary>Whether what it withdraws from now on is told to us.</summary>
    public virtual Task<bool> TellsChangesAsync() => Task.FromResult(true);

    /// <summary>What it said.</summary>
    public string Log => string.Join('\n', Directory.GetFiles(Folder, "*.log").Select(File.ReadAllText));

    public static ForeignSpeaker Of(string name, InteropBed bed) => name switch
    {
        "bird" => new BirdSpeaker(bed),
        "frr" => new FrrSpeaker(bed),
        "gobgp" => new GoBgpSpeaker(bed),
        "openbgpd" => new OpenBgpdSpeaker(bed),
        "exabgp" => new ExaBgpSpeaker(bed),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no such speaker"),
    };

    public abstract Task StartAsync(ForeignConfig config);

    /// <summary>What it knows of a prefix from us, each path once.</summary>
    public abstract Task<IReadOnlyList<ForeignRoute>> ListAsync(string prefix);

    /// <summary>What it knows of a prefix from us; null if nothing.</summary>
    public async Task<ForeignRoute?> FindAsync(string prefix) => (await ListAsync(prefix)) is [var first, ..] ? first : null;

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
    protected static IEnumerable<string> V4(IEnumerable<string> prefixes) => prefixes.Where(IsV4);
    protected static IEnumerable<string> V6(IEnumerable<string> prefixes) => prefixes.Where(r => !IsV4(r));
}
