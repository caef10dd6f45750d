using System.Diagnostics;

namespace Calico.Tests;

/// <summary>Where the repository and the published programs are, seen from the test assembly.</summary>
internal static class Artifacts
{
    private static readonly Lock Publishing = new();

    public static string Repository { get; } = FindRepository();

    /// <summary>The NativeAOT program; published now if it is missing or older than its sources.</summary>
    public static string Shim() => Published("Calico.Cni", "calico-cni", "Calico.Cni", "Calico.Core/Cni", "Calico.Core/Net");

    /// <inheritdoc cref="Shim"/>
    public static string Calicoctl() => Published("Calico.Ctl", "calicoctl", "Calico.Ctl", "Calico.Core", "Calico.Datastore");

    /// <summary>The node's program as it was built with this assembly.</summary>
    public static string Node() => Path.Combine(Repository, "artifacts", "bin", "Calico.Node", new DirectoryInfo(AppContext.BaseDirectory).Name, "calico-node");

    private static string Published(string project, string program, params string[] sources)
    {
        var path = Path.Combine(Repository, "artifacts", "publish", project, "release_linux-x64", program);
        lock (Publishing)
        {
            if (!File.Exists(path) || NewestSource(sources) > File.GetLastWriteTimeUtc(path))
            {
                Run("dotnet", "publish", project, "-c", "Release", "-r", "linux-x64", "--no-restore", "-v", "quiet", "--nologo");
                File.SetLastWriteTimeUtc(path, TimeProvider.System.GetUtcNow().UtcDateTime);
            }
        }
        return path;
    }

    /// <summary>
    /// The lab looks for its programs in <c>artifacts/bin</c>; where nothing was published, these builds take their place.
    /// </summary>
    public static void LinkPrograms()
    {
        var bin = Path.Combine(Repository, "artifacts", "bin");
        Link(Path.Combine(bin, "calico-cni"), Shim());
        var build = new DirectoryInfo(AppContext.BaseDirectory).Name;
        foreach (var (program, project) in ((string, string)[])[("calico-node", "Calico.Node"), ("calicoctl", "Calico.Ctl")])
            Link(Path.Combine(bin, program), Path.Combine(bin, project, build, program));
    }

    private static void Link(string link, string target)
    {
        lock (Publishing)
        {
            if (File.Exists(link))
                return;
            File.Delete(link);
            File.CreateSymbolicLink(link, target);
        }
    }

    private static DateTime NewestSource(params string[] folders) => folders
        .SelectMany(f => Directory.EnumerateFiles(Path.Combine(Repository, f), "*.cs", SearchOption.AllDirectories))
        .Max(File.GetLastWriteTimeUtc);

    private static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = Repository,
            RedirectStandardOutput = true,
        })!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} failed:\n{output}");
    }

    private static string FindRepository()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Calico.sln")))
                return directory.FullName;
        }
        throw new InvalidOperationException($"no Calico.sln above {AppContext.BaseDirectory}");
    }
}
