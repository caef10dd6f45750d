using System.Buffers.Binary;
using System.Net.Sockets;
using Calico.Core.Cni;

namespace Calico.Actors.Cni;

/// <summary>Where to listen and how much to take on.</summary>
public sealed record CniListenerOptions(string SocketPath)
{
    /// <summary>Calls at work at one time; one more is told at once to try again later.</summary>
    public int MaxCalls { get; init; } = 256;

    /// <summary>How long a shim may take to send its request, and to take the answer.</summary>
    public TimeSpan TransferDeadline { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a call may take; below the shim's own 90 s, so that the runtime hears why.</summary>
    public TimeSpan CallDeadline { get; init; } = TimeSpan.FromSeconds(85);

    /// <summary>Takes the next connection; a test has it fail.</summary>
    internal Func<Socket, CancellationToken, ValueTask<Socket>> Accept { get; init; } = (socket, cancellation) => socket.AcceptAsync(cancellation);

    /// <summary>How long calls at work may go on when the listener stops.</summary>
    public TimeSpan DrainDeadline { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>
/// The node's end of the shim's socket: accepts, checks who calls, receives the request with the namespace's
/// descriptor, hands the call over and writes the answer. Knows nothing of what a call means.
/// </summary>
public sealed class CniListener : IAsyncDisposable
{
    private const int SolSocket = 1;
    private const int SoPeerCredentials = 17;

    /// <summary>For a cancelled call to tell its shim.</summary>
    private static readonly TimeSpan AfterCancel = TimeSpan.FromSeconds(1);

    private readonly CniListenerOptions _options;
    private readonly Func<CniCall, CancellationToken, Task> _handler;
    private readonly Action<string, Exception?> _onFault;
    private readonly Socket _socket;
    private readonly SemaphoreSlim _places;
    private readonly SemaphoreSlim _refusals;
    private readonly CancellationTokenSource _accepting = new();
    private readonly CancellationTokenSource _working = new();
    private readonly Task _loop;
    private long _accepted, _refused, _malformed;

    private CniListener(CniListenerOptions options, Func<CniCall, CancellationToken, Task> handler, Action<string, Exception?> onFault)
    {
        _options = options;
        _handler = handler;
        _onFault = onFault;
        _places = new SemaphoreSlim(options.MaxCalls);
        _refusals = new SemaphoreSlim(options.MaxCalls);
        _socket = Bind(options.SocketPath);
        _loop = AcceptAsync();
    }

    /// <summary>Connections taken, turned away because all places were in use, and dropped for what they sent.</summary>
    public long Accepted => Interlocked.Read(ref _accepted);
    public long Refused => Interlocked.Read(ref _refused);
    public long Malformed => Interlocked.Read(ref _malformed);

    /// <summary>Calls at work now.</summary>
    public int InFlight => _options.MaxCalls - _places.CurrentCount;

    /// <summary>Listens at once.</summary>
    /// <param name="options">Path and bounds.</param>
    /// <param name="handler">
    /// Called for every request, in parallel. The token is cancelled at the call's deadline and when the listener stops.
    /// The task may end before the call is answered; if it fails, the listener answers with an internal error.
    /// </param>
    /// <param name="onFault">Told about callers that were turned away and handlers that failed, for the log.</param>
    /// <exception cref="InvalidOperationException">Another process answers on the socket, or the path is no socket.</exception>
    public static CniListener Start(CniListenerOptions options, Func<CniCall, CancellationToken, Task> handler,
        Action<string, Exception?>? onFault = null) => new(options, handler, onFault ?? ((_, _) => { }));

    /// <summary>
    /// Stops accepting, lets calls at work finish for a while, cancels the rest, and leaves behind what does not end even
    /// then. The socket's file stays: a shim that finds it knows the node is down, and a node that has taken over already
    /// keeps its own.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        await _accepting.CancelAsync();
        _socket.Dispose();
        await _loop;
        _working.CancelAfter(_options.DrainDeadline);
        using var patience = new CancellationTokenSource(_options.DrainDeadline + AfterCancel);
        try
        {
            for (var i = 0; i < _options.MaxCalls; i++)
                await _places.WaitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            _onFault("calls that do not end are left behind; their shims find the connection closed", null);
            return;
        }
        _accepting.Dispose();
        _working.Dispose();
        _places.Dispose();
        _refusals.Dispose();
    }

    // Born under another name and renamed: there is no moment at which the path is missing, open to others or deaf.
    private static Socket Bind(string path)
    {
        if (File.Exists(path))
        {
            using var probe = NewSocket();
            try
            {
                probe.Connect(new UnixDomainSocketEndPoint(path));
                throw new InvalidOperationException($"another process answers on {path}; stop it first");
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused)
            {
                // A node that is gone left it behind, or it is no socket at all: the kernel's answer is the same.
                if (IsOrdinaryFile(path))
                    throw new InvalidOperationException($"{path} is in the way: it is an ordinary file, not a socket", e);
            }
        }
        if (Path.GetDirectoryName(path) is { Length: > 0 } directory)
            Directory.CreateDirectory(directory);
        var born = path + ".new";
        File.Delete(born);
        var socket = NewSocket();
        try
        {
            socket.Bind(new UnixDomainSocketEndPoint(born));
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(born, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            socket.Listen(512);
            File.Move(born, path, overwrite: true);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    // open(2) of a socket is ENXIO.
    private static bool IsOrdinaryFile(string path)
    {
        try
        {
            using var file = File.OpenHandle(path);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static Socket NewSocket() => new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private async Task AcceptAsync()
    {
        var failures = 0;
        while (!_accepting.IsCancellationRequested)
        {
            Socket peer;
            try
            {
                peer = await _options.Accept(_socket, _accepting.Token);
                if (failures > 0)
                    _onFault($"shims' connections are accepted again, after {failures} failures", null);
                failures = 0;
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException e)
            {
                // Out of descriptors: the connection waits in the backlog until some are free again.
                if (failures++ == 0)
                    _onFault($"cannot accept a shim's connection: {e.Message}; trying again ten times a second", null);
                await Task.Delay(TimeSpan.FromMilliseconds(100), CancellationToken.None);
                continue;
            }
            Interlocked.Increment(ref _accepted);
            if (_places.Wait(0, CancellationToken.None))
                _ = ServeAsync(peer);
            else
                _ = RefuseAsync(peer);
        }
    }

    private async Task ServeAsync(Socket peer)
    {
        using var connection = new CniConnection(peer, _options.TransferDeadline);
        try
        {
            if (!IsTrusted(peer, out var uid))
            {
                Interlocked.Increment(ref _refused);
                _onFault($"user {uid} may not call the CNI socket", null);
                return;
            }
            var (request, netns, problem) = await connection.ReceiveAsync();
            if (request is null)
            {
                Interlocked.Increment(ref _malformed);
                _onFault($"a shim's request was not understood: {problem}", null);
                await connection.SendAsync(new CniError(CniErrorCode.TryAgainLater,
                    $"calico-node did not understand the request: {problem}").ToReply(CniVersion.Newest));
                await connection.DrainAsync();
                return;
            }
            await RunAsync(new CniCall(request, netns, connection.SendAsync));
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            Interlocked.Increment(ref _malformed);
            _onFault("a shim went away or took too long", e);
        }
        finally
        {
            _places.Release();
        }
    }

    private async Task RunAsync(CniCall call)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(_working.Token);
        deadline.CancelAfter(_options.CallDeadline);
        await using var speakUp = deadline.Token.Register(() => _ = call.TryAnswerAsync(GiveUp(call.Request)));
        try
        {
            await _handler(call, deadline.Token);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested)
        {
            await call.ReplyAsync(GiveUp(call.Request));
        }
        catch (Exception e)
        {
            _onFault($"{call.Request.Command.ToText()} of container {call.Request.ContainerId} failed", e);
            await call.ReplyAsync(new CniError(CniErrorCode.Internal, $"calico-node failed at this call: {e.Message}")
                .ToReply(VersionOf(call.Request)));
        }
        await call.Finished;
    }

    private CniReply GiveUp(CniRequest request)
    {
        var why = _working.IsCancellationRequested
            ? "calico-node is being stopped"
            : $"calico-node did not finish within {_options.CallDeadline.TotalSeconds:0} s";
        return new CniError(CniErrorCode.TryAgainLater, $"{request.Command.ToText()} of container {request.ContainerId}: {why}",
            "the runtime will repeat the call; see the log of calico-node on this node").ToReply(VersionOf(request));
    }

    // The error's shape is the same in every version; only the number is the caller's.
    private static CniVersion VersionOf(CniRequest request) =>
        CniConfigHeader.TryRead(request.Config.Span, request.Command, out var header, out _) ? header.Version : CniVersion.Newest;

    private async Task RefuseAsync(Socket peer)
    {
        using var connection = new CniConnection(peer, _options.TransferDeadline);
        Interlocked.Increment(ref _refused);
        if (!_refusals.Wait(0, CancellationToken.None))
            return;
        try
        {
            await connection.SendAsync(new CniError(CniErrorCode.TryAgainLater,
                $"calico-node is busy with {_options.MaxCalls} other calls", "the runtime will repeat the call")
                .ToReply(CniVersion.Newest));
            await connection.DrainAsync();
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
        {
            // Too late to be told; it finds the connection closed, which also means "try again".
        }
        finally
        {
            _refusals.Release();
        }
    }

    private static bool IsTrusted(Socket peer, out uint uid)
    {
        Span<byte> credentials = stackalloc byte[12];
        peer.GetRawSocketOption(SolSocket, SoPeerCredentials, credentials);
        uid = BitConverter.IsLittleEndian
            ? BinaryPrimitives.ReadUInt32LittleEndian(credentials[4..])
            : BinaryPrimitives.ReadUInt32BigEndian(credentials[4..]);
        return uid == 0 || uid == CniConnection.EffectiveUid;
    }
}
