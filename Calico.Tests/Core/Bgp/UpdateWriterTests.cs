using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

[Layer("unit")]
public class UpdateWriterTests
{
    private static readonly IpAddr NextHop4 = IpAddr.Parse("192.0.2.1");
    private static readonly IpAddr NextHop6 = IpAddr.Parse("2001:db8::1");
    private static readonly WireContext Context = new(true, false, Internal: true, Families.Both) { ExtendedNextHop = true };

    private static readonly Gen<PathAttributes> Sets =
        from origin in Gen.OneOf(Origin.Igp, Origin.Egp, Origin.Incomplete)
        from path in Gen.UInt[1, uint.MaxValue].Array[0, 6]
        from set in Gen.UInt[1, 90000].Array[0, 3]
        from med in Gen.UInt.Nullable()
        from localPref in Gen.UInt.Nullable()
        from atomic in Gen.Bool
        from aggregator in Gen.UInt[1, uint.MaxValue].Nullable()
        from communities in Gen.UInt.Array[0, 80]
        from extended in Gen.ULong.Array[0, 3]
        from large in Gen.UInt.Array[0, 3]
        from clusters in Gen.UInt.Array[0, 3]
        from onlyTo in Gen.UInt.Nullable()
        from unknown in Gen.Byte.Array[0, 300]
        select new PathAttributes
        {
            Origin = origin,
            AsPath = set.Length == 0 ? AsPath.Sequence(path) : AsPath.Sequence(path).Then(SegmentType.Set, set),
            Med = med,
            LocalPref = localPref,
            AtomicAggregate = atomic,
            Aggregator = aggregator is { } a ? new Aggregator(new Asn(a), new RouterId(9)) : null,
            Communities = [.. communities.Select(c => new Community(c))],
            ExtendedCommunities = [.. extended.Select(c => new ExtendedCommunity(c))],
            LargeCommunities = [.. large.Select(c => new LargeCommunity(c, 1, 2))],
            OriginatorId = clusters.Length > 0 ? new RouterId(clusters[0]) : null,
            ClusterList = [.. clusters.Select(c => new RouterId(c))],
            OnlyToCustomer = onlyTo is null ? null : new Asn(onlyTo.Value),
            Unknown = unknown.Length == 0 ? [] : [new(25, [.. unknown]), new(99, [.. unknown])],
        };

    [Fact]
    public void The_octets_of_an_ipv4_update_are_the_expected_ones()
    {
        var messages = Pack<Prefix4>(PathAttributes.Local, [Cidr.Parse("10.65.1.0/26"), Cidr.Parse("10.65.2.0/26")],
            4096, NextHop4);

        Assert.Equal("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" + "0036" + "02" + "0000" + "0015" + "40010100" + "400200"
            + "400304C0000201" + "40050400000064" + "1A0A410100" + "1A0A410200", Hex(messages));
    }

    [Fact]
    public void Ipv6_routes_stand_first_and_the_other_attributes_behind_them()
    {
        var messages = Pack<Prefix6>(PathAttributes.Local, [Cidr.Parse("fd00:1::/122")], 4096, NextHop6);

        Assert.Equal("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" + "004F" + "02" + "0000" + "0038"
            + "900E0026" + "000201" + "10" + "20010DB8000000000000000000000001" + "00" + "7AFD000001000000000000000000000000"
            + "40010100" + "400200" + "40050400000064", Hex(messages));
    }

    [Fact]
    public void Ipv4_routes_with_an_ipv6_next_hop_stand_in_the_multiprotocol_attribute_of_ipv4()
    {
        var messages = Pack<Prefix4>(PathAttributes.Local, [Cidr.Parse("10.65.1.0/26")], 4096, NextHop6);

        Assert.Equal("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF" + "0043" + "02" + "0000" + "002C"
            + "900E001A" + "000101" + "10" + "20010DB8000000000000000000000001" + "00" + "1A0A410100"
            + "40010100" + "400200" + "40050400000064", Hex(messages));
    }

    [Fact]
    public void Withdrawals_and_end_of_rib_have_their_own_form()
    {
        Assert.EndsWith("02" + "0005" + "1A0A410100" + "0000", Hex(Withdraw<Prefix4>("10.65.1.0/26")),
            StringComparison.Ordinal);
        Assert.EndsWith("02" + "0000" + "000E" + "900F000A" + "000201" + "30FD0000010000",
            Hex(Withdraw<Prefix6>("fd00:1::/48")), StringComparison.Ordinal);
        Assert.EndsWith("001702" + "00000000", Hex(EndOfRib<Prefix4>()), StringComparison.Ordinal);
        Assert.EndsWith("001D02" + "00000006" + "800F03000201", Hex(EndOfRib<Prefix6>()), StringComparison.Ordinal);
    }

    [Fact]
    public void Decode_of_encode_is_identity_for_both_families_and_message_sizes() =>
        Gen.Select(Sets, Gen.Int[1, 3000], Gen.Bool).Sample((set, count, extended) =>
        {
            var max = extended ? 65535 : 4096;
            var v4 = Enumerable.Range(0, count).Select(i => new Cidr(IpAddr.FromV4((uint)i << 8), 24)).ToArray();
            var v6 = v4.Select(p => new Cidr(IpAddr.FromV6(p.Address.Bits << 80), 48)).ToArray();
            var expected = set with { LocalPref = set.LocalPref ?? 100 };
            CheckRoundTrip<Prefix4>(Pack<Prefix4>(set, v4, max, NextHop4), expected, v4, max);
            CheckRoundTrip<Prefix4>(Pack<Prefix4>(set, v4, max, NextHop6), expected, v4, max, NextHop6);
            CheckRoundTrip<Prefix6>(Pack<Prefix6>(set, v6, max, NextHop6), expected, v6, max, NextHop6);
        }, iter: 60);

    [Fact]
    public void Path_identifiers_come_back_with_their_prefixes_for_both_families_and_message_sizes() =>
        Gen.Select(Sets, Gen.UInt.Array[1, 2000], Gen.Bool).Sample((set, ids, extended) =>
        {
            var max = extended ? 65535 : 4096;
            var v4 = ids.Select((id, i) => (new Cidr(IpAddr.FromV4((uint)i << 8), 24), id)).ToArray();
            var v6 = ids.Select((id, i) => (new Cidr(IpAddr.FromV6((UInt128)(uint)i << 80), 48), id)).ToArray();
            CheckPaths<Prefix4>(set, v4, max, NextHop4);
            CheckPaths<Prefix4>(set, v4, max, NextHop6);
            CheckPaths<Prefix6>(set, v6, max, NextHop6);
        }, iter: 40);

    [Fact]
    public void No_set_outgrows_its_bound_whatever_is_edited() =>
        Gen.Select(Sets, Gen.Bool, Gen.Bool).Sample((set, fourOctet, isExternal) =>
        {
            var edits = new AttributeEdits
            {
                FourOctetAs = fourOctet,
                Prepend = isExternal ? new Asn(4200000000) : null,
                DropInternal = isExternal,
                Med = 1,
                DefaultLocalPref = isExternal ? null : 100,
                DefaultOriginator = isExternal ? null : new RouterId(7),
                Cluster = isExternal ? null : new RouterId(8),
                NextHop = IpAddr.Parse("192.0.2.1"),
                DropMed = true,
                DefaultOnlyTo = new Asn(11),
            };

            var canonical = set.Encode();
            var w = new WireWriter(new byte[AttributeEdits.Bound(canonical.Length)]);
            edits.Write(ref w, canonical);
            // The narrow form is no canonical one.
            if (!fourOctet)
                return;
            var seen = PathAttributes.Decode(w.Written);
            Assert.Equal(1u, seen.Med);
            Assert.Equal(set.OnlyToCustomer ?? new Asn(11), seen.OnlyToCustomer);
            if (isExternal)
                return;
            Assert.Equal(set.OriginatorId ?? new RouterId(7), seen.OriginatorId);
            Assert.Equal<RouterId>([new RouterId(8), .. set.ClusterList], [.. seen.ClusterList]);
        }, iter: 1000);

    [Fact]
    public void A_two_octet_peer_gets_everything_back_through_the_as4_attributes() =>
        Sets.Sample(set =>
        {
            var edits = new AttributeEdits { FourOctetAs = false, NextHop = IpAddr.Parse("192.0.2.1") };
            var canonical = set.Encode();
            Span<byte> buffer = new byte[AttributeEdits.Bound(canonical.Length)];
            var w = new WireWriter(buffer);
            edits.Write(ref w, canonical);
            byte[] body = [0, 0, (byte)(w.Position >> 8), (byte)w.Position, .. w.Written, 24, 10, 1, 2];

            Assert.True(new UpdateDecoder()
                .TryDecode(body, Context with { FourOctetAs = false }, out var update, out var error), error?.Reason);
            Assert.Equal(set, PathAttributes.Decode(update.Attributes));
        }, iter: 500);

    [Fact]
    public void An_external_peer_gets_our_as_in_front_and_nothing_internal()
    {
        var set = new PathAttributes
        {
            AsPath = AsPath.Sequence(65001, 7),
            LocalPref = 200,
            Med = 5,
            OriginatorId = new RouterId(1),
            ClusterList = [new RouterId(2)],
            Communities = [Community.Of(64512, 1)],
        };
        var edits = new AttributeEdits
        {
            FourOctetAs = true,
            Prepend = new Asn(64512),
            DropInternal = true,
            DropMed = true
        };

        var seen = Apply(edits, set);

        Assert.Equal(new PathAttributes { AsPath = AsPath.Sequence(64512, 65001, 7), Communities = set.Communities },
            seen);
    }

    [Fact]
    public void A_full_sequence_and_a_set_get_a_segment_of_their_own_in_front()
    {
        var edits = new AttributeEdits { FourOctetAs = true, Prepend = new Asn(64512) };
        var full = AsPath.Sequence([.. Enumerable.Range(1, 255).Select(i => (uint)i)]);

        Assert.Equal(256, Apply(edits, new PathAttributes { AsPath = full }).AsPath.Hops);
        Assert.Equal("64512 {7}", Apply(edits, new PathAttributes { AsPath = AsPath.Empty.Then(SegmentType.Set, 7) })
            .AsPath.ToString());
        Assert.Equal("64512", Apply(edits, PathAttributes.Local).AsPath.ToString());
    }

    [Fact]
    public void A_buffer_that_is_too_small_ends_between_two_prefixes()
    {
        var prefixes = Enumerable.Range(0, 2000).Select(i => Prefix4.From(new Cidr(IpAddr.FromV4((uint)i << 8), 24)))
            .ToArray();
        Span<byte> buffer = new byte[5000];
        var attributes = Attributes(PathAttributes.Local, NextHop4);
        var w = new UpdateWriter<Prefix4>(buffer, 4096);

        w.BeginAnnounce(attributes, default);
        var added = 0;
        while (added < prefixes.Length && w.TryAdd(prefixes[added]))
            added++;
        w.End();

        Assert.InRange(added, 1100, 1250);
        Assert.Equal(2, w.Messages);
        CheckRoundTrip<Prefix4>(w.Written.ToArray(), PathAttributes.Local with { LocalPref = 100 },
            [.. prefixes.Take(added).Select(p => p.ToCidr())], 4096);
    }

    private static PathAttributes Apply(AttributeEdits edits, PathAttributes set)
    {
        var canonical = set.Encode();
        var w = new WireWriter(new byte[AttributeEdits.Bound(canonical.Length)]);
        edits.Write(ref w, canonical);
        return PathAttributes.Decode(w.Written);
    }

    private static byte[] Attributes(PathAttributes set, IpAddr nextHop)
    {
        var edits = new AttributeEdits
        {
            FourOctetAs = true,
            DefaultLocalPref = 100,
            NextHop = nextHop.IsV4 ? nextHop : null,
        };
        var canonical = set.Encode();
        var w = new WireWriter(new byte[AttributeEdits.Bound(canonical.Length)]);
        edits.Write(ref w, canonical);
        return w.Written.ToArray();
    }

    private static byte[] Pack<T>(PathAttributes set, Cidr[] prefixes, int max, IpAddr nextHop)
        where T : unmanaged, IPrefix<T>
    {
        var w = new UpdateWriter<T>(new byte[1_000_000], max);
        w.BeginAnnounce(Attributes(set, nextHop), nextHop.ToBytes());
        foreach (var prefix in prefixes)
            Assert.True(w.TryAdd(T.From(prefix)));
        w.End();
        return w.Written.ToArray();
    }

    private static void CheckPaths<T>(PathAttributes set, (Cidr Prefix, uint PathId)[] paths, int max, IpAddr nextHop)
        where T : unmanaged, IPrefix<T>
    {
        var w = new UpdateWriter<T>(new byte[1_000_000], max, pathIds: true);
        w.BeginAnnounce(Attributes(set, nextHop), nextHop.ToBytes());
        foreach (var (prefix, id) in paths)
            Assert.True(w.TryAdd(T.From(prefix), id));
        w.BeginWithdraw();
        foreach (var (prefix, id) in paths)
            Assert.True(w.TryAdd(T.From(prefix), id));
        w.End();
        List<(Cidr, uint)> announced = [], withdrawn = [];
        var decoder = new UpdateDecoder();
        var sequence = new System.Buffers.ReadOnlySequence<byte>(w.Written.ToArray());
        while (BgpFraming.TryRead(ref sequence, max, out _, out var body, out _) == FrameStatus.Complete)
        {
            Assert.True(decoder.TryDecode(body.FirstSpan, Context with { PathIdsIn = Families.Both }, out var update,
                out var error), error?.Reason);
            announced.AddRange(Calico.Core.Bgp.Wire.Nlri.ToPaths<T>(
                nextHop.IsV4 ? update.Announced : update.Multiprotocol.Announced, true));
            withdrawn.AddRange(Calico.Core.Bgp.Wire.Nlri.ToPaths<T>(
                T.Family == Families.Ipv4Unicast ? update.Withdrawn : update.Multiprotocol.Withdrawn, true));
        }
        Assert.Equal(paths, announced);
        Assert.Equal(paths, withdrawn);
    }

    private static byte[] Withdraw<T>(string prefix)
        where T : unmanaged, IPrefix<T>
    {
        var w = new UpdateWriter<T>(new byte[4096], 4096);
        w.BeginWithdraw();
        Assert.True(w.TryAdd(T.From(Cidr.Parse(prefix))));
        w.End();
        return w.Written.ToArray();
    }

    private static byte[] EndOfRib<T>()
        where T : unmanaged, IPrefix<T>
    {
        var w = new UpdateWriter<T>(new byte[64], 4096);
        Assert.True(w.TryWriteEndOfRib());
        return w.Written.ToArray();
    }

    private static void CheckRoundTrip<T>(byte[] stream, PathAttributes expected, Cidr[] prefixes, int max, IpAddr? multiprotocol = null)
        where T : unmanaged, IPrefix<T>
    {
        var seen = new List<Cidr>();
        var decoder = new UpdateDecoder();
        var sequence = new System.Buffers.ReadOnlySequence<byte>(stream);
        while (BgpFraming.TryRead(ref sequence, max, out _, out var body, out _) == FrameStatus.Complete)
        {
            Assert.True(decoder.TryDecode(body.FirstSpan, Context, out var update, out var error), error?.Reason);
            Assert.Equal(AttributeVerdict.Accept, update.Verdict);
            Assert.Equal(expected, PathAttributes.Decode(update.Attributes));
            seen.AddRange(Calico.Core.Bgp.Wire.Nlri.ToList<T>(multiprotocol is null ? update.Announced
                : update.Multiprotocol.Announced));
            if (multiprotocol is { } nextHop)
                Assert.Equal((T.Family, nextHop), (update.Multiprotocol.ReachFamily, update.Multiprotocol.NextHop));
        }
        Assert.Equal(0, sequence.Length);
        Assert.Equal(prefixes, seen);
    }

    private static string Hex(byte[] bytes) => Convert.ToHexString(bytes);
}
