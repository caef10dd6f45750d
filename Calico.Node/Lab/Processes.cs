using System.Diagnostics;
using System.Globalization;
using Calico.Kernel;
using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab;

/// <summary>
/// The lab's long-lived processes. They outlive the command that started them: a session of their own, output to a
/// file. Only what the lab itself started is ever ended: by recorded number and start time, or because it is inside one
/// of the lab's namespaces.
/// </summary>
internal static class Processes
{
    private const int NotFound = 2;
    private static readonly string[] ForeignPrefixes = ["CALICO_", "CNI_", "ETCD_", "FELIX_", "K8S_", "KUBE", "IP_AUTODETECTION"];

    /// <summary>Starts a program inside a namespace and lets go of it.</summary>
    public static LabProcess Start(string role, INetworkNamespace inside, string log, IReadOnlyDictionary<string, string?> environment,
        params string[] command)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(log)!);
        // The shell only redirects and becomes the program: the number stays the same.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "exec setsid \"$@\" </dev/null >>\"$0\" 2>&1", log, .. command]);
        Prepare(start, environment);
        using var process = ProcessInNamespace.Start(start, inside);
        return new LabProcess(role, process.Id, StartTicks(process.Id) ?? 0);
    }

    /// <summary>Runs a program inside a namespace to its end; one that is not waited for any more is killed.</summary>
    public static async Task<(int ExitCode, string Output, string Errors)> RunAsync(INetworkNamespace inside,
        IReadOnlyDictionary<string, string?> environment, string? input, string[] command, CancellationToken cancellation = default)
    {
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Prepare(start, environment);
        using var process = ProcessInNamespace.Start(start, inside);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancellation);
            var errors = process.StandardError.ReadToEndAsync(cancellation);
            await FeedAsync(process, input, cancellation);
            await process.WaitForExitAsync(cancellation);
            return (process.ExitCode, await output, await errors);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }

    private static async Task FeedAsync(Process process, string? input, CancellationToken cancellation)
    {
        try
        {
            await process.StandardInput.WriteAsync(input.AsMemory(), cancellation);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading all of it.
        }
    }

    /// <summary>Runs a program inside a namespace with the caller's terminal.</summary>
    public static async Task<int> RunAttachedAsync(INetworkNamespace inside, IReadOnlyDictionary<string, string?> environment, string[] command)
    {
        var start = new ProcessStartInfo(command[0], command[1..]);
        Prepare(start, environment);
        try
        {
            using var process = ProcessInNamespace.Start(start, inside);
            await process.WaitForExitAsync();
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            // As a shell says it.
            await Console.Error.WriteLineAsync($"error: {command[0]}: {e.Message}");
            return e.NativeErrorCode == NotFound ? 127 : 126;
        }
    }

    public static bool IsAlive(LabProcess process) => StartTicks(process.Pid) is { } ticks && ticks == process.StartTicks;

    /// <summary>Ends the processes at once and waits until they are gone.</summary>
    public static async Task KillAsync(IEnumerable<LabProcess> processes)
    {
        var alive = processes.Where(IsAlive).ToList();
        foreach (var process in alive)
            Kill(process.Pid);
        await Until.TrueAsync(() => !alive.Exists(IsAlive), TimeSpan.FromSeconds(10),
            () => $"{string.Join(", ", alive.Where(IsAlive).Select(p => $"{p.Role} ({p.Pid})"))} did not end when killed");
    }

    /// <summary>Has a process stand still; it does not notice.</summary>
    public static Task StopAsync(LabProcess process) => SignalAsync(process, "STOP");

    /// <summary>Has a process that stands still go on.</summary>
    public static Task ContinueAsync(LabProcess process) => SignalAsync(process, "CONT");

    private static async Task SignalAsync(LabProcess process, string signal)
    {
        if (!IsAlive(process))
            return;
        using var own = NetworkNamespace.OpenCurrent();
        await RunAsync(own, new Dictionary<string, string?>(), null, ["/bin/sh", "-c", "kill -\"$0\" \"$1\"", signal, process.Pid.ToString(CultureInfo.InvariantCulture)]);
    }

    /// <summary>Processes whose network namespace is one of the given, by <c>/proc</c>.</summary>
    public static IReadOnlyList<LabProcess> Inside(IEnumerable<string> namespaces) => Inside(namespaces, _ => false);

    /// <summary>Processes inside the lab's namespaces, and containers whose file system is in the lab's folder.</summary>
    public static IReadOnlyList<LabProcess> OfLab(LabPlace place, IEnumerable<string> namespaces) =>
        Inside(namespaces, pid => HasRootIn($"/{Path.GetFileName(place.Folder)}/", pid));

    private static List<LabProcess> Inside(IEnumerable<string> namespaces, Func<int, bool> orElse)
    {
        var identities = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in namespaces)
        {
            try
            {
                using var opened = NetworkNamespace.OpenNamed(name);
                identities.Add($"net:[{opened.Identity}]");
            }
            catch (KernelException)
            {
                // A name without its mount holds nobody.
            }
        }
        var found = new List<LabProcess>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                || NamespaceOf(pid) is not { } identity || !(identities.Contains(identity) || orElse(pid)) || StartTicks(pid) is not { } ticks)
                continue;
            found.Add(new LabProcess("found", pid, ticks));
        }
        return found;
    }

    /// <summary>The last lines that a process wrote, for messages about its death.</summary>
    public static string Tail(string log, int lines = 15) =>
        File.Exists(log) ? string.Join('\n', File.ReadLines(log).TakeLast(lines)) : "(it wrote nothing)";

    // Field 22 of /proc/PID/stat, in clock ticks since boot; a zombie counts as gone. The name in field 2 may contain anything.
    private static long? StartTicks(int pid)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{pid}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? null : long.Parse(fields[19], CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // 21 20 0:5 /run/calico-lab/…/rootfs / rw - ext4 /dev/vda …: what is mounted on / is a folder of the lab, or made of some.
    private static bool HasRootIn(string folder, int pid)
    {
        try
        {
            return File.ReadLines($"/proc/{pid}/mountinfo").Any(l => l.Split(' ') is [_, _, _, _, "/", ..] && l.Contains(folder, StringComparison.Ordinal));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static string? NamespaceOf(int pid)
    {
        try
        {
            return new FileInfo($"/proc/{pid}/ns/net").LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static void Kill(int pid)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            process.Kill();
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            // Gone already.
        }
    }

    // The caller's own settings of the same kind must not leak into the lab.
    private static void Prepare(ProcessStartInfo start, IReadOnlyDictionary<string, string?> environment)
    {
        foreach (var name in start.Environment.Keys.Where(IsForeign).ToArray())
            start.Environment.Remove(name);
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
    }

    private static bool IsForeign(string name) => name is "IP" or "IP6" or "NODENAME" or "DATASTORE_TYPE"
        || ForeignPrefixes.Any(p => name.StartsWith(p, StringComparison.Ordinal));
}

/// <summary>The distribution's programs that the lab uses.</summary>
internal static class Programs
{
    private static readonly string[] Folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

    public static string Find(string program, string package) => Folders.Select(f => Path.Combine(f, program)).FirstOrDefault(File.Exists)
        ?? throw new LabException($"{program} is not installed: apt-get install {package}");
}

/// <summary>Waiting for a condition, with a bound and a sentence for when it is not met.</summary>
internal static class Until
{
    public static Task TrueAsync(Func<bool> condition, TimeSpan limit, Func<string> otherwise) =>
        TrueAsync(() => Task.FromResult(condition()), limit, otherwise);

    public static async Task TrueAsync(Func<Task<bool>> condition, TimeSpan limit, Func<string> otherwise)
    {
        var started = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(started) > limit)
                throw new LabException(otherwise());
            await Task.Delay(50);
        }
    }
}
