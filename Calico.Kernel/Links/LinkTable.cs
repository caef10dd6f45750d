using System.Collections.Immutable;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Links;

/// <summary>The kernel's devices over rtnetlink.</summary>
internal sealed class LinkTable(NetlinkSocket socket) : NetlinkTable(socket), ILinkTable
{
    private const uint DoomedGroup = 0x63616C69; // "cali"

    public ImmutableArray<Link> Dump()
    {
        var w = Begin();
        LinkMessage.WriteGet(ref w);
        var sink = new LinkList(ImmutableArray.CreateBuilder<Link>());
        Dump(ref sink, "dump", "links");
        return sink.Links.DrainToImmutable();
    }

    public Link? Find(string name) => Find(0, name);
    public Link? Find(int index) => index > 0 ? Find(index, null) : null;

    public Link CreateVeth(VethPair pair, bool up)
    {
        var w = Begin();
        LinkMessage.WriteVeth(ref w, pair, up);
        return Create(ref w, "create veth", pair.Name);
    }

    public Link CreateBridge(string name)
    {
        var w = Begin();
        LinkMessage.WriteBridge(ref w, name);
        return Create(ref w, "create bridge", name);
    }

    public void Change(LinkChange change)
    {
        var w = Begin();
        if (change.Ipv4 is { } ipv4)
        {
            LinkMessage.WriteIpv4(ref w, change.Index, ipv4);
            if (ipv4.ProxyDelay is { } delay)
                LinkMessage.WriteProxyDelay(ref w, change.Index, delay);
        }
        LinkMessage.WriteChange(ref w, change);
        Span<Errno> results = stackalloc Errno[3];
        var failures = new List<NetlinkFailure>(0);
        Batch.AcknowledgeLast();
        WriteCount += Batch.Count - Socket.Exchange(Batch, results, failures);
        if (failures.Count > 0)
            throw new KernelException(failures[0].Errno, "change link", NameOf(change.Index), failures[0].Message);
    }

    public bool Delete(string name)
    {
        var w = Begin();
        LinkMessage.WriteDelete(ref w, name: name);
        return Write("delete link", name, orElse: Errno.ENODEV);
    }

    public int Delete(ReadOnlySpan<int> indexes)
    {
        var removed = 0;
        for (var most = Socket.MaxPipelined - 1; !indexes.IsEmpty; indexes = indexes[Math.Min(most, indexes.Length)..])
            removed += DeleteTogether(indexes[..Math.Min(most, indexes.Length)]);
        WriteCount += removed;
        return removed;
    }

    // rtnl_group_dellink unregisters a whole group at once. Only what is to go is ever in this group, so what a crash
    // left in it goes with the next.
    private int DeleteTogether(ReadOnlySpan<int> indexes)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        if (indexes.Length == 1)
        {
            LinkMessage.WriteDelete(ref w, indexes[0]);
        }
        else
        {
            foreach (var index in indexes)
                LinkMessage.WriteGroup(ref w, index, DoomedGroup);
            LinkMessage.WriteDelete(ref w, group: DoomedGroup);
        }
        Batch.AcknowledgeLast();
        var results = new Errno[Batch.Count];
        Socket.Exchange(Batch, results);
        foreach (var result in results)
        {
            if (result is not (Errno.None or Errno.ENODEV))
                throw new KernelException(result, "delete links", string.Join(' ', indexes.ToArray()));
        }
        var found = results.AsSpan(0, indexes.Length).Count(Errno.None);
        return results[^1] == Errno.None ? found : 0;
    }

    public ImmutableArray<LinkAddress> DumpAddresses(int? linkIndex = null)
    {
        var w = Begin();
        LinkMessage.WriteAddressDump(ref w, linkIndex);
        var sink = new AddressList(ImmutableArray.CreateBuilder<LinkAddress>());
        // ENODEV: the device is gone and its addresses with it.
        Dump(ref sink, "dump", "addresses", orEmpty: Errno.ENODEV);
        return sink.Addresses.DrainToImmutable();
    }

    public void AddAddress(LinkAddress address)
    {
        var w = Begin();
        LinkMessage.WriteAddress(ref w, RouteMessageType.NewAddress, NetlinkFlags.Create | NetlinkFlags.Exclusive, address);
        WriteAddress("add address", address, orElse: Errno.EEXIST);
    }

    public void DeleteAddress(LinkAddress address)
    {
        var w = Begin();
        LinkMessage.WriteAddress(ref w, RouteMessageType.DelAddress, NetlinkFlags.None, address);
        WriteAddress("delete address", address, orElse: Errno.EADDRNOTAVAIL, orElse2: Errno.ENODEV);
    }

    private NetlinkWriter Begin()
    {
        Batch.Clear(Socket);
        return Batch.Writer();
    }

    /// <summary>Sends the creation and, in the same call, the question what came of it.</summary>
    private Link Create(ref NetlinkWriter w, string operation, string name)
    {
        LinkMessage.WriteGet(ref w, name: name);
        Span<Errno> results = [Errno.None, Errno.None];
        var failures = new List<NetlinkFailure>(0);
        var sink = new OneLink();
        Batch.AcknowledgeLast();
        Socket.Exchange(Batch, results, ref sink, failures);
        if (results[0] == Errno.None)
            WriteCount++;
        foreach (var failure in failures)
            throw new KernelException(failure.Errno, operation, name, failure.Message);
        return sink.Link ?? throw new KernelException(Errno.ENODEV, operation, name);
    }

    private Link? Find(int index, string? name)
    {
        var w = Begin();
        LinkMessage.WriteGet(ref w, index, name);
        var sink = new OneLink();
        var answer = Socket.Request(Batch, ref sink, out var detail);
        return answer switch
        {
            Errno.None => sink.Link,
            Errno.ENODEV => null,
            _ => throw new KernelException(answer, "find link", name ?? $"{index}", detail),
        };
    }

    private void WriteAddress(string operation, LinkAddress address, Errno orElse, Errno orElse2 = Errno.None)
    {
        var answer = TryWrite(out var detail);
        if (answer != Errno.None && answer != orElse && answer != orElse2)
            throw new KernelException(answer, operation, $"{address.Address} dev {NameOf(address.LinkIndex)}", detail);
    }

    private string NameOf(int index) => Find(index)?.Name ?? $"link {index}";

    private readonly struct LinkList(ImmutableArray<Link>.Builder links) : INetlinkSink
    {
        public ImmutableArray<Link>.Builder Links => links;

        public void Restart() => links.Clear();

        public void Message(in NetlinkMessage message)
        {
            if (LinkMessage.Read(message.Payload) is { } link)
                links.Add(link);
        }
    }

    private readonly struct AddressList(ImmutableArray<LinkAddress>.Builder addresses) : INetlinkSink
    {
        public ImmutableArray<LinkAddress>.Builder Addresses => addresses;

        public void Restart() => addresses.Clear();

        public void Message(in NetlinkMessage message)
        {
            if (LinkMessage.ReadAddress(message.Payload) is { } address)
                addresses.Add(address);
        }
    }

    private struct OneLink : INetlinkSink
    {
        public Link? Link { get; private set; }

        public void Restart() => Link = null;
        public void Message(in NetlinkMessage message) => Link = LinkMessage.Read(message.Payload) ?? Link;
    }
}
