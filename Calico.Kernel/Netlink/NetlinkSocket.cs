using System.Runtime.InteropServices;

namespace Calico.Kernel.Netlink;

/// <summary>A refused request of a batch, with the kernel's extended message where it gave one.</summary>
/// <param name="Index">Place in the batch, counted from 0.</param>
/// <param name="Offset">Where in the request the offending attribute begins; 0 if the kernel did not say.</param>
public readonly record struct NetlinkFailure(int Index, Errno Errno, string? Message, int Offset);

/// <summary>
/// Takes the messages of a dump or the replies to requests. A struct, so that a dump needs no closure and no
/// allocation a message.
/// </summary>
public interface INetlinkSink
{
    /// <summary>The kernel interrupted the dump, which starts again: forget what was collected.</summary>
    void Restart();

    void Message(in NetlinkMessage message);
}

/// <summary>
/// A netlink socket: it belongs for life to the network namespace it was opened in and may then be used from any
/// thread, by one at a time.
/// <para>
/// The kernel works through everything in one send before that call returns, and by then all its answers are in our
/// receive buffer. <see cref="Exchange{TSink}"/> builds on this: it sends many requests at once, of which only the
/// last asks for an acknowledgement. Refusals arrive always, so a batch without them costs one send and two receives.
/// What fits the receive buffer if all of them fail bounds the batch: <see cref="MaxPipelined"/>.
/// </para>
/// </summary>
public sealed unsafe class NetlinkSocket : IDisposable
{
    private const int WantedBuffer = 8 * 1024 * 1024;
    private const int MaxDumpAttempts = 32;

    // What one acknowledgement takes of the receive buffer: socket buffer, its data and the bookkeeping, rounded up.
    private const int AckFootprint = 2048;

    // Room for the largest part of a dump (32 KiB) and for any single object.
    private const int ReceiveSize = 64 * 1024;
    private static readonly Libc.TimeVal Patience = new() { Seconds = 30 };

    private readonly FdHandle _fd;
    // Not among the pinned objects, which only a full collection frees: some of these live for a single pod.
    private readonly byte[] _receive = GC.AllocateUninitializedArray<byte>(ReceiveSize);
    private int _sendBuffer;
    private uint _sequence = 1;

    private NetlinkSocket(NetlinkProtocol protocol, FdHandle fd)
    {
        Protocol = protocol;
        _fd = fd;
    }

    public NetlinkProtocol Protocol { get; }
    internal int Fd => _fd.Fd;

    /// <summary>The address that the kernel gave the socket.</summary>
    /// <exception cref="KernelException">The kernel does not say.</exception>
    public uint PortId
    {
        get
        {
            Libc.SockAddrNetlink address;
            var length = (uint)sizeof(Libc.SockAddrNetlink);
            return Libc.GetSockName(_fd, &address, &length) == 0 ? address.PortId : throw new KernelException(Libc.LastErrno, "getsockname netlink", Protocol.ToString());
        }
    }

    /// <summary>The sequence number that the next batch begins with.</summary>
    public uint NextSequence => _sequence;

    /// <summary>The most requests in one <see cref="Exchange{TSink}"/> whose answers surely fit the receive buffer.</summary>
    public int MaxPipelined { get; private set; }

    /// <summary>Opens a socket in the network namespace of the calling thread.</summary>
    /// <exception cref="KernelException">The kernel refused the socket.</exception>
    public static NetlinkSocket Open(NetlinkProtocol protocol)
    {
        var raw = Libc.Socket(Libc.AfNetlink, Libc.SockRaw | Libc.SockCloexec, (int)protocol);
        if (raw < 0)
            throw new KernelException(Libc.LastErrno, "open netlink", protocol.ToString());
        var socket = new NetlinkSocket(protocol, new FdHandle(raw));
        try
        {
            socket.Configure();
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Opens a socket in the namespace behind the descriptor: a thread made for this enters it, opens the socket and ends.
    /// </summary>
    /// <exception cref="KernelException">The namespace cannot be entered or the kernel refused the socket.</exception>
    public static NetlinkSocket Open(NetlinkProtocol protocol, int namespaceFd) =>
        Namespaces.NamespaceThread.Run(namespaceFd, () => Open(protocol));

    /// <summary>
    /// Sends a batch and collects what the kernel answered. A result is <see cref="Errno.None"/> unless the
    /// kernel refused that request. If answers were lost, every request without a known refusal is
    /// <see cref="Errno.ENOBUFS"/>: it may or may not have been done.
    /// </summary>
    /// <param name="batch">Messages with consecutive sequence numbers; the last should ask for an acknowledgement.</param>
    /// <param name="results">One entry a message.</param>
    /// <param name="sink">Takes the messages that are no acknowledgements: replies and echoes.</param>
    /// <param name="failures">If given, gets every refusal with the kernel's words.</param>
    /// <returns>How many requests were refused.</returns>
    /// <exception cref="KernelException">The batch could not be sent: nothing of it was done.</exception>
    public int Exchange<TSink>(
        NetlinkBatch batch, scoped Span<Errno> results, ref TSink sink, List<NetlinkFailure>? failures = null)
        where TSink : INetlinkSink, allows ref struct
    {
        if (results.Length < batch.Count)
            throw new ArgumentException("one result a message", nameof(results));
        results[..batch.Count].Clear();
        if (batch.Count == 0)
            return 0;
        Send(batch);
        var refused = 0;
        while (true)
        {
            var received = Receive(Libc.MsgDontWait, out var errno);
            if (received < 0)
            {
                if (errno == Errno.EAGAIN)
                    return refused;
                if (errno != Errno.ENOBUFS)
                    throw new KernelException(errno, "receive netlink", Protocol.ToString());
                foreach (ref var result in results[..batch.Count])
                    result = result == Errno.None ? Errno.ENOBUFS : result;
                refused = batch.Count;
                continue;
            }
            var messages = new NetlinkMessages(_receive.AsSpan(0, received));
            while (messages.TryNext(out var message))
            {
                var index = message.Sequence - batch.FirstSequence;
                if (index >= (uint)batch.Count)
                    continue;
                if (message.Type is not (NetlinkMessageType.Error or NetlinkMessageType.Done))
                {
                    if (message.Type >= NetlinkMessageType.FirstOfFamily)
                        sink.Message(message);
                    continue;
                }
                var answer = NetlinkError.Read(message, withText: failures is not null);
                if (answer.Errno == Errno.None)
                    continue;
                if (results[(int)index] == Errno.None)
                    refused++;
                results[(int)index] = answer.Errno;
                failures?.Add(new NetlinkFailure((int)index, answer.Errno, answer.Text, answer.Offset));
            }
        }
    }

    /// <summary>As the other overload, for requests that reply nothing.</summary>
    public int Exchange(NetlinkBatch batch, scoped Span<Errno> results, List<NetlinkFailure>? failures = null)
    {
        var nothing = default(NoReplies);
        return Exchange(batch, results, ref nothing, failures);
    }

    /// <summary>Sends one request and returns the kernel's answer with its extended message.</summary>
    public Errno Request<TSink>(NetlinkBatch single, ref TSink sink, out string? detail)
        where TSink : INetlinkSink, allows ref struct
    {
        if (single.Count != 1)
            throw new ArgumentException("one message", nameof(single));
        var failures = new List<NetlinkFailure>(0);
        var result = Errno.None;
        single.AcknowledgeLast();
        Exchange(single, new Span<Errno>(ref result), ref sink, failures);
        detail = failures.Count > 0 ? failures[^1].Message : null;
        return result;
    }

    /// <summary>As the other overload, for requests that reply nothing.</summary>
    public Errno Request(NetlinkBatch single, out string? detail)
    {
        var nothing = default(NoReplies);
        return Request(single, ref nothing, out detail);
    }

    /// <summary>
    /// Sends one dump request and gives every object to the sink, beginning again when the kernel says that the table
    /// changed meanwhile (NLM_F_DUMP_INTR).
    /// </summary>
    /// <param name="request">One message with <see cref="NetlinkFlags.Dump"/>; its sequence number is replaced on retries.</param>
    /// <returns>The kernel's answer; <see cref="Errno.EINTR"/> if the table never held still.</returns>
    public Errno Dump<TSink>(NetlinkBatch request, ref TSink sink, out string? detail)
        where TSink : INetlinkSink, allows ref struct
    {
        for (var attempt = 0; attempt < MaxDumpAttempts; attempt++)
        {
            if (attempt > 0)
                sink.Restart();
            request.Resequence(_sequence);
            Send(request);
            var outcome = ReadDump(request.FirstSequence, ref sink, out detail);
            if (outcome != Errno.EINTR)
                return outcome;
        }
        detail = "the table kept changing while it was dumped";
        return Errno.EINTR;
    }

    /// <summary>Subscribes to a multicast group by its number.</summary>
    /// <summary>From now on the kernel does not queue what the filter stops. Lost events are reported all the same.</summary>
    public void Attach(in NetlinkFilter filter)
    {
        Span<Libc.FilterStep> steps = stackalloc Libc.FilterStep[NetlinkFilter.MaxSteps];
        var count = filter.Write(steps);
        if (count == 0)
            return;
        fixed (Libc.FilterStep* first = steps)
        {
            var program = new Libc.FilterProgram { Count = (ushort)count, Steps = first };
            if (Libc.SetSockOpt(_fd, Libc.SolSocket, Libc.SoAttachFilter, &program, (uint)sizeof(Libc.FilterProgram)) < 0)
                throw new KernelException(Libc.LastErrno, "filter netlink", Protocol.ToString());
        }
    }

    public void Join(int group) => SetOption(Libc.SolNetlink, NetlinkOption.AddMembership, group, "join group");

    /// <summary>Lets sends of this size through: a batch that must be atomic goes out in one send.</summary>
    public void EnsureSendBuffer(int bytes)
    {
        // The kernel compares the message with the buffer less its own overhead, and doubles what we ask for.
        if (bytes + 4096 > _sendBuffer)
            _sendBuffer = SetBuffer(Libc.SoSndBufForce, Libc.SoSndBuf, bytes + 4096);
    }

    /// <summary>
    /// Takes one datagram of notifications, empty if there is none; <see cref="Errno.ENOBUFS"/> means that some were lost.
    /// </summary>
    internal ReadOnlySpan<byte> ReceiveNotification(out Errno errno)
    {
        var received = Receive(Libc.MsgDontWait, out errno);
        return received > 0 ? _receive.AsSpan(0, received) : default;
    }

    public void Dispose() => _fd.Dispose();

    private Errno ReadDump<TSink>(uint sequence, ref TSink sink, out string? detail)
        where TSink : INetlinkSink, allows ref struct
    {
        var interrupted = false;
        detail = null;
        while (true)
        {
            var received = Receive(0, out var errno);
            if (received < 0)
            {
                if (errno is Errno.ENOBUFS)
                {
                    interrupted = true;
                    continue;
                }
                return errno == Errno.EAGAIN ? Errno.ETIMEDOUT : errno;
            }
            var messages = new NetlinkMessages(_receive.AsSpan(0, received));
            while (messages.TryNext(out var message))
            {
                if (message.Sequence != sequence)
                    continue;
                interrupted |= (message.Flags & NetlinkFlags.DumpInterrupted) != 0;
                if (message.Type is NetlinkMessageType.Done or NetlinkMessageType.Error)
                {
                    var end = NetlinkError.Read(message, withText: true);
                    detail = end.Text;
                    return end.Errno == Errno.None && interrupted ? Errno.EINTR : end.Errno;
                }
                if (message.Type >= NetlinkMessageType.FirstOfFamily && !interrupted)
                    sink.Message(message);
            }
        }
    }

    private void Send(NetlinkBatch batch)
    {
        EnsureSendBuffer(batch.Length);
        _sequence = batch.FirstSequence + (uint)batch.Count;
        var kernel = new Libc.SockAddrNetlink { Family = Libc.AfNetlink };
        fixed (byte* bytes = batch.Bytes)
        {
            while (Libc.SendTo(_fd, bytes, (nuint)batch.Length, 0, &kernel, (uint)sizeof(Libc.SockAddrNetlink)) < 0)
            {
                var errno = Libc.LastErrno;
                if (errno != Errno.EINTR)
                    throw new KernelException(errno, "send netlink", $"{Protocol}, {batch.Length} bytes");
            }
        }
    }

    /// <summary>Receives a datagram of the kernel, whole; -1 with an errno otherwise.</summary>
    private int Receive(int flags, out Errno errno)
    {
        while (true)
        {
            Libc.SockAddrNetlink from;
            var fromLength = (uint)sizeof(Libc.SockAddrNetlink);
            nint received;
            fixed (byte* buffer = _receive)
                received = Libc.ReceiveFrom(_fd, buffer, ReceiveSize, flags | Libc.MsgTrunc, &from, &fromLength);
            if (received < 0)
            {
                errno = Libc.LastErrno;
                if (errno == Errno.EINTR)
                    continue;
                return -1;
            }
            // Other processes may send to our port; only the kernel has port 0.
            if (from.PortId != 0)
                continue;
            // A datagram that did not fit has lost its tail, which is as good as lost.
            errno = received > ReceiveSize ? Errno.ENOBUFS : Errno.None;
            return received > ReceiveSize ? -1 : (int)received;
        }
    }

    private void Configure()
    {
        var address = new Libc.SockAddrNetlink { Family = Libc.AfNetlink };
        if (Libc.Bind(_fd, &address, (uint)sizeof(Libc.SockAddrNetlink)) < 0)
            throw new KernelException(Libc.LastErrno, "bind netlink", Protocol.ToString());
        SetOption(Libc.SolNetlink, NetlinkOption.ExtAck, 1, "configure");
        SetOption(Libc.SolNetlink, NetlinkOption.CapAck, 1, "configure");
        if (Protocol == NetlinkProtocol.Route)
            SetOption(Libc.SolNetlink, NetlinkOption.GetStrictCheck, 1, "configure");
        SetTimeout(Patience);
        _sendBuffer = SetBuffer(Libc.SoSndBufForce, Libc.SoSndBuf, 1024 * 1024);
        MaxPipelined = Math.Clamp(SetBuffer(Libc.SoRcvBufForce, Libc.SoRcvBuf, WantedBuffer) / AckFootprint, 1, 8192);
    }

    private void SetTimeout(Libc.TimeVal value)
    {
        if (Libc.SetSockOpt(_fd, Libc.SolSocket, Libc.SoRcvTimeo, &value, (uint)sizeof(Libc.TimeVal)) < 0)
            throw new KernelException(Libc.LastErrno, "configure netlink", Protocol.ToString());
    }

    private void SetOption(int level, int option, int value, string what)
    {
        if (Libc.SetSockOpt(_fd, level, option, &value, sizeof(int)) < 0)
            throw new KernelException(Libc.LastErrno, $"{what} netlink", $"{Protocol}, option {option} = {value}");
    }

    /// <summary>Sets the size beyond the system's limit if we may, else up to the limit; returns what we got.</summary>
    private int SetBuffer(int forced, int polite, int bytes)
    {
        if (Libc.SetSockOpt(_fd, Libc.SolSocket, forced, &bytes, sizeof(int)) < 0)
            Libc.SetSockOpt(_fd, Libc.SolSocket, polite, &bytes, sizeof(int));
        int granted;
        uint length = sizeof(int);
        return Libc.GetSockOpt(_fd, Libc.SolSocket, polite, &granted, &length) < 0 ? 0 : granted;
    }

    private readonly struct NoReplies : INetlinkSink
    {
        public void Restart()
        {
        }

        public void Message(in NetlinkMessage message)
        {
        }
    }
}
