using Calico.Kernel.Netlink;

namespace Calico.Kernel.Neighbours;

/// <summary>The kernel's neighbours, proxies and forwarding databases over rtnetlink.</summary>
internal sealed class NeighbourTable(NetlinkSocket socket) : NetlinkTable(socket), INeighbourTable
{
    public IReadOnlyList<Neighbour> Dump(int? linkIndex = null, bool forwarding = false) =>
        Collect(forwarding ? AddressFamily.Bridge : AddressFamily.Unspecified, linkIndex, proxies: false);

    public IReadOnlyList<Neighbour> DumpProxies(int? linkIndex = null) =>
        Collect(AddressFamily.Unspecified, linkIndex, proxies: true);

    public void Set(Neighbour neighbour)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        NeighbourMessage.Write(ref w, RouteMessageType.NewNeighbour, NetlinkFlags.Create | NetlinkFlags.Replace, neighbour);
        var answer = TryWrite(out var detail);
        if (answer != Errno.None)
            throw new KernelException(answer, "set neighbour", neighbour.ToString(), detail);
    }

    public void Delete(Neighbour neighbour)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        NeighbourMessage.Write(ref w, RouteMessageType.DelNeighbour, NetlinkFlags.None, neighbour);
        var answer = TryWrite(out var detail);
        // ENODEV: the device is gone and its neighbours with it.
        if (answer is not (Errno.None or Errno.ENOENT or Errno.ENODEV))
            throw new KernelException(answer, "delete neighbour", neighbour.ToString(), detail);
    }

    private List<Neighbour> Collect(byte family, int? link, bool proxies)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        NeighbourMessage.WriteDump(ref w, family, link, proxies);
        var sink = new NeighbourList([], link, proxies);
        Dump(ref sink, "dump", "neighbours", orEmpty: Errno.ENODEV);
        return sink.Neighbours;
    }

    private readonly struct NeighbourList(List<Neighbour> neighbours, int? link, bool proxies) : INetlinkSink
    {
        public List<Neighbour> Neighbours => neighbours;

        public void Restart() => neighbours.Clear();

        public void Message(in NetlinkMessage message)
        {
            if (NeighbourMessage.Read(message.Payload) is { } neighbour && neighbour.Proxy == proxies
                && (link is not { } index || neighbour.LinkIndex == index))
                neighbours.Add(neighbour);
        }
    }
}
