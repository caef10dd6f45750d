using System.ComponentModel;
using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using System.IO.Compression;

namespace Calico.Ctl;

/// <summary>
/// A folder of what was found, packed at the end. What cannot be found becomes a note in the bundle: the rest is worth
/// having. Every command is bounded in time and in output.
/// </summary>
internal sealed class Diagnostics(CtlContext context, string folder)
{
    private const int MaxOutput = 64 << 20;
    private static readonly TimeSpan CommandLimit = TimeSpan.FromSeconds(60);

    /// <summary>Makes the folder, for root or the user alone.</summary>
    /// <exception cref="CtlException">It cannot be made.</exception>
    public static Diagnostics Begin(CtlContext context, string parent, string name)
    {
        var folder = Path.Combine(parent, name);
        try
        {
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(folder);
            else
                Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CtlException($"cannot make {folder}: {e.Message}", e);
        }
        return new Diagnostics(context, folder);
    }

    public static string Stamp(TimeProvider time) => time.GetUtcNow().ToString("yyyyMMdd_HHmmss", CultureInfo.InvariantCulture);

    /// <summary>A file of the bundle from what a function gives, or with the reason why it gave nothing.</summary>
    public async Task AddAsync(string what, string file, Func<Task<string>> content)
    {
        await context.Out.WriteLineAsync(what);
        string text;
        try
        {
            text = await content();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            await context.Out.WriteLineAsync($"  {e.Message}");
            text = $"not collected: {e.Message}\n";
        }
        await WriteAsync(file, text);
    }

    /// <summary>A file of the bundle with the output of a program; a program that is not installed is passed over.</summary>
    public Task AddCommandAsync(string what, string file, string program, params string[] arguments) =>
        IsInstalled(program) ? AddAsync(what, file, () => RunAsync(program, arguments)) : context.Out.WriteLineAsync($"{what}: {program} is not installed, skipped");

    public async Task AddFolderAsync(string what, string source, string file)
    {
        await context.Out.WriteLineAsync(what);
        try
        {
            foreach (var path in Directory.EnumerateFiles(source, "*", SearchOption.AllDirectories))
            {
                var target = Path.Combine(folder, file, Path.GetRelativePath(source, path));
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                File.Copy(path, target);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await context.Out.WriteLineAsync($"  {e.Message}");
        }
    }

    /// <summary>Packs the folder into one file and, unless it is to stay, removes it.</summary>
    /// <exception cref="CtlException">The archive cannot be written; the folder is still there.</exception>
    public async Task PackAsync(string archive, bool keepFolder)
    {
        try
        {
            await using (var file = new FileStream(archive, FileMode.CreateNew, FileAccess.Write))
            await using (var packed = new GZipStream(file, CompressionLevel.Optimal))
                await TarFile.CreateFromDirectoryAsync(folder, packed, includeBaseDirectory: true);
            if (!keepFolder)
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CtlException($"cannot write {archive}: {e.Message}; what was collected is in {folder}", e);
        }
    }

    public static bool IsInstalled(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
        .Append("/usr/sbin").Append("/sbin").Any(p => File.Exists(Path.Combine(p, program)));

    /// <exception cref="CtlException">The program fails or takes too long.</exception>
    public static async Task<string> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var limit = new CancellationTokenSource(CommandLimit);
        try
        {
            using var process = Process.Start(start)!;
            try
            {
                var errors = ReadAsync(process.StandardError, limit.Token);
                var output = await ReadAsync(process.StandardOutput, limit.Token);
                await process.WaitForExitAsync(limit.Token);
                return process.ExitCode == 0 ? output : $"{output}{await errors}exit status {process.ExitCode}\n";
            }
            catch (OperationCanceledException e)
            {
                process.Kill(entireProcessTree: true);
                throw new CtlException($"{program} did not end within {CommandLimit.TotalSeconds} s", e);
            }
        }
        catch (Win32Exception e)
        {
            throw new CtlException($"{program}: {e.Message}", e);
        }
    }

    private static async Task<string> ReadAsync(StreamReader reader, CancellationToken cancellation)
    {
        var text = new System.Text.StringBuilder();
        var buffer = new char[8192];
        int read;
        while ((read = await reader.ReadAsync(buffer, cancellation)) > 0)
        {
            // A pipe that nobody reads would stop the program, so what is too much is read and dropped.
            if (text.Length < MaxOutput)
                text.Append(buffer, 0, read);
        }
        return text.Length < MaxOutput ? text.ToString() : $"{text}\n(cut after {MaxOutput >> 20} MiB)\n";
    }

    private async Task WriteAsync(string file, string text)
    {
        var path = Path.Combine(folder, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllTextAsync(path, text);
    }
}
