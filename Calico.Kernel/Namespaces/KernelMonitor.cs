using System.Threading.Channels;
using Calico.Kernel.Links;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Netlink;
using Calico.Kernel.Routes;

namespace Calico.Kernel.Namespaces;

/// <summary>
/// Kernel events from rtnetlink's multicast groups. A thread reads them into a bounded queue; when the reader of the
/// queue falls behind, the thread waits, the socket's buffer fills up, and the kernel's report of that (ENOBUFS)
/// becomes <see cref="KernelEvent.Overflow"/>.
/// </summary>
internal sealed class KernelMonitor : IKernelMonitor
{
    private const int QueueLength = 4096;

    private readonly NetlinkSocket _socket;
    private readonly FdHandle _stop;
    private readonly Thread _thread;
    private readonly CancellationTokenSource _stopped = new();
    private readonly Channel<KernelEvent> _events = Channel.CreateBounded<KernelEvent>(
        new BoundedChannelOptions(QueueLength) { SingleReader = true, SingleWriter = true });

    private KernelMonitor(NetlinkSocket socket, FdHandle stop)
    {
        _socket = socket;
        _stop = stop;
        _thread = new Thread(Read) { IsBackground = true, Name = "kernel monitor" };
    }

    /// <summary>Subscribes: what happens from the return on is reported. Takes the socket over.</summary>
    public static KernelMonitor Start(NetlinkSocket socket, KernelEventGroups groups, in NetlinkFilter filter)
    {
        FdHandle? stop = null;
        try
        {
            socket.Attach(filter);
            Join(socket, groups);
            stop = new FdHandle(Libc.EventFd(0, Libc.OCloexec));
            if (stop.IsInvalid)
                throw new KernelException(Libc.LastErrno, "open", "eventfd");
            var monitor = new KernelMonitor(socket, stop);
            monitor._thread.Start();
            return monitor;
        }
        catch
        {
            stop?.Dispose();
            socket.Dispose();
            throw;
        }
    }

    public async ValueTask<IReadOnlyList<KernelEvent>> NextAsync(CancellationToken cancellation)
    {
        var reader = _events.Reader;
        if (!await reader.WaitToReadAsync(cancellation))
            return [];
        var batch = new List<KernelEvent>();
        while (batch.Count < QueueLength && reader.TryRead(out var next))
            batch.Add(next);
        return batch;
    }

    public unsafe void Dispose()
    {
        if (_stopped.IsCancellationRequested)
            return;
        _stopped.Cancel();
        var one = 1UL;
        Libc.Write(_stop, (byte*)&one, sizeof(ulong));
        _thread.Join();
        _socket.Dispose();
        _stop.Dispose();
        _stopped.Dispose();
    }

    private static void Join(NetlinkSocket socket, KernelEventGroups groups)
    {
        if (groups.HasFlag(KernelEventGroups.Links))
            socket.Join(RouteGroup.Link);
        if (groups.HasFlag(KernelEventGroups.Addresses))
        {
            socket.Join(RouteGroup.Ipv4Address);
            socket.Join(RouteGroup.Ipv6Address);
        }
        if (groups.HasFlag(KernelEventGroups.RoutesV4))
            socket.Join(RouteGroup.Ipv4Route);
        if (groups.HasFlag(KernelEventGroups.RoutesV6))
            socket.Join(RouteGroup.Ipv6Route);
        if (groups.HasFlag(KernelEventGroups.Neighbours))
            socket.Join(RouteGroup.Neighbour);
    }

    private void Read()
    {
        Exception? fault = null;
        try
        {
            while (WaitReadable())
            {
                var datagram = _socket.ReceiveNotification(out var errno);
                if (errno == Errno.ENOBUFS)
                    Post(new KernelEvent.Overflow());
                else if (errno is not (Errno.None or Errno.EAGAIN))
                    throw new KernelException(errno, "receive", "kernel events");
                var messages = new NetlinkMessages(datagram);
                while (messages.TryNext(out var message))
                {
                    if (Parse(message) is { } happened)
                        Post(happened);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
        catch (KernelException e)
        {
            fault = e;
        }
        _events.Writer.Complete(fault);
    }

    private void Post(KernelEvent happened)
    {
        while (!_events.Writer.TryWrite(happened))
            _events.Writer.WaitToWriteAsync(_stopped.Token).AsTask().GetAwaiter().GetResult();
    }

    private unsafe bool WaitReadable()
    {
        var fds = stackalloc Libc.PollFd[2];
        while (true)
        {
            fds[0] = new Libc.PollFd { Fd = _socket.Fd, Events = Libc.PollIn };
            fds[1] = new Libc.PollFd { Fd = _stop.Fd, Events = Libc.PollIn };
            if (Libc.Poll(fds, 2, -1) < 0 && Libc.LastErrno != Errno.EINTR)
                throw new KernelException(Libc.LastErrno, "poll", "kernel events");
            if (fds[1].Returned != 0)
                return false;
            // Errors, such as lost events, are for the receive to tell.
            if (fds[0].Returned != 0)
                return true;
        }
    }

    private static KernelEvent? Parse(in NetlinkMessage message)
    {
        var payload = message.Payload;
        switch (message.Type)
        {
            case RouteMessageType.NewLink:
                return LinkMessage.Read(payload) is { } changed ? new KernelEvent.LinkChanged(changed) : null;
            case RouteMessageType.DelLink:
                return LinkMessage.Read(payload) is { } gone ? new KernelEvent.LinkRemoved(gone.Index, gone.Name) : null;
            case RouteMessageType.NewAddress or RouteMessageType.DelAddress:
                return LinkMessage.ReadAddress(payload) is { } address
                    ? new KernelEvent.AddressChanged(address, message.Type == RouteMessageType.DelAddress) : null;
            case RouteMessageType.NewRoute or RouteMessageType.DelRoute:
                return RouteMessage.Read(payload) is { } route
                    ? new KernelEvent.RouteChanged(route, message.Type == RouteMessageType.DelRoute) : null;
            case RouteMessageType.NewNeighbour or RouteMessageType.DelNeighbour:
                var removed = message.Type == RouteMessageType.DelNeighbour;
                return NeighbourMessage.Read(payload, removed) is { } neighbour
                    ? new KernelEvent.NeighbourChanged(neighbour, removed) : null;
            default:
                return null;
        }
    }
}
