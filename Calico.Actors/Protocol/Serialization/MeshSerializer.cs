using System.Collections.Frozen;
using Akka.Actor;
using Akka.Serialization;
using Calico.Actors.Cluster;
using Calico.Actors.Feed;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Feed;

namespace Calico.Actors.Protocol.Serialization;

/// <summary>
/// The one serializer of messages between nodes. A manifest is two letters, is never renamed and never reused; fields
/// are only ever added at the end of a body, and a reader takes a body that ends before them.
/// </summary>
public sealed class MeshSerializer(ExtendedActorSystem system) : SerializerWithStringManifest(system)
{
    private sealed record Codec(string Manifest, Type Type, Action<MessageWriter, object> Write, Func<MessageReader, object> Read);

    private static readonly Codec[] Codecs =
    [
        Of<FeedProtocol.Pull>("FP",
            (w, m) => w.Byte((byte)m.Feed).Int64(m.Cursor.Epoch).Int64(m.Cursor.Sequence).Int64(m.Cursor.Floor)
                .Text(m.Reader).Varint((uint)m.MaxBytes),
            r => new((FeedName)r.Byte(), Cursor(r), r.Text(), (int)r.Varint())),
        Of<FeedProtocol.News>("FN",
            (w, m) => w.Byte((byte)m.Feed).Int64(m.Batch.Cursor.Epoch).Int64(m.Batch.Cursor.Sequence).Int64(m.Batch.Cursor.Floor)
                .Bool(m.Batch.Reset).Bool(m.Batch.Complete)
                .List(m.Batch.Items, (x, i) => x.Text(i.Key).OptionalBytes(i.Value).Int64(i.Revision)),
            r => ReadNews(r)),
        Of<BlockProtocol.ClaimBlock>("BC",
            (w, m) => w.Cidr(m.Block).Text(m.Node).Int64(m.RequestId),
            r => new(r.Cidr(), r.Text(), r.Int64())),
        Of<BlockProtocol.ReleaseBlock>("BR",
            (w, m) => w.Cidr(m.Block).Text(m.Node).Int64(m.Epoch),
            r => new(r.Cidr(), r.Text(), r.Int64())),
        Of<BlockProtocol.RetireHolder>("BT",
            (w, m) => w.Cidr(m.Block).Text(m.Node).Int64(m.Epoch),
            r => new(r.Cidr(), r.Text(), r.Int64())),
        Of<BlockProtocol.BlockGranted>("BG",
            (w, m) => w.Cidr(m.Block).Text(m.Node).Int64(m.Epoch).Int64(m.RequestId),
            r => new(r.Cidr(), r.Text(), r.Int64(), r.Int64())),
        Of<BlockProtocol.BlockRefused>("BX",
            (w, m) => w.Cidr(m.Block).Byte((byte)m.Reason).OptionalText(m.Holder).Int64(m.RequestId),
            r => new(r.Cidr(), (BlockProtocol.Refusal)r.Byte(), r.OptionalText(), r.Int64())),
        Of<BlockProtocol.HolderRetired>("BD",
            (w, m) => w.Cidr(m.Block).Text(m.Node).Varint((uint)m.AddressesFreed),
            r => new(r.Cidr(), r.Text(), (int)r.Varint())),
        Of<LendProtocol.Borrow>("LB",
            (w, m) => w.Text(m.To).Text(m.From).Int64(m.RequestId).Text(m.Handle).List(m.Pools, (x, p) => x.Cidr(p)).Address(m.Wanted),
            r => new(r.Text(), r.Text(), r.Int64(), r.Text(), r.List(x => x.Cidr()), r.Address())),
        Of<LendProtocol.Lent>("LL",
            (w, m) => w.Text(m.To).Text(m.From).Int64(m.RequestId).Cidr(m.Block).Address(m.Address).Int64(m.Epoch),
            r => new(r.Text(), r.Text(), r.Int64(), r.Cidr(), r.Address() ?? throw new System.Runtime.Serialization.SerializationException("a loan without an address"), r.Int64())),
        Of<LendProtocol.NotLent>("LX",
            (w, m) => w.Text(m.To).Text(m.From).Int64(m.RequestId).Byte((byte)m.Reason),
            r => new(r.Text(), r.Text(), r.Int64(), (LendProtocol.Refusal)r.Byte())),
        Of<NodeProtocol.NodeObserved>("NO",
            (w, m) => w.Text(m.Node).Bool(m.IsMember).Bool(m.ResourceExists).Address(m.Address)
                .List(m.Blocks, (x, b) => x.Cidr(b.Block).Int64(b.Epoch)).List(m.Endpoints, (x, e) => x.Text(e.Key).Int64(e.Revision))
                .List(m.Borrowed, (x, b) => x.Text(b.Endpoint).Int64(b.Revision).Cidr(b.Block)),
            r => new(r.Text(), r.Bool(), r.Bool(), r.Address(), r.List(x => new BlockProtocol.Holding(x.Cidr(), x.Int64())), r.List(x => new NodeProtocol.Endpoint(x.Text(), x.Int64())),
                r.List(x => new NodeProtocol.Borrowing(x.Text(), x.Int64(), x.Cidr())))),
        Of<NodeProtocol.GetNode>("NG", (w, m) => w.Text(m.Node), r => new(r.Text())),
        Of<NodeProtocol.NodeStatus>("NS",
            (w, m) => w.Text(m.Node).Byte((byte)m.Phase).Address(m.Address).List(m.Blocks, (x, b) => x.Cidr(b.Block).Int64(b.Epoch)),
            r => new(r.Text(), (NodeProtocol.Phase)r.Byte(), r.Address(), r.List(x => new BlockProtocol.Holding(x.Cidr(), x.Int64())))),
        Of<PolicyProtocol.TouchPolicy>("PT",
            (w, m) => w.Text(m.PolicyKey).Int64(m.Revision),
            r => new(r.Text(), r.Int64())),
    ];

    private static readonly FrozenDictionary<Type, Codec> ByType = Codecs.ToFrozenDictionary(c => c.Type);
    private static readonly FrozenDictionary<string, Codec> ByManifest = Codecs.ToFrozenDictionary(c => c.Manifest);

    public override int Identifier => 791;

    /// <summary>Every type this serializer writes, for the tests that demand golden bytes of each.</summary>
    public static IEnumerable<(string Manifest, Type Type)> Known => Codecs.Select(c => (c.Manifest, c.Type));

    public override string Manifest(object o) => CodecOf(o).Manifest;

    public override byte[] ToBinary(object obj)
    {
        var writer = new MessageWriter();
        CodecOf(obj).Write(writer, obj);
        return writer.ToArray();
    }

    public override object FromBinary(byte[] bytes, string manifest) => ByManifest.TryGetValue(manifest, out var codec)
        ? codec.Read(new MessageReader(bytes))
        : throw new System.Runtime.Serialization.SerializationException($"unknown manifest '{manifest}': sent by a newer release");

    private static Codec CodecOf(object o) => ByType.TryGetValue(o.GetType(), out var codec)
        ? codec
        : throw new ArgumentException($"{o.GetType()} is a wire message without a codec", nameof(o));

    private static Codec Of<T>(string manifest, Action<MessageWriter, T> write, Func<MessageReader, T> read) where T : class =>
        new(manifest, typeof(T), (w, o) => write(w, (T)o), r => read(r));

    private static FeedCursor Cursor(MessageReader r) => new(r.Int64(), r.Int64(), r.Int64());

    private static FeedProtocol.News ReadNews(MessageReader r)
    {
        var feed = (FeedName)r.Byte();
        var cursor = Cursor(r);
        bool reset = r.Bool(), complete = r.Bool();
        var items = r.List(x => new FeedItem(x.Text(), x.OptionalBytes(), x.Int64()));
        return new FeedProtocol.News(feed, new FeedBatch(cursor, items, reset, complete));
    }
}
