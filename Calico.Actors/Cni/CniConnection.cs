using System.Net.Sockets;
using System.Runtime.InteropServices;
using Calico.Core.Cni;
using Microsoft.Win32.SafeHandles;

namespace Calico.Actors.Cni;

/// <summary>
/// One connection of a shim. .NET's sockets know no SCM_RIGHTS, so the first bytes, which carry the descriptor, are
/// taken with recvmsg(2), if need be after an asynchronous peek said that they are there; everything else is ordinary.
/// </summary>
internal sealed partial class CniConnection(Socket socket, TimeSpan deadline) : IDisposable
{
    private const int FirstRead = 16 << 10;
    private const int MessageDontWait = 0x40;
    private const int MessageCloseOnExec = 0x40000000;
    private const int MessageControlTruncated = 0x08;
    private const int TryAgain = 11;
    private const int SolSocket = 1;
    private const int ScmRights = 1;

    public static uint EffectiveUid { get; } = geteuid();

    /// <summary>Reads one request and what is attached to it; on failure the problem says what was wrong.</summary>
    /// <exception cref="OperationCanceledException">The peer was too slow.</exception>
    public async Task<(CniRequest? Request, SafeFileHandle? Netns, string? Problem)> ReceiveAsync()
    {
        using var timer = new CancellationTokenSource(deadline);
        SafeFileHandle? netns = null;
        var isPassedOn = false;
        try
        {
            var (request, problem) = await ReadAsync(handle => netns = handle, timer.Token);
            if (request is null || request.NetnsAttached != (netns is not null))
                return (null, null, problem ?? "the namespace's descriptor is missing or was not announced");
            isPassedOn = true;
            return (request, netns, null);
        }
        finally
        {
            if (!isPassedOn)
                netns?.Dispose();
        }
    }

    /// <summary>Writes the answer and closes this direction. False: the peer is gone or does not read.</summary>
    public async Task<bool> SendAsync(CniReply reply)
    {
        using var timer = new CancellationTokenSource(deadline);
        try
        {
            ReadOnlyMemory<byte> rest = reply.ToFrame();
            while (!rest.IsEmpty)
                rest = rest[await socket.SendAsync(rest, SocketFlags.None, timer.Token)..];
            socket.Shutdown(SocketShutdown.Send);
            return true;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>Reads what is still coming, within a frame's bounds: closing with unread bytes would reset the answer away.</summary>
    public async Task DrainAsync()
    {
        using var timer = new CancellationTokenSource(deadline);
        var buffer = new byte[FirstRead];
        for (var left = CniFrame.HeaderLength + CniFrame.MaxBodyLength; left > 0;)
        {
            var n = await socket.ReceiveAsync(buffer, SocketFlags.None, timer.Token);
            if (n == 0)
                return;
            left -= n;
        }
    }

    public void Dispose() => socket.Dispose();

    private async Task<(CniRequest?, string?)> ReadAsync(Action<SafeFileHandle> attach, CancellationToken cancellation)
    {
        var first = new byte[FirstRead];
        // A shim sends as soon as it is connected: mostly the request is there already.
        var have = ReceiveWithDescriptor(first, out var handle, out var truncated);
        if (have < 0 && await socket.ReceiveAsync(first.AsMemory(0, 1), SocketFlags.Peek, cancellation) > 0)
            have = ReceiveWithDescriptor(first, out handle, out truncated);
        if (have > 0)
        {
            if (handle is not null)
                attach(handle);
            if (truncated)
                return (null, "more than one descriptor is attached");
        }
        have = Math.Max(have, 0);
        while (have < CniFrame.HeaderLength)
        {
            var n = await socket.ReceiveAsync(first.AsMemory(have), SocketFlags.None, cancellation);
            if (n == 0)
                return (null, have == 0 ? "the connection ended before a request" : CniFrame.Describe(CniFrameFault.Incomplete));
            have += n;
        }
        var fault = CniFrame.TryRead(first.AsSpan(0, have), out var frame);
        if (fault != CniFrameFault.None)
            return (null, CniFrame.Describe(fault));
        if (frame.Kind != CniFrameKind.Request)
            return (null, "a reply came where a request was due");
        have -= CniFrame.HeaderLength;
        if (have > frame.Length)
            return (null, "bytes follow the request");
        var body = new byte[frame.Length];
        first.AsSpan(CniFrame.HeaderLength, have).CopyTo(body);
        while (have < body.Length)
        {
            var n = await socket.ReceiveAsync(body.AsMemory(have), SocketFlags.None, cancellation);
            if (n == 0)
                return (null, CniFrame.Describe(CniFrameFault.Incomplete));
            have += n;
        }
        return CniRequest.TryDecode(body, out var request, out var error) ? (request, null) : (null, error);
    }

    // -1: nothing is there yet.
    private unsafe int ReceiveWithDescriptor(Span<byte> buffer, out SafeFileHandle? handle, out bool truncated)
    {
        // Room for exactly one descriptor: the kernel closes what does not fit and says so.
        byte* control = stackalloc byte[24];
        nint n;
        MessageHeader message;
        fixed (byte* bytes = buffer)
        {
            var vector = new IoVector { Base = bytes, Length = (nuint)buffer.Length };
            message = new MessageHeader { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 20 };
            n = recvmsg((int)socket.Handle, &message, MessageDontWait | MessageCloseOnExec);
        }
        handle = null;
        truncated = false;
        if (n < 0 && Marshal.GetLastPInvokeError() == TryAgain)
            return -1;
        if (n < 0)
            throw new IOException($"recvmsg: {Marshal.GetLastPInvokeErrorMessage()}");
        truncated = (message.Flags & MessageControlTruncated) != 0;
        if (message.ControlLength >= 20 && *(nuint*)control == 20
            && *(int*)(control + 8) == SolSocket && *(int*)(control + 12) == ScmRights)
            handle = new SafeFileHandle(*(int*)(control + 16), ownsHandle: true);
        return (int)n;
    }

    private unsafe struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    private unsafe struct MessageHeader
    {
        public void* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint recvmsg(int fd, MessageHeader* message, int flags);

    [LibraryImport("libc")]
    private static partial uint geteuid();
}
