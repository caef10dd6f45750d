using System.Runtime.Serialization;
using System.Text;
using Akka.Actor;
using Calico.Actors.Cluster;
using Calico.Actors.Feed;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Actors.Protocol;
using Calico.Actors.Protocol.Serialization;
using Calico.Core.Feed;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Protocol;

/// <summary>
/// What crosses nodes, byte by byte. A line that changes here is a change of the protocol: members of two releases talk
/// to each other during every upgrade.
/// </summary>
[Layer("unit")]
public sealed class MeshSerializerTests : IDisposable
{
    private static readonly Cidr Block = Cidr.Parse("10.65.1.64/26");
    private static readonly Cidr Block6 = Cidr.Parse("fd00:65::40/122");

    private static readonly (object Message, string Golden)[] Samples =
    [
        (new FeedProtocol.Pull(FeedName.Resources, new FeedCursor(1, 2, 3), "node/n1", 300),
            "01000000000000000100000000000000020000000000000003076E6F64652F6E31AC02"),
        (new FeedProtocol.News(FeedName.Policies, new FeedBatch(new FeedCursor(1, 2, 3),
            [new FeedItem("a", Encoding.UTF8.GetBytes("one"), 7), new FeedItem("b", null, 8), new FeedItem("c", Array.Empty<byte>(), 9)],
            Reset: true, Complete: false)),
            "02000000000000000100000000000000020000000000000003010003016101036F6E65" +
            "00000000000000070162000000000000000008016301000000000000000009"),
        (new BlockProtocol.ClaimBlock(Block, "n1", 258), "040A4101401A026E310000000000000102"),
        (new BlockProtocol.ReleaseBlock(Block6, "n1", 5), "10FD0000650000000000000000000000407A026E310000000000000005"),
        (new BlockProtocol.RetireHolder(Block, "n1", 5), "040A4101401A026E310000000000000005"),
        (new BlockProtocol.BlockGranted(Block, "n1", 5, 6), "040A4101401A026E3100000000000000050000000000000006"),
        (new BlockProtocol.BlockRefused(Block, BlockProtocol.Refusal.HeldByAnother, "host:n2", 6),
            "040A4101401A010107686F73743A6E320000000000000006"),
        (new BlockProtocol.BlockRefused(Block, BlockProtocol.Refusal.Corrupt, null, 6), "040A4101401A03000000000000000006"),
        (new BlockProtocol.HolderRetired(Block, "n1", 300), "040A4101401A026E31AC02"),
        (new LendProtocol.Borrow("n2", "n1", 6, "h", [Block], IpAddr.Parse("10.65.1.65")), "026E32026E310000000000000006016801040A4101401A040A410141"),
        (new LendProtocol.Borrow("n2", "n1", 6, "h", [], null), "026E32026E31000000000000000601680000"),
        (new LendProtocol.Lent("n1", "n2", 6, Block, IpAddr.Parse("10.65.1.65"), 5), "026E31026E320000000000000006040A4101401A040A4101410000000000000005"),
        (new LendProtocol.NotLent("n1", "n2", 6, LendProtocol.Refusal.Busy), "026E31026E32000000000000000602"),
        (new NodeProtocol.NodeObserved("n1", true, false, IpAddr.Parse("172.30.1.11"), [new BlockProtocol.Holding(Block, 5)], [new NodeProtocol.Endpoint("/k", 6)],
            [new NodeProtocol.Borrowing("/k", 6, Block)]), "026E31010004AC1E010B01040A4101401A000000000000000501022F6B000000000000000601022F6B0000000000000006040A4101401A"),
        (new NodeProtocol.GetNode("n1"), "026E31"),
        (new NodeProtocol.NodeStatus("n1", NodeProtocol.Phase.Gone, null, []), "026E31030000"),
        (new PolicyProtocol.TouchPolicy("/p", 9), "022F700000000000000009"),
    ];

    private readonly ActorSystem _system = ActorSystem.Create("serializer");
    private readonly MeshSerializer _serializer;

    public MeshSerializerTests() => _serializer = new MeshSerializer((ExtendedActorSystem)_system);

    public static TheoryData<int> Numbers => [.. Enumerable.Range(0, Samples.Length)];

    [Theory]
    [MemberData(nameof(Numbers))]
    public void A_message_has_its_golden_bytes_and_comes_back_from_them(int number)
    {
        var (message, golden) = Samples[number];

        Assert.Equal(golden, Convert.ToHexString(_serializer.ToBinary(message)));
        var read = _serializer.FromBinary(Convert.FromHexString(golden), _serializer.Manifest(message));
        Assert.Equal(message.GetType(), read.GetType());
        Assert.Equal(golden, Convert.ToHexString(_serializer.ToBinary(read)));
    }

    [Fact]
    public void A_deletion_arrives_as_a_deletion_and_an_empty_value_as_an_empty_value()
    {
        var (message, golden) = Samples[1];

        var news = (FeedProtocol.News)_serializer.FromBinary(Convert.FromHexString(golden), _serializer.Manifest(message));

        Assert.Equal(["one", null, ""], news.Batch.Items.Select(i => i.Value is { } v ? Encoding.UTF8.GetString(v.Span) : null));
    }

    [Fact]
    public void Every_message_between_nodes_is_here()
    {
        var wire = typeof(IWireMessage).Assembly.GetTypes().Where(t => t is { IsClass: true, IsAbstract: false } && t.IsAssignableTo(typeof(IWireMessage)));

        Assert.Equal(wire.Select(t => t.Name).Order(), MeshSerializer.Known.Select(k => k.Type.Name).Order());
        Assert.Empty(MeshSerializer.Known.Select(k => k.Type).Except(Samples.Select(s => s.Message.GetType())));
        Assert.Equal(MeshSerializer.Known.Count(), MeshSerializer.Known.Select(k => k.Manifest).Distinct().Count());
    }

    [Theory]
    [MemberData(nameof(Numbers))]
    public void A_message_that_is_cut_short_is_a_format_error_at_every_length(int number)
    {
        var (message, golden) = Samples[number];
        var bytes = Convert.FromHexString(golden);

        for (var length = 0; length < bytes.Length; length++)
            Assert.Throws<FormatException>(() => _serializer.FromBinary(bytes[..length], _serializer.Manifest(message)));
    }

    [Fact]
    public void A_length_beyond_the_message_is_refused_before_anything_is_allocated() =>
        Assert.Throws<FormatException>(() => _serializer.FromBinary(Convert.FromHexString("FFFFFFFF0F"), "NG"));

    [Fact]
    public void A_manifest_of_a_newer_release_is_refused_by_name() =>
        Assert.Contains("'Z9'", Assert.Throws<SerializationException>(() => _serializer.FromBinary([], "Z9")).Message, StringComparison.Ordinal);

    public void Dispose() => _system.Dispose();
}
