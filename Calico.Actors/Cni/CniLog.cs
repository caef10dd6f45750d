using System.Globalization;
using System.Text;
using System.Threading.Channels;
using Calico.Core.Cni;

namespace Calico.Actors.Cni;

/// <summary>
/// The log file that network configurations name (<c>log_file_path</c>): a line for each call, written behind its back. A
/// file that is full is put aside under its time; old ones and too many are removed. What cannot be written is dropped: a
/// log never makes a call fail or wait.
/// </summary>
public sealed class CniLog : IAsyncDisposable
{
    private const int MaxWaiting = 4096;

    private readonly Channel<(CniLogOptions Options, string Line)> _lines = Channel.CreateBounded<(CniLogOptions, string)>(
        new BoundedChannelOptions(MaxWaiting) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private readonly TimeProvider _time;
    private readonly Action<string, Exception?> _report;
    private readonly HashSet<string> _troubled = new(StringComparer.Ordinal);
    private readonly Task _loop;

    /// <param name="time">For the lines and the names of files put aside.</param>
    /// <param name="report">Told once when a file cannot be written.</param>
    public CniLog(TimeProvider time, Action<string, Exception?> report)
    {
        _time = time;
        _report = report;
        _loop = Task.Run(RunAsync);
    }

    public async ValueTask DisposeAsync()
    {
        _lines.Writer.Complete();
        await _loop;
    }

    /// <summary>Notes a call and what came of it.</summary>
    public void Write(CniRequest request, CniLogOptions options, CniReply reply, TimeSpan took)
    {
        var level = reply.ExitCode != 0 ? CniLogLevel.Error : CniLogLevel.Info;
        if (options.Path is null || (options.Level > level))
            return;
        var line = new StringBuilder(256)
            .Append(_time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fff", CultureInfo.InvariantCulture))
            .Append(level == CniLogLevel.Error ? " [ERROR] " : " [INFO] ")
            .Append(request.Plugin == CniPlugin.Ipam ? "calico-ipam " : "calico ").Append(request.Command.ToText())
            .Append(" ContainerID=").Append(request.ContainerId)
            .Append(" IfName=").Append(request.InterfaceName)
            .Append(CultureInfo.InvariantCulture, $" took={took.TotalMilliseconds:0.0}ms");
        if (options.Level == CniLogLevel.Debug)
            line.Append(" Netns=").Append(request.NetnsPath).Append(" Args=").Append(request.Args).Append(" Path=").Append(request.Path)
                .Append(" config=").Append(OneLine(request.Config));
        if (reply.ExitCode != 0 || options.Level == CniLogLevel.Debug)
            line.Append(reply.ExitCode != 0 ? " error=" : " result=").Append(OneLine(reply.Output));
        _lines.Writer.TryWrite((options, line.Append('\n').ToString()));
    }

    private static string OneLine(ReadOnlyMemory<byte> text) => Encoding.UTF8.GetString(text.Span).ReplaceLineEndings(" ");

    private async Task RunAsync()
    {
        await foreach (var (options, line) in _lines.Reader.ReadAllAsync())
        {
            var path = options.Path!;
            try
            {
                if (Path.GetDirectoryName(path) is { Length: > 0 } folder)
                    Directory.CreateDirectory(folder);
                var bytes = Encoding.UTF8.GetBytes(line);
                var file = new FileInfo(path);
                if (file.Exists && file.Length + bytes.Length > options.MaxSize)
                    PutAside(file, options);
                using var handle = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite);
                RandomAccess.Write(handle, bytes, RandomAccess.GetLength(handle));
                _troubled.Remove(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
            {
                if (_troubled.Add(path))
                    _report($"the log file {path} of the network configuration cannot be written; calls go on without it", e);
            }
        }
    }

    // calico.log, calico-20260102T030405678.log and so on, the oldest first.
    private void PutAside(FileInfo file, CniLogOptions options)
    {
        var (name, extension) = (Path.GetFileNameWithoutExtension(file.Name), file.Extension);
        var now = _time.GetUtcNow().UtcDateTime;
        file.MoveTo(Path.Combine(file.DirectoryName!, $"{name}-{now.ToString("yyyyMMdd'T'HHmmssfff", CultureInfo.InvariantCulture)}{extension}"), overwrite: true);
        var aside = new DirectoryInfo(Path.GetDirectoryName(file.FullName)!).GetFiles($"{name}-????????T?????????{extension}").OrderByDescending(f => f.Name, StringComparer.Ordinal).ToList();
        foreach (var old in aside.Where((f, i) => i >= options.MaxCount || now - f.LastWriteTimeUtc > options.MaxAge))
            old.Delete();
    }
}
