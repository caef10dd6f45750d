using System.Text.Json;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Calico.Tests.Core.Bgp;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

/// <summary>Replays the table of malformed and odd messages against a living speaker, a fresh one for each row.</summary>
[Layer("conformance")]
public class RfcVectorTests(ITestOutputHelper output) : SpeakerFixture(output)
{
    private const string Folder = "06-bgp-malformed";
    private const string Control = "10.9.0.0/24";

    private static readonly Asn OurAs = new(65000);

    private readonly ITestOutputHelper _output = output;

    [SkippableFact]
    public async Task A_living_speaker_reacts_as_the_table_says()
    {
        var rows = Rows("rfc-vectors.json");
        var wrong = new List<string>();
        for (var i = 0; i < rows.Count; i++)
        {
            if (await Replay(rows[i], 10 + i, 120 + i) is { } reason)
                wrong.Add($"{rows[i].Text("id")}: {reason}");
        }

        _output.WriteLine($"{rows.Count - wrong.Count} of {rows.Count} rows right");
        Assert.Empty(wrong);
    }

    [SkippableFact]
    public async Task Recorded_streams_end_sessions_at_worst()
    {
        const int FirstPeer = 10;
        (byte[] Octets, bool Established)[] streams =
            [.. Rows("tcpdump-streams.json").SelectMany(_ => new[] { false, true }, (r, established) => (r.Hex("stream"), established))];
        var peers = Enumerable.Range(FirstPeer, streams.Length).Select(host => PeerOf(1, host, new Asn(65001)));
        var one = Start(Config(1, [Peer(1, 3) with { As = OurAs }, .. peers]) with { LocalAs = OurAs });
        var other = Start(Config(3, Peer(3, 1) with { As = OurAs }) with { LocalAs = OurAs });
        other.Originate("10.65.3.0/26");
        await HasRoute(one, "10.65.3.0/26", Address(3).ToString());

        // Each from an address of its own: a session that still ends has nothing to do with the next one.
        for (var i = 0; i < streams.Length; i++)
        {
            using var peer = await ScriptedPeer.Connect(Address(FirstPeer + i), Address(1), Port);
            if (streams[i].Established)
                await peer.Establish(OpenOf(new Asn(65001), FirstPeer + i));
            await peer.SendAndDrain(streams[i].Octets);
        }

        await HasRoute(one, "10.65.3.0/26", Address(3).ToString());
        Assert.Equal(1, (await one.Status()).Peers.Single(p => p.Address == Address(3)).Counters.Established);
    }

    private IReadOnlyList<JsonElement> Rows(string file)
    {
        var rows = CaseTables.Rows(Folder, file);
        if (rows is null)
            _output.WriteLine($"the tables of {Folder} are not on this machine; set CALICO_CASES to their folder");
        Skip.If(rows is null, "no case tables");
        return rows;
    }

    private async Task<string?> Replay(JsonElement row, int own, int remote)
    {
        var peerAs = row.Text("session") == "ibgp" ? OurAs : new Asn(65001);
        var one = Start(Config(own, PeerOf(own, remote, peerAs)) with { LocalAs = OurAs });
        using var peer = await ScriptedPeer.Connect(Address(remote), Address(own), Port);
        var affected = row.TryGetProperty("affected", out var list) ? list.EnumerateArray().Select(p => p.GetString()!)
            .ToArray() : [];
        if (row.Text("phase") == "established")
        {
            await peer.Establish(OpenOf(peerAs, remote));
            foreach (var prefix in affected.Append(Control))
                await peer.Send(Route(prefix, peerAs, remote));
            await Eventually(async () => (await one.Routes()).Count == affected.Length + 1,
                $"{row.Text("id")}: good routes");
        }
        else
        {
            await peer.Read();
        }
        await peer.Send(row.Hex("hex"));
        var expect = row.GetProperty("expect");
        return expect.Text("action") switch
        {
            "notification" => await ExpectNotification(peer, expect),
            "treat-as-withdraw" or "reject-route" => await ExpectRoutes(one, peer, [Control]),
            "attribute-discard" or "ignore" => await ExpectRoutes(one, peer, [.. affected, Control]),
            "accept" when row.Text("phase") == "opensent" =>
                (await peer.Read())?.Type == MessageType.Keepalive ? null : "no KEEPALIVE",
            "accept" => await ExpectRoutes(one, peer,
                [.. affected, Control, .. row.TryGetProperty("routes", out var routes) ? routes.EnumerateArray()
                    .Select(r => r.GetString()!) : Newcomers(row)]),
            var action => $"no replay for {action}",
        };
    }

    // Rows that are accepted and name neither "affected" nor "routes" carry 10.1.2.0/24 where they carry a route at all.
    private static IEnumerable<string> Newcomers(JsonElement row) =>
        !row.TryGetProperty("affected", out _) && row.Text("hex").EndsWith("180a0102", StringComparison.Ordinal)
            ? ["10.1.2.0/24"] : [];

    private static async Task<string?> ExpectNotification(ScriptedPeer peer, JsonElement expect)
    {
        var got = await peer.ReadNotification();
        if (got is null)
            return "closed without a NOTIFICATION";
        return (byte)got.Code == expect.GetProperty("code").GetByte()
            && got.Subcode == expect.GetProperty("subcode").GetByte()
            ? null
            : $"got {(byte)got.Code}/{got.Subcode}";
    }

    // The routes are as expected and the session still takes a KEEPALIVE and a route.
    private async Task<string?> ExpectRoutes(Speaker one, ScriptedPeer peer, string[] expected)
    {
        await peer.Send(KeepaliveMessage.Bytes);
        var wanted = expected.Order(StringComparer.Ordinal).ToArray();
        try
        {
            await Eventually(async () => (await one.Routes()).Keys.Select(k => k.ToString())
                .Order(StringComparer.Ordinal).SequenceEqual(wanted), "routes");
        }
        catch (Xunit.Sdk.XunitException)
        {
            return $"routes {string.Join(' ', (await one.Routes()).Keys)}";
        }
        return (await one.PeerStatus()).Phase == SessionPhase.Established ? null : (await one.PeerStatus())
            .Down?.Sentence;
    }

    private PeerConfig PeerOf(int own, int remote, Asn peerAs) =>
        Peer(own, remote) with { As = peerAs, Passive = true, Families = Families.Both };

    private OpenMessage OpenOf(Asn peerAs, int remote) => new SessionConfig
    {
        LocalAs = peerAs,
        PeerAs = OurAs,
        PeerAddress = Address(1),
        RouterId = RouterId.From(Address(remote)),
        Families = Families.Both,
    }.BuildOpen();

    private byte[] Route(string prefix, Asn peerAs, int remote)
    {
        var set = new PathAttributes { AsPath = peerAs == OurAs ? AsPath.Empty : AsPath.Sequence(peerAs.Value) };
        var attributes = new WireWriter(new byte[100]);
        new AttributeEdits { FourOctetAs = true, NextHop = Address(remote) }.Write(ref attributes, set.Encode());
        var w = new UpdateWriter<Prefix4>(new byte[200], 4096);
        w.BeginAnnounce(attributes.Written, default);
        w.TryAdd(Prefix4.From(Cidr.Parse(prefix)));
        w.End();
        return w.Written.ToArray();
    }
}
