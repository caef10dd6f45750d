using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Calico.Kernel.Files;

namespace Calico.Node.Cni;

/// <summary>The configuration, or a variable, cannot be used; nothing was written.</summary>
internal sealed class InstallRefusedException(string message) : Exception(message);

/// <summary>
/// Puts the plugins and the network configuration where a container runtime looks for them:
/// <code>
///   /opt/cni/bin/calico, calico-ipam     programs first: a configuration must not name what is not there
///   /etc/cni/net.d/.calico-cni-installed what is ours, by digest, for --uninstall; written before each file
///   /etc/cni/net.d/10-calico.conflist    last
/// </code>
/// Every file is whole or not there. Running it again changes only what is different.
/// </summary>
internal sealed partial class CniInstaller(InstallOptions options, TextWriter output)
{
    /// <summary>In the folder of configurations, under a name that no runtime reads as one.</summary>
    public const string RecordName = ".calico-cni-installed";

    private const UnixFileMode Program = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;
    private const UnixFileMode Secret = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private string RecordPath => Path.Combine(options.NetFolder, RecordName);

    /// <summary>Installs.</summary>
    /// <param name="programs">The programs, by the names they are installed under.</param>
    /// <exception cref="InstallRefusedException">The configuration is wrong; nothing was touched.</exception>
    /// <exception cref="IOException">A folder cannot be written; what was written is whole.</exception>
    public void Install(IReadOnlyDictionary<string, string> programs)
    {
        var config = Encoding.UTF8.GetBytes(Configuration());
        Directory.CreateDirectory(options.NetFolder);
        var record = ReadRecord();
        foreach (var folder in options.BinFolders.Where((f, i) => i == 0 || Directory.Exists(f)))
        {
            Directory.CreateDirectory(folder);
            foreach (var (name, source) in programs.Where(p => !options.Skipped.Contains(p.Key)))
            {
                var path = Path.Combine(folder, name);
                if (File.Exists(path) && !options.ReplacesPrograms)
                    output.WriteLine($"{path} is there already and is left alone (UPDATE_CNI_BINARIES=false)");
                else
                    Put(record, path, File.ReadAllBytes(source), Program);
            }
        }
        Put(record, Path.Combine(options.NetFolder, options.ConfigName), config, Secret);
        var old = Path.Combine(options.NetFolder, options.OldConfigName);
        if (options.OldConfigName != options.ConfigName && File.Exists(old))
        {
            WholeFile.Delete(old);
            output.WriteLine($"removed {old} (CNI_OLD_CONF_NAME)");
            record.Remove(old);
        }
        WriteRecord(record);
    }

    /// <summary>Removes what <see cref="Install"/> wrote and nobody has changed since.</summary>
    /// <returns>Whether everything of ours is gone.</returns>
    public bool Uninstall()
    {
        var record = ReadRecord();
        var isClean = true;
        // The configuration first: a runtime must not find one whose program is gone.
        foreach (var (path, digests) in record.OrderByDescending(e => Path.GetDirectoryName(e.Key) == options.NetFolder).ThenBy(e => e.Key, StringComparer.Ordinal))
        {
            if (!File.Exists(path))
                continue;
            if (digests.Contains(DigestOf(File.ReadAllBytes(path))))
            {
                WholeFile.Delete(path);
                output.WriteLine($"removed {path}");
            }
            else
            {
                output.WriteLine($"{path} has been changed since it was installed and is left alone");
                isClean = false;
            }
        }
        File.Delete(RecordPath);
        return isClean;
    }

    /// <summary>The configuration with every placeholder filled in.</summary>
    /// <exception cref="InstallRefusedException">It is no JSON, or no network configuration.</exception>
    public string Configuration()
    {
        var (text, source) = options.Template;
        foreach (var (name, value) in options.Values)
            text = text.Replace($"__{name}__", value, StringComparison.Ordinal);
        if (Placeholder().Match(text) is { Success: true } unknown)
            output.WriteLine($"warning: {source} has the placeholder {unknown.Value}, which nothing stands for; it is written as it is");
        try
        {
            using var document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new InstallRefusedException($"{source} is no JSON object, so it cannot be a network configuration");
            if (!document.RootElement.TryGetProperty("name", out var name) || name.ValueKind != JsonValueKind.String)
                throw new InstallRefusedException($"{source} has no \"name\"; every network configuration has one");
            var wanted = options.ConfigName.EndsWith(".conflist", StringComparison.Ordinal) ? "plugins" : "type";
            if (!document.RootElement.TryGetProperty(wanted, out _))
                throw new InstallRefusedException($"{source} has no \"{wanted}\", as a file called {options.ConfigName} must have: a .conflist has \"plugins\", a .conf has \"type\"");
        }
        catch (JsonException e)
        {
            throw new InstallRefusedException(
                $"{source} is no JSON once its placeholders are filled in: line {e.LineNumber + 1}, column {ColumnOf(text, e)}: {LineOf(text, e.LineNumber).Trim()}");
        }
        return text;
    }

    private static string LineOf(string text, long? line) => text.Split('\n').ElementAtOrDefault((int)(line ?? 0)) ?? "";

    // The reader counts bytes; people count characters.
    private static int ColumnOf(string text, JsonException e)
    {
        var bytes = Encoding.UTF8.GetBytes(LineOf(text, e.LineNumber));
        return Encoding.UTF8.GetCharCount(bytes, 0, (int)Math.Min(e.BytePositionInLine ?? 0, bytes.Length)) + 1;
    }

    private void Put(Dictionary<string, List<string>> record, string path, byte[] content, UnixFileMode mode)
    {
        var digest = DigestOf(content);
        if (File.Exists(path) && DigestOf(File.ReadAllBytes(path)) == digest)
        {
            record[path] = [digest];
            output.WriteLine($"{path} {SetMode(path, mode)}");
            return;
        }
        // Both digests until the new file is there: whichever a kill leaves is known to be ours.
        var known = record.GetValueOrDefault(path) ?? [];
        record[path] = [.. known.Append(digest).Distinct()];
        WriteRecord(record);
        WholeFile.Write(path, content, mode);
        record[path] = [digest];
        output.WriteLine($"wrote {path}");
    }

    // A program that nobody may execute is no program, and a configuration that all may read is no secret.
    private static string SetMode(string path, UnixFileMode mode)
    {
        if (OperatingSystem.IsWindows() || File.GetUnixFileMode(path) is var had && had == mode)
            return "is up to date";
        File.SetUnixFileMode(path, mode);
        return $"has the content that it should have; its mode was {Convert.ToString((int)had, 8)} and is {Convert.ToString((int)mode, 8)} now";
    }

    private Dictionary<string, List<string>> ReadRecord()
    {
        if (!File.Exists(RecordPath))
            return [];
        // A line a file: digest, space, path.
        var record = new Dictionary<string, List<string>>(StringComparer.Ordinal);
        foreach (var line in File.ReadLines(RecordPath))
        {
            if (line.Split(' ', 2) is [{ Length: 64 } digest, var path])
                (record.TryGetValue(path, out var known) ? known : record[path] = []).Add(digest);
        }
        return record;
    }

    private void WriteRecord(Dictionary<string, List<string>> record) => WholeFile.Write(RecordPath, Encoding.UTF8.GetBytes(string.Concat(
        record.OrderBy(e => e.Key, StringComparer.Ordinal).SelectMany(e => e.Value.Select(d => $"{d} {e.Key}\n")))), Secret);

    private static string DigestOf(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

    [GeneratedRegex("__[A-Z][A-Z0-9_]*?__")]
    private static partial Regex Placeholder();
}
