using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>Holds the promise that routes cost no objects: neither on their way in, nor in the tables, nor on their way out.</summary>
[Layer("unit")]
public class AllocationTests
{
    private static readonly RibPeer From = RibHarness.Peer(1, isInternal: false);
    private static readonly RibPeer To = RibHarness.Peer(2, isInternal: true);

    [Fact]
    public void Decoding_allocates_nothing()
    {
        var body = Update(900, 1).AsSpan(19).ToArray();
        var decoder = new UpdateDecoder();
        var batch = new RouteBatch();

        Assert.Equal(0, Measure(() =>
        {
            decoder.TryDecode(body, From.Context, out var update, out _);
            batch.Clear();
            batch.Add(update);
        }));
    }

    [Fact]
    public void Applying_and_telling_allocate_the_same_for_one_prefix_and_for_a_thousand()
    {
        var (one, thousand) = (Cycle(1), Cycle(900));

        Assert.InRange(one, 0, 2000);
        Assert.InRange(thousand, 0, one + 100);
    }

    [Fact]
    public void A_hundred_thousand_routes_fit_into_a_few_arrays()
    {
        // Other tests take and leave memory meanwhile: the middle one of five counts.
        var octets = Enumerable.Range(0, 5).Select(_ => OctetsOfHundredThousandRoutes()).Order().ElementAt(2);

        // Buckets double, so up to half of them may be spare.
        Assert.InRange(octets / 100_000.0, 20, 90);
    }

    private static long OctetsOfHundredThousandRoutes()
    {
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var rib = new Rib(new RibConfig(RibHarness.Own, RibHarness.OwnId));
        rib.PeerUp(From);
        for (var i = 0; i < 100; i++)
            Apply(rib, From, Update(1000, i));
        var after = GC.GetTotalMemory(forceFullCollection: true);

        Assert.Equal(100_000, rib.Prefixes(Families.Ipv4Unicast));
        GC.KeepAlive(rib);
        return after - before;
    }

    // Announce with one set, tell, announce with another, tell: the tables have their size after the first round.
    private static long Cycle(int prefixes)
    {
        var rib = new Rib(new RibConfig(RibHarness.Own, RibHarness.OwnId));
        rib.PeerUp(From);
        rib.PeerUp(To);
        var buffer = new byte[70_000];
        var batches = new[] { BatchOf(Update(prefixes, 1, med: 1)), BatchOf(Update(prefixes, 1, med: 2)) };
        return Measure(() =>
        {
            foreach (var batch in batches)
            {
                rib.Apply(From.Index, batch);
                rib.FillUpdates(To.Index, buffer);
            }
        });
    }

    private static long Measure(Action action)
    {
        for (var i = 0; i < 50; i++)
            action();
        var before = GC.GetAllocatedBytesForCurrentThread();
        action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static void Apply(Rib rib, RibPeer peer, byte[] message) => rib.Apply(peer.Index, BatchOf(message));

    private static RouteBatch BatchOf(byte[] message)
    {
        var batch = new RouteBatch();
        Assert.True(new UpdateDecoder().TryDecode(message.AsSpan(19), From.Context, out var update, out _));
        batch.Add(update);
        return batch;
    }

    private static byte[] Update(int prefixes, int number, uint med = 0)
    {
        var set = new PathAttributes { AsPath = AsPath.Sequence(From.As.Value, (uint)number + 1), Med = med };
        var attributes = new WireWriter(new byte[200]);
        new AttributeEdits { FourOctetAs = true, NextHop = From.Address }.Write(ref attributes, set.Encode());
        var w = new UpdateWriter<Prefix4>(new byte[5000], 5000);
        w.BeginAnnounce(attributes.Written, default);
        for (var i = 0; i < prefixes; i++)
            Assert.True(w.TryAdd(Prefix4.From(new Cidr(IpAddr.FromV4((11u << 24) + ((uint)((number * 1000) + i) << 8)),
                24))));
        w.End();
        return w.Written.ToArray();
    }
}
