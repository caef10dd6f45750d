using Calico.Core.Cni;

namespace Calico.Cni;

/// <summary>What came of an exchange: a reply, or an error.</summary>
/// <param name="Reply">Null where there is none.</param>
/// <param name="Error">Null where there is a reply.</param>
/// <param name="IsDown">There is no node that could carry the call out now.</param>
internal readonly record struct NodeAnswer(CniReply? Reply, CniError? Error, bool IsDown = false);

/// <summary>One exchange with the node: connect, send, wait for the reply. Every failure is "try again later".</summary>
internal static class NodeConnection
{
    public const string DefaultSocket = "/var/run/calico/cni.sock";

    /// <summary>Asks the node; an error names the socket and the cause.</summary>
    public static NodeAnswer Ask(string socket, CniRequest request, int netnsFd, int timeoutSeconds)
    {
        var left = (timeoutSeconds * 1000L) - Shortcut.Spent;
        if (left <= 0)
            return Silent(socket, timeoutSeconds);
        var deadline = Environment.TickCount64 + left;
        if (CheckSocket(socket) is { } unusable)
            return unusable;
        var fd = Libc.Connect(socket, timeoutSeconds);
        if (fd < 0)
            return Down(Libc.Errno == Libc.EAGAIN
                ? $"calico-node did not accept the connection on {socket} within {timeoutSeconds} s"
                : $"calico-node is not answering: connect to {socket}: {Libc.ErrorText(Libc.Errno)}");
        if (!Libc.TryGetPeerUid(fd, out var uid) || !IsTrusted(uid))
            return Fail($"whoever listens on {socket} runs as user {uid}, not as root");

        // A node that is too busy answers and closes without reading all of it: what it said counts, not the failed send.
        var sent = Libc.Send(fd, request.ToFrame(), netnsFd);
        var sendError = sent ? 0 : Libc.Errno;
        return Receive(fd, deadline) switch
        {
            ({ } reply, _) => new NodeAnswer(reply, null),
            (_, CniFrameFault.None) => Silent(socket, timeoutSeconds),
            (_, CniFrameFault.Incomplete) when !sent =>
                Down($"calico-node did not take the request on {socket}: {Libc.ErrorText(sendError)}"),
            (_, CniFrameFault.Incomplete) =>
                Down($"calico-node closed {socket} before it answered; it was stopped or has crashed"),
            var (_, fault) => Fail($"the answer on {socket} was not understood: {CniFrame.Describe(fault)}"),
        };
    }

    // A fault of None without a reply means that the time is over.
    private static (CniReply? Reply, CniFrameFault Fault) Receive(int fd, long deadline)
    {
        var header = new byte[CniFrame.HeaderLength];
        var fault = Fill(fd, header, deadline);
        if (fault != Filled.All)
            return (null, fault == Filled.TimedOut ? CniFrameFault.None : CniFrameFault.Incomplete);
        var frameFault = CniFrame.TryRead(header, out var frame);
        if (frameFault != CniFrameFault.None)
            return (null, frameFault);
        if (frame.Kind != CniFrameKind.Reply)
            return (null, CniFrameFault.UnknownKind);
        var body = new byte[frame.Length];
        fault = Fill(fd, body, deadline);
        if (fault != Filled.All)
            return (null, fault == Filled.TimedOut ? CniFrameFault.None : CniFrameFault.Incomplete);
        return CniReply.TryDecode(body, out var reply) ? (reply, CniFrameFault.None) : (null, CniFrameFault.BadMagic);
    }

    private enum Filled
    {
        All,
        Closed,
        TimedOut,
    }

    private static Filled Fill(int fd, Span<byte> buffer, long deadline)
    {
        while (!buffer.IsEmpty)
        {
            var left = deadline - Environment.TickCount64;
            if (left <= 0 || !Libc.WaitReadable(fd, (int)left))
                return Filled.TimedOut;
            var n = Libc.Read(fd, buffer);
            if (n <= 0)
                return Filled.Closed;
            buffer = buffer[n..];
        }
        return Filled.All;
    }

    // The path is checked before anything is sent, the peer's user afterwards: the first gives the better message.
    private static NodeAnswer? CheckSocket(string socket)
    {
        if (System.Text.Encoding.UTF8.GetByteCount(socket) > Libc.MaxSocketPath)
            return new NodeAnswer(null, new CniError(CniErrorCode.InvalidConfig, $"node_socket '{socket}' is longer than {Libc.MaxSocketPath} bytes"));
        if (!Libc.TryStat(socket, out var status))
            return Libc.Errno == Libc.ENOENT
                ? Down($"calico-node is not running: its socket {socket} does not exist")
                : Fail($"cannot look at {socket}: {Libc.ErrorText(Libc.Errno)}");
        if (!status.IsSocket)
            return Fail($"{socket} is not a socket");
        return IsTrusted(status.Uid) ? null : Fail($"{socket} belongs to user {status.Uid}, not to root");
    }

    private static bool IsTrusted(uint uid) => uid == 0 || uid == Libc.EffectiveUid;

    private static NodeAnswer Silent(string socket, int timeoutSeconds) =>
        Fail($"calico-node did not answer on {socket} within {timeoutSeconds} s");

    private static NodeAnswer Down(string message) => Fail(message) with { IsDown = true };

    private static NodeAnswer Fail(string message) => new(null, new CniError(CniErrorCode.TryAgainLater, message,
        "the runtime will repeat the call; see the log of calico-node on this node"));
}
