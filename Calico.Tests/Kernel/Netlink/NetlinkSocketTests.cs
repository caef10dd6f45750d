using Calico.Kernel;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Netlink;

namespace Calico.Tests.Kernel.Netlink;

[Layer("kernel")]
public class NetlinkSocketTests
{
    private const ushort GetLink = 18;
    private const ushort NewRule = 32;
    private const ushort GetRule = 34;
    private const ushort DeleteLink = 17;

    [Fact]
    public void A_dump_in_a_new_namespace_finds_only_the_loopback() => InNewNamespace(socket =>
    {
        var batch = new NetlinkBatch();
        batch.Clear(socket);
        AddLinkRequest(batch, GetLink, NetlinkFlags.Dump, index: 0);
        var names = new Names();

        var outcome = socket.Dump(batch, ref names, out _);

        Assert.Equal(Errno.None, outcome);
        Assert.Contains("lo", names.Found);
        Assert.DoesNotContain("eth0", names.Found);
    });

    [Fact]
    public void A_refusal_of_one_request_leaves_the_others_alone() => InNewNamespace(socket =>
    {
        var batch = new NetlinkBatch();
        batch.Clear(socket);
        AddRule(batch, 100);
        AddLinkRequest(batch, DeleteLink, NetlinkFlags.None, index: 4711);
        AddRule(batch, 101);
        batch.AcknowledgeLast();
        var results = new Errno[3];
        var failures = new List<NetlinkFailure>();

        var refused = socket.Exchange(batch, results, failures);

        Assert.Equal(1, refused);
        Assert.Equal([Errno.None, Errno.ENODEV, Errno.None], results);
        Assert.Equal((1, Errno.ENODEV), (failures.Single().Index, failures.Single().Errno));
    });

    [Fact]
    public void As_many_refusals_as_may_be_pipelined_all_arrive() => InNewNamespace(socket =>
    {
        var batch = new NetlinkBatch();
        batch.Clear(socket);
        for (var i = 0; i < socket.MaxPipelined; i++)
            AddLinkRequest(batch, DeleteLink, NetlinkFlags.Ack, index: 100_000 + i);
        var results = new Errno[batch.Count];

        var refused = socket.Exchange(batch, results);

        Assert.Equal(batch.Count, refused);
        Assert.All(results, r => Assert.Equal(Errno.ENODEV, r));
    });

    [Fact]
    public void The_kernels_own_words_come_with_a_refusal() => InNewNamespace(socket =>
    {
        var batch = new NetlinkBatch();
        batch.Clear(socket);
        var w = batch.Writer();
        var m = w.BeginMessage(GetRule, NetlinkFlags.Dump);
        // A strict dump request takes no attribute but the ones it knows.
        w.WriteZeros(12);
        w.AttributeUInt32(1, 5);
        w.EndMessage(m);
        var names = new Names();

        var outcome = socket.Dump(batch, ref names, out var detail);

        Assert.Equal(Errno.EINVAL, outcome);
        Assert.False(string.IsNullOrEmpty(detail));
    });

    [Fact]
    public void A_socket_keeps_its_namespace_on_other_threads()
    {
        InNewNamespace(socket =>
        {
            List<string>? found = null;
            var thread = new Thread(() =>
            {
                var batch = new NetlinkBatch();
                batch.Clear(socket);
                AddLinkRequest(batch, GetLink, NetlinkFlags.Dump, index: 0);
                var names = new Names();
                socket.Dump(batch, ref names, out _);
                found = names.Found;
            });
            thread.Start();
            thread.Join();

            Assert.DoesNotContain("eth0", found!);
        });
    }

    private static void InNewNamespace(Action<NetlinkSocket> test) => NamespaceThread.RunAlone(() =>
    {
        Assert.Equal(0, Libc.Unshare(Libc.CloneNewNet));
        using var socket = NetlinkSocket.Open(NetlinkProtocol.Route);
        test(socket);
        return true;
    });

    private static void AddLinkRequest(NetlinkBatch batch, ushort type, NetlinkFlags flags, int index)
    {
        var w = batch.Writer();
        var m = w.BeginMessage(type, flags);
        w.WriteZeros(4);
        w.WriteInt32(index);
        w.WriteZeros(8);
        w.EndMessage(m);
    }

    private static void AddRule(NetlinkBatch batch, uint table)
    {
        var w = batch.Writer();
        var m = w.BeginMessage(NewRule, NetlinkFlags.Create | NetlinkFlags.Exclusive);
        w.WriteBytes([2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        w.AttributeUInt32(6, table);
        w.AttributeUInt32(15, table);
        w.EndMessage(m);
    }

    private struct Names() : INetlinkSink
    {
        public List<string> Found { get; } = [];

        public readonly void Restart() => Found.Clear();

        public readonly void Message(in NetlinkMessage message)
        {
            if (message.Attributes(16).TryFind(3, out var name))
                Found.Add(name.String);
        }
    }
}
