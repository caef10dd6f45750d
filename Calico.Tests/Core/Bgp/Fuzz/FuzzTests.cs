using System.Globalization;
using System.Text.Json;
using Calico.Core.Bgp.Mrt;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Core.Bgp.Fuzz;

/// <summary>
/// Whatever comes from outside: no exception, no reset of a session where RFC 7606 does not allow one, and a RIB that is whole
/// afterwards. A quarter of a minute each; CALICO_FUZZ_SECONDS for more, CALICO_FUZZ_SEED for one that was printed.
/// </summary>
[Layer("unit")]
public class FuzzTests(ITestOutputHelper output)
{
    private static readonly WireContext Plain = new(true, false, false, Families.Both);

    private static readonly WireContext[] Contexts =
    [
        Plain, Plain with { FourOctetAs = false }, Plain with { Internal = true }, Plain with { ExtendedMessages = true, PathIdsIn = Families.Both },
        Plain with { Families = Families.Ipv4Unicast },
    ];

    private static int Seed { get; } = int.TryParse(Environment.GetEnvironmentVariable("CALICO_FUZZ_SEED"), CultureInfo.InvariantCulture, out var seed) ? seed : Random.Shared.Next();

    private static TimeSpan Time { get; } = TimeSpan.FromSeconds(
        int.TryParse(Environment.GetEnvironmentVariable("CALICO_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out var seconds) ? seconds : 15);

    [Fact]
    public void No_update_throws_or_resets_a_session_that_could_go_on()
    {
        var decoder = new UpdateDecoder();
        Run("UPDATE", Bodies(MessageType.Update), (input, i) =>
        {
            ref readonly var context = ref Contexts[i % Contexts.Length];
            if (decoder.TryDecode(input, context, out var update, out var error))
            {
                ReadAll(update);
                return $"{update.Verdict} {update.EndOfRib} {string.Join(',', decoder.Problems.Select(p => (p.Type, p.Verdict, p.Subcode)))}";
            }
            Assert.True(UpdateOracle.MayReset(input, context), $"reset for {error}");
            return $"{error!.Code} {error.Subcode} {error.Reason}";
        });
    }

    [Fact]
    public void A_rib_that_hears_them_stays_whole()
    {
        var decoder = new UpdateDecoder();
        var rib = new Rib(new RibConfig(new Asn(64512), RouterId.Parse("10.0.0.100"))) { EndOfRibAllowed = true };
        RibPeer Peer(ushort index, in WireContext context) => RibHarness.Peer(index, context.Internal) with { Context = context };
        for (var i = 0; i < Contexts.Length; i++)
            rib.PeerUp(Peer((ushort)(i + 1), Contexts[i]));
        var buffer = new byte[1 << 17];
        Run("UPDATE into a RIB", Bodies(MessageType.Update), (input, i) =>
        {
            var peer = (ushort)(1 + (i % Contexts.Length));
            if (!decoder.TryDecode(input, Contexts[peer - 1], out var update, out _))
                return "reset";
            var batch = new RouteBatch();
            batch.Add(update);
            rib.Apply(peer, batch);
            foreach (var index in Enumerable.Range(1, Contexts.Length))
            {
                while (rib.FillUpdates((ushort)index, buffer) is var length and > 0)
                    CheckOwn(buffer.AsSpan(0, length), Contexts[index - 1]);
            }
            rib.TakeBest(1_000);
            if (i % 500 == 499)
            {
                rib.PeerDown(peer, i % 1000 == 999 ? Families.Both : Families.None);
                rib.DemoteStale(peer, Families.Both);
                rib.PeerUp(Peer(peer, Contexts[peer - 1]));
            }
            return $"{update.Verdict} {update.EndOfRib} {string.Join(',', decoder.Problems.Select(p => (p.Type, p.Subcode)))} {rib.Prefixes(Families.Ipv4Unicast) % 16} {rib.Prefixes(Families.Ipv6Unicast) % 16}";
        });
        foreach (var index in Enumerable.Range(1, Contexts.Length))
            rib.PeerDown((ushort)index, Families.None);
        rib.TakeBest(int.MaxValue);
        Assert.Equal((0, 0, 0, 0), (rib.Prefixes(Families.Ipv4Unicast), rib.Prefixes(Families.Ipv6Unicast),
            rib.Attributes(Families.Ipv4Unicast).Count, rib.Attributes(Families.Ipv6Unicast).Count));
    }

    [Fact]
    public void No_open_notification_or_refresh_throws() => Run("OPEN, NOTIFICATION, ROUTE-REFRESH",
        Bodies(MessageType.Open).Concat(Bodies(MessageType.Notification)).Concat([[0, 1, 0, 1]]), (input, i) => (i % 3) switch
        {
            0 => OpenMessage.TryDecode(input, out var open, out var error) ? $"open {open!.Capabilities.Others.Length}" : $"{error!.Subcode} {error.Reason}",
            1 => NotificationMessage.TryDecode(input, out var said) ? $"{said.Code}/{said.Subcode} {said.ShutdownText is null} {said.HardResetReason is null}" : "no",
            _ => RouteRefreshMessage.TryDecode(input, out var refresh, out var refused) ? $"{refresh.Subtype}" : $"{refused!.Subcode}",
        });

    [Fact]
    public void No_stream_of_octets_throws() => Run("stream", Bodies(MessageType.Update).Take(50).Select(b => (byte[])[.. Enumerable.Repeat((byte)0xFF, 16), (byte)((b.Length + 19) >> 8), (byte)(b.Length + 19), 2, .. b]),
        (input, i) =>
        {
            var shown = "";
            ReadOnlySpan<byte> rest = input;
            while (BgpFraming.Inspect(rest, Contexts[i % Contexts.Length].MaxMessageLength, out var type, out var length, out var error) is var status && status == FrameStatus.Complete)
            {
                Assert.InRange(length, BgpFraming.HeaderLength, rest.Length);
                shown += type;
                rest = rest[length..];
                if (rest.IsEmpty)
                    return shown;
            }
            return shown + "…";
        });

    [Fact]
    public void No_mrt_file_throws_anything_but_that_it_is_none()
    {
        var text = new MrtText();
        Run("MRT", MrtSeeds(), (input, _) =>
        {
            try
            {
                var records = new MrtReader().Read(new MemoryStream(input)).ToList();
                return string.Join(',', records.Select(r => r.GetType().Name + text.Lines(r).Count()).Distinct());
            }
            catch (FormatException e)
            {
                return e.Message.Split(':')[^1];
            }
        });
    }

    private void Run(string what, IEnumerable<byte[]> seeds, Func<byte[], int, string> target)
    {
        var mutator = new Mutator(Seed, seeds);
        var begun = TimeProvider.System.GetTimestamp();
        var i = 0;
        for (; i % 256 != 0 || TimeProvider.System.GetElapsedTime(begun) < Time; i++)
        {
            var input = mutator.Next();
            try
            {
                mutator.Learn(input, target(input, i));
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"{what}, seed {Seed}, input {i}: {e.Message}\n{Convert.ToHexString(input)}", e);
            }
        }
        output.WriteLine($"{what}: {i} inputs, {mutator.Shown} different outcomes, {mutator.Corpus} inputs to go on from, seed {Seed}");
        Assert.True(mutator.Shown > 2);
    }

    // Everything that a view names can be read.
    private static void ReadAll(in UpdateView update)
    {
        _ = PathAttributes.Decode(update.Attributes).Encode();
        _ = AttributeFacts.Of(update.Attributes);
        var mp = update.Multiprotocol;
        var ids = update.PathIds;
        _ = Nlri.ToPaths<Prefix4>(update.Announced, ids.Has(Families.Ipv4Unicast)).Count + Nlri.ToPaths<Prefix4>(update.Withdrawn, ids.Has(Families.Ipv4Unicast)).Count;
        if (mp.ReachFamily == Families.Ipv6Unicast)
            _ = Nlri.ToPaths<Prefix6>(mp.Announced, ids.Has(Families.Ipv6Unicast));
        if (mp.UnreachFamily == Families.Ipv6Unicast)
            _ = Nlri.ToPaths<Prefix6>(mp.Withdrawn, ids.Has(Families.Ipv6Unicast));
    }

    // What we say ourselves has no fault.
    private static void CheckOwn(ReadOnlySpan<byte> stream, in WireContext to)
    {
        var decoder = new UpdateDecoder();
        while (!stream.IsEmpty)
        {
            Assert.Equal(FrameStatus.Complete, BgpFraming.Inspect(stream, to.MaxMessageLength, out _, out var length, out _));
            Assert.True(decoder.TryDecode(stream[BgpFraming.HeaderLength..length], to with { PathIdsIn = to.PathIdsOut }, out var update, out var error), error?.ToString());
            Assert.True(update.Verdict == AttributeVerdict.Accept, string.Join("; ", decoder.Problems) + " in " + Convert.ToHexString(stream[..length]));
            stream = stream[length..];
        }
    }

    // From the answer tables where they are, else from what we would say ourselves.
    private static IEnumerable<byte[]> Bodies(MessageType type)
    {
        if (type == MessageType.Open)
            yield return new OpenMessage(new Asn(4200000001), TimeSpan.FromSeconds(90), RouterId.Parse("1.2.3.4"), new Capabilities
            {
                Multiprotocol = [AfiSafi.Of(Families.Ipv4Unicast)],
                AddPath = [new(AfiSafi.Of(Families.Ipv4Unicast), true, true)],
                LongLived = [new(AfiSafi.Of(Families.Ipv4Unicast), true, TimeSpan.FromHours(1))],
                GracefulRestart = new(true, true, TimeSpan.FromSeconds(120), [new(AfiSafi.Of(Families.Ipv4Unicast), true)]),
                FourOctetAs = new Asn(4200000001),
            }).Encode()[BgpFraming.HeaderLength..];
        if (type == MessageType.Notification)
            yield return NotificationMessage.HardReset(NotificationMessage.Shutdown(CeaseError.AdministrativeReset, "text")).Encode()[BgpFraming.HeaderLength..];
        if (type == MessageType.Update)
            yield return Convert.FromHexString("0004" + "180A4107" + "0046" + "40010100" + "4002060201" + "0000FDE9" + "40030" + "40A000001" + "800404" + "00000007" + "C00808" + "FDE90001" + "FFFF0006"
                + "C0100800020" + "0640000" + "0001" + "800E1C0002" + "01" + "10" + "FD000000000000000000000000000001" + "00" + "30FD0000650000" + "1A0A410240");
        foreach (var (folder, file) in new[] { ("05-bgp-wire", "encode-decode.json"), ("05-bgp-wire", "decode-only.json"), ("06-bgp-malformed", "rfc-vectors.json"), ("06-bgp-malformed", "frr-units.json") })
        {
            foreach (var row in CaseTables.Rows(folder, file) ?? [])
            {
                if (row.Text("hex") is { Length: > 2 * BgpFraming.HeaderLength } hex && hex.Length % 2 == 0 && hex.StartsWith("FFFFFFFFFFFFFFFF", StringComparison.OrdinalIgnoreCase)
                    && Convert.FromHexString(hex) is var message && message[BgpFraming.HeaderLength - 1] == (byte)type)
                    yield return message[BgpFraming.HeaderLength..];
            }
        }
    }

    private static IEnumerable<byte[]> MrtSeeds()
    {
        var file = new System.Buffers.ArrayBufferWriter<byte>();
        var writer = new MrtWriter(DateTimeOffset.UnixEpoch);
        writer.WritePeers(file, new RouterId(1), "v", [new MrtPeer(IpAddr.Parse("192.0.2.1"), new Asn(65001)), new MrtPeer(IpAddr.Parse("fd00::1"), new Asn(65002))]);
        var set = new PathAttributes { AsPath = AsPath.Sequence(65001) }.Encode();
        writer.WriteRoutes(file, Cidr.Parse("10.65.0.0/26"), [new(0, default, 0, IpAddr.Parse("192.0.2.1"), set), new(1, default, 4, IpAddr.Parse("fd00::1"), set)]);
        writer.WriteRoutes(file, Cidr.Parse("fd00:65::/64"), [new(1, default, 0, IpAddr.Parse("fd00::1"), set)]);
        yield return file.WrittenSpan.ToArray();
        var update = Bodies(MessageType.Update).First();
        byte[] message = [.. Enumerable.Repeat((byte)0xFF, 16), (byte)((update.Length + 19) >> 8), (byte)(update.Length + 19), 2, .. update];
        foreach (var subtype in new byte[] { 0, 1, 4, 5, 8, 9 })
            yield return [0, 0, 0, 1, 0, 16, 0, subtype, 0, 0, 0, (byte)(20 + message.Length), 0, 0, 0xFD, 0xE9, 0, 0, 0xFD, 0xEA, 0, 1, 0, 1, 10, 0, 0, 1, 10, 0, 0, 2, .. message];
    }
}
