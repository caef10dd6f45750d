using Calico.Core.Cni;

namespace Calico.Actors.Cni;

/// <summary>
/// DELs that found no node (see <see cref="CniPendingDelete"/>), carried out by the handler like any other call: at the start,
/// when one appears, and every few seconds. The handler removes the record of a DEL that is done, before it lets the next
/// call for the same pod in; so an ADD that follows a recorded DEL finds either the record or its work done.
/// </summary>
public sealed class CniPending : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AfterStop = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan MaxTemporaryAge = TimeSpan.FromMinutes(5);

    private readonly string _folder;
    private readonly Func<CniCall, CancellationToken, Task> _handler;
    private readonly Action<string, Exception?> _report;
    private readonly CancellationTokenSource _stopped = new();
    private readonly SemaphoreSlim _wake = new(1, 1);
    private readonly FileSystemWatcher? _watcher;
    private readonly Task _loop;
    private readonly HashSet<string> _failing = new(StringComparer.Ordinal);
    private bool _trouble;

    private CniPending(string folder, Func<CniCall, CancellationToken, Task> handler, Action<string, Exception?> report)
    {
        _folder = folder;
        _handler = handler;
        _report = report;
        _watcher = Watch();
        _loop = RunAsync();
    }

    /// <summary>Looks at once.</summary>
    /// <param name="folder">Made if it is missing.</param>
    /// <param name="handler">Carries calls out.</param>
    /// <param name="report">Told what a person should hear.</param>
    public static CniPending Start(string folder, Func<CniCall, CancellationToken, Task> handler, Action<string, Exception?> report) =>
        new(folder, handler, report);

    public async ValueTask DisposeAsync()
    {
        _watcher?.Dispose();
        await _stopped.CancelAsync();
        try
        {
            await _loop.WaitAsync(AfterStop);
        }
        catch (TimeoutException)
        {
            // What is under way has its own deadlines, and its record stays until it is done.
            return;
        }
        _stopped.Dispose();
        _wake.Dispose();
    }

    // Only root may leave DELs here. Without a watch the look every few seconds remains.
    private FileSystemWatcher? Watch()
    {
        try
        {
            if (!OperatingSystem.IsWindows())
                Directory.CreateDirectory(_folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            var watcher = new FileSystemWatcher(_folder, "*" + CniPendingDelete.Suffix) { NotifyFilter = NotifyFilters.FileName };
            watcher.Renamed += (_, _) => Wake();
            watcher.Created += (_, _) => Wake();
            watcher.EnableRaisingEvents = true;
            return watcher;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            _report($"DELs that wait in {_folder} are not noticed at once", e);
            return null;
        }
    }

    private void Wake()
    {
        try
        {
            _wake.Release();
        }
        catch (Exception e) when (e is SemaphoreFullException or ObjectDisposedException)
        {
            // A look is due already, or there is none any more.
        }
    }

    private async Task RunAsync()
    {
        await Task.Yield();
        while (!_stopped.IsCancellationRequested)
        {
            try
            {
                await _wake.WaitAsync(Period, _stopped.Token);
                foreach (var path in Waiting())
                    await CarryOutAsync(path);
            }
            catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (!_trouble)
                    _report($"the DELs that wait in {_folder} cannot be carried out; trying again every {Period.TotalSeconds:0} s", e);
                _trouble = true;
            }
        }
    }

    private List<string> Waiting()
    {
        var folder = new DirectoryInfo(_folder);
        if (!folder.Exists)
            return [];
        var waiting = new List<string>();
        // Oldest first, as far as that can be told.
        foreach (var file in folder.EnumerateFiles().OrderBy(f => f.LastWriteTimeUtc))
        {
            if (file.Name.EndsWith(CniPendingDelete.Suffix, StringComparison.Ordinal))
                waiting.Add(file.FullName);
            else if (file.Name.EndsWith(CniPendingDelete.TemporarySuffix, StringComparison.Ordinal)
                && TimeProvider.System.GetUtcNow().UtcDateTime - file.LastWriteTimeUtc > MaxTemporaryAge)
                file.Delete();
        }
        _trouble = false;
        return waiting;
    }

    private async Task CarryOutAsync(string path)
    {
        if (Read(path, out var problem) is not { } request)
        {
            // Out of the way, and there to be looked at.
            if (problem is not null)
            {
                _report($"the DEL in {path} is not understood: {problem}", null);
                File.Move(path, path + ".bad", overwrite: true);
            }
            return;
        }
        CniReply? outcome = null;
        await _handler(new CniCall(request, null, reply =>
        {
            outcome = reply;
            return Task.FromResult(true);
        })
        { Record = path }, _stopped.Token);
        if (outcome is { ExitCode: 0 })
        {
            _failing.Remove(path);
            _report($"the DEL of container {request.ContainerId} that waited for the node is done", null);
        }
        else if (_failing.Add(path))
        {
            _report($"the DEL of container {request.ContainerId} in {path} has failed and will be tried again: "
                + System.Text.Encoding.UTF8.GetString((outcome?.Output ?? default).Span), null);
        }
    }

    // An ADD looks for its DEL under one name, and whoever carries that out removes it there: one that is called otherwise, such as
    // a copy, would be carried out for ever. What has no readable configuration is the handler's to refuse.
    private static bool IsNamed(string path, CniRequest request) =>
        !CniConfigHeader.TryRead(request.Config.Span, request.Command, out var header, out _)
        || Path.GetFileName(path) == CniPendingDelete.NameOf(request.Plugin, header.Name, request.ContainerId, request.InterfaceName);

    /// <summary>The request in a file; null without a problem if it is gone.</summary>
    internal static CniRequest? Read(string path, out string? problem)
    {
        problem = null;
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (FileNotFoundException)
        {
            return null;
        }
        var fault = CniFrame.TryRead(bytes, out var frame);
        if (fault != CniFrameFault.None)
        {
            problem = CniFrame.Describe(fault);
            return null;
        }
        if (frame.Kind != CniFrameKind.Request || bytes.Length != CniFrame.HeaderLength + frame.Length)
        {
            problem = "it is not exactly one request";
            return null;
        }
        if (!CniRequest.TryDecode(bytes.AsSpan(CniFrame.HeaderLength), out var request, out problem))
            return null;
        problem = request!.Command != CniCommand.Del ? $"it is a {request.Command.ToText()}"
            : IsNamed(path, request) ? null : "its name is not that of its DEL";
        return problem is null ? request : null;
    }
}
