using System.Globalization;
using System.Text.Json;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Core.Bgp;

/// <summary>Replays the table of messages with their meaning.</summary>
[Layer("conformance")]
public class WireCasesTests(ITestOutputHelper output)
{
    private const string Folder = "05-bgp-wire";

    // Rows that are right to be read otherwise here, and why.
    private static readonly Dictionary<string, string> OutOfSlice = new()
    {
        ["conf-addpath-0225"] = "ADD-PATH is not negotiated by this speaker",
        ["conf-generic-attribute-0278"] = "attribute 0x99 with flags 0x60 claims to be well-known: RFC 4271 section 6.3 wants 3/2",
    };

    [SkippableFact]
    public void Core_messages_mean_what_the_table_says()
    {
        var wrong = new List<string>();
        var right = 0;
        foreach (var row in Rows("encode-decode.json")
            .Where(r => r.Text("scope") == "core" && !OutOfSlice.ContainsKey(r.Text("id"))))
        {
            if (Check(row) is { } reason)
                wrong.Add($"{row.Text("id")}: {reason}");
            else
                right++;
        }

        foreach (var (id, reason) in OutOfSlice)
            output.WriteLine($"out of slice: {id}: {reason}");
        output.WriteLine($"{right} rows right");
        Assert.Empty(wrong);
        Assert.True(right > 30);
    }

    [SkippableFact]
    public void Messages_of_other_families_keep_the_framing_and_never_throw()
    {
        var count = 0;
        foreach (var row in Rows("encode-decode.json").Concat(Rows("decode-only.json"))
            .Where(r => r.Text("scope") != "core"))
        {
            var octets = row.Hex("hex");
            var hasHeader = !row.TryGetProperty("hasHeader", out var flag) || flag.GetBoolean();
            if (hasHeader)
                Assert.Equal(FrameStatus.Complete,
                    BgpFraming.Inspect(octets, BgpFraming.ExtendedMaxLength, out _, out var length, out _));
            var body = hasHeader ? octets.AsSpan(19) : octets;
            OpenMessage.TryDecode(body, out _, out _);
            foreach (var families in new[] { Families.None, Families.Both })
                new UpdateDecoder().TryDecode(body, new WireContext(true, true, false, families), out _, out _);
            count++;
        }

        Assert.True(count > 40);
    }

    private IReadOnlyList<JsonElement> Rows(string file)
    {
        var rows = CaseTables.Rows(Folder, file);
        if (rows is null)
            output.WriteLine($"the tables of {Folder} are not on this machine; set CALICO_CASES to their folder");
        Skip.If(rows is null, "no case tables");
        return rows;
    }

    private static string? Check(JsonElement row)
    {
        var octets = row.Hex("hex");
        if (BgpFraming.Inspect(octets, BgpFraming.MaxLength, out var type, out var length,
            out _) != FrameStatus.Complete || length != octets.Length)
            return "framing";
        var body = octets.AsSpan(BgpFraming.HeaderLength);
        switch (type)
        {
            case MessageType.Open:
                return OpenMessage.TryDecode(body, out var open, out var openError)
                    && OpenMessage.TryDecode(open!.Encode().AsSpan(19), out var again, out _) && again == open
                    ? null : openError?.Reason ?? "open does not come back";
            case MessageType.Notification:
                return NotificationMessage.TryDecode(body, out var notification)
                    && notification.Encode().AsSpan().SequenceEqual(octets)
                    ? null : "notification";
            case MessageType.Update:
                return CheckUpdate(row, body, octets);
            default:
                return "unexpected type";
        }
    }

    private static string? CheckUpdate(JsonElement row, ReadOnlySpan<byte> body, byte[] octets)
    {
        var session = row.GetProperty("session");
        var isInternal = session.Text("localAs") == session.Text("peerAs");
        var context = new WireContext(true, false, isInternal, Families.Both);
        var decoder = new UpdateDecoder();
        if (!decoder.TryDecode(body, context, out var update, out var error))
            return error!.Reason;
        if (update.Verdict != AttributeVerdict.Accept)
            return decoder.Problems[0].ToString();
        if (!row.TryGetProperty("json", out var json))
            return null;
        var meaning = json.GetProperty("update");
        var announced = Routes(meaning, "announce");
        var withdrawn = Withdrawn(meaning);
        var seenAnnounced = Nlri.ToList<Prefix4>(update.Announced)
            .Concat(Nlri.ToList<Prefix6>(update.Multiprotocol.Announced));
        var seenWithdrawn = Nlri.ToList<Prefix4>(update.Withdrawn)
            .Concat(Nlri.ToList<Prefix6>(update.Multiprotocol.Withdrawn));
        if (!announced.Select(a => a.Prefix).SequenceEqual(seenAnnounced) || !withdrawn.SequenceEqual(seenWithdrawn))
            return $"prefixes {string.Join(' ', seenAnnounced)}";
        if (announced.Count == 0)
            return Withdraw(withdrawn).AsSpan().SequenceEqual(octets) || withdrawn[0].Version == IpVersion.V6 ? null
                : "withdrawal octets";
        var nextHop = announced[0].Prefix.IsV4 ? update.NextHop : update.Multiprotocol.NextHop;
        var expected = Attributes(meaning.GetProperty("attribute"));
        if (nextHop != announced[0].NextHop || !PathAttributes.Decode(update.Attributes).Equals(expected))
            return $"attributes {Convert.ToHexString(update.Attributes)} next hop {nextHop}";
        // The octets differ only in the place of MP_REACH_NLRI, which exabgp puts in order of its type.
        return announced[0].Prefix.IsV4 && !Announce(expected, announced).AsSpan().SequenceEqual(octets) ? "octets"
            : null;
    }

    private static byte[] Announce(PathAttributes set, List<(Cidr Prefix, IpAddr NextHop)> routes)
    {
        var attributes = new WireWriter(new byte[4096]);
        new AttributeEdits { FourOctetAs = true, NextHop = routes[0].NextHop }.Write(ref attributes, set.Encode());
        var w = new UpdateWriter<Prefix4>(new byte[4096], 4096);
        w.BeginAnnounce(attributes.Written, default);
        foreach (var (prefix, _) in routes)
            w.TryAdd(Prefix4.From(prefix));
        w.End();
        return w.Written.ToArray();
    }

    private static byte[] Withdraw(List<Cidr> prefixes)
    {
        if (prefixes[0].Version == IpVersion.V6)
            return [];
        var w = new UpdateWriter<Prefix4>(new byte[4096], 4096);
        w.BeginWithdraw();
        foreach (var prefix in prefixes)
            w.TryAdd(Prefix4.From(prefix));
        w.End();
        return w.Written.ToArray();
    }

    private static List<(Cidr Prefix, IpAddr NextHop)> Routes(JsonElement meaning, string name)
    {
        if (!meaning.TryGetProperty(name, out var families))
            return [];
        return [.. families.EnumerateObject().SelectMany(f => f.Value.EnumerateObject()).SelectMany(n =>
            n.Value.EnumerateArray().Select(r => (Cidr.Parse(r.Text("nlri")), IpAddr.Parse(n.Name))))];
    }

    private static List<Cidr> Withdrawn(JsonElement meaning) => meaning.TryGetProperty("withdraw", out var families)
        ? [.. families.EnumerateObject().SelectMany(f => f.Value.EnumerateArray())
            .Select(r => Cidr.Parse(r.Text("nlri")))]
        : [];

    private static PathAttributes Attributes(JsonElement json)
    {
        var set = new PathAttributes();
        foreach (var attribute in json.EnumerateObject())
        {
            var value = attribute.Value;
            set = attribute.Name switch
            {
                "origin" => set with { Origin = Enum.Parse<Origin>(value.GetString()!, true) },
                "med" => set with { Med = value.GetUInt32() },
                "local-preference" => set with { LocalPref = value.GetUInt32() },
                "as-path" => set with { AsPath = Path(value) },
                "community" => set with
                {
                    Communities = [.. Numbers(value)
                    .Select(n => Community.Of((ushort)n[0], (ushort)n[1]))]
                },
                "large-community" => set with
                {
                    LargeCommunities = [.. Numbers(value)
                    .Select(n => new LargeCommunity(n[0], n[1], n[2]))]
                },
                "extended-community" => set with
                {
                    ExtendedCommunities = [.. value.EnumerateArray()
                        .Select(c => new ExtendedCommunity(c.GetProperty("value").GetUInt64()))],
                },
                "originator-id" => set with { OriginatorId = RouterId.Parse(value.GetString()!) },
                "cluster-list" => set with
                {
                    ClusterList = [.. value.EnumerateArray()
                    .Select(c => RouterId.Parse(c.GetString()!))]
                },
                _ => throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture,
                    $"unknown attribute {attribute.Name}")),
            };
        }
        return set;
    }

    private static AsPath Path(JsonElement value) => value.EnumerateObject().Aggregate(AsPath.Empty, (path, segment) =>
        path.Then(segment.Value.Text("element") == "as-set" ? SegmentType.Set : SegmentType.Sequence,
            [.. segment.Value.GetProperty("value").EnumerateArray().Select(n => n.GetUInt32())]));

    private static List<uint[]> Numbers(JsonElement value) =>
        [.. value.EnumerateArray().Select(c => c.EnumerateArray().Select(n => n.GetUInt32()).ToArray())];
}
