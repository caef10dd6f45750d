using System.IO.Compression;

namespace Calico.Ctl.Commands.Node;

/// <summary>What a kernel has, from everywhere a system tells: loaded, loadable and built-in modules, and its configuration.</summary>
internal sealed class KernelFeatures
{
    private readonly HashSet<string> _modules = new(StringComparer.Ordinal);
    private readonly HashSet<string> _options = new(StringComparer.Ordinal);

    /// <param name="release">As <c>uname -r</c> prints it.</param>
    /// <param name="configuration">The kernel's configuration file; null looks in the usual places.</param>
    /// <param name="root">Where the file system begins; tests have their own.</param>
    /// <exception cref="CtlException">The configuration file that was named cannot be read.</exception>
    public KernelFeatures(string release, string? configuration, string root = "/")
    {
        var modules = Path.Combine(root, "lib/modules", release);
        _modules.UnionWith(Lines(Path.Combine(root, "proc/modules")).Select(l => l.Split(' ')[0]));
        if (Directory.Exists(Path.Combine(root, "sys/module")))
            _modules.UnionWith(Directory.EnumerateDirectories(Path.Combine(root, "sys/module")).Select(d => Path.GetFileName(d)));
        _modules.UnionWith(Lines(Path.Combine(modules, "modules.dep")).Select(l => Name(l.Split(':')[0])));
        _modules.UnionWith(Lines(Path.Combine(modules, "modules.builtin")).Select(Name));
        string[] places =
        [
            Path.Combine(root, "boot/config-" + release), Path.Combine(modules, "build/.config"), Path.Combine(modules, "config"),
            Path.Combine(root, "usr/src/linux-headers-" + release, ".config"), Path.Combine(root, "usr/src/linux/.config"), Path.Combine(root, "proc/config.gz"),
        ];
        if (configuration is not null && !File.Exists(configuration))
            throw new CtlException($"the kernel's configuration {configuration} does not exist");
        if ((configuration ?? places.FirstOrDefault(File.Exists)) is { } path)
            _options.UnionWith(Lines(path).Where(l => l.EndsWith("=y", StringComparison.Ordinal) || l.EndsWith("=m", StringComparison.Ordinal)).Select(l => l[..^2]));
    }

    public bool HasModule(string name) => _modules.Contains(name.Replace('-', '_'));

    public bool HasOption(string name) => _options.Contains(name);

    // kernel/net/netfilter/nf_tables.ko.xz
    private static string Name(string path)
    {
        var file = path[(path.LastIndexOf('/') + 1)..];
        var end = file.IndexOf(".ko", StringComparison.Ordinal);
        return (end < 0 ? file : file[..end]).Replace('-', '_');
    }

    private static List<string> Lines(string path)
    {
        try
        {
            if (!path.EndsWith(".gz", StringComparison.Ordinal))
                return [.. File.ReadLines(path)];
            using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
            return [.. reader.ReadToEnd().Split('\n')];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
