using System.Buffers;
using System.Text.Json;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Core.Bgp;

/// <summary>Replays the unit-level tables of malformed input. The table for a live session is replayed by the actors' tests.</summary>
[Layer("conformance")]
public class MalformedCasesTests(ITestOutputHelper output)
{
    private const string Folder = "06-bgp-malformed";

    // Rows about attributes and messages that this speaker passes on without looking inside.
    private static readonly Dictionary<string, string> OutOfSlice = new()
    {
        ["cap-15"] = "outbound route filters (RFC 5291) are not looked into",
        ["cap-36"] = "dynamic capability messages",
        ["cap-37"] = "dynamic capability messages",
        ["cap-38"] = "dynamic capability messages",
        ["mp-30"] = "PREFIX_SID (RFC 8669) is passed on without looking inside",
        ["mp-36"] = "PREFIX_SID (RFC 8669) is passed on without looking inside",
        ["aspath-29"] = "only the dotted notation differs from aspath-02",
    };

    [SkippableFact]
    public void Unit_rows_are_judged_as_the_table_says()
    {
        var wrong = new List<string>();
        var right = 0;
        foreach (var row in Rows("frr-units.json").Where(r => !OutOfSlice.ContainsKey(r.Text("id"))))
        {
            if (Check(row) is { } reason)
                wrong.Add($"{row.Text("id")} {row.Text("name")}{row.Text("desc")}: {reason}");
            else
                right++;
        }

        foreach (var (id, reason) in OutOfSlice)
            output.WriteLine($"out of slice: {id}: {reason}");
        output.WriteLine($"{right} rows right");
        Assert.Empty(wrong);
        Assert.True(right > 25);
    }

    [SkippableFact]
    public void Recorded_and_crafted_streams_are_cut_into_messages_and_never_throw()
    {
        var rows = Rows("tcpdump-streams.json");
        foreach (var row in rows)
        {
            var stream = row.Hex("stream");
            var whole = ReadAll(new ReadOnlySequence<byte>(stream), out var malformed);
            if (row.GetProperty("framingOk").GetBoolean() && !row.GetProperty("truncatedCapture").GetBoolean())
                Assert.True(whole > 0 || malformed, row.Text("id"));
        }

        output.WriteLine($"{rows.Count} streams");
    }

    [SkippableFact]
    public void Fuzzed_lengths_are_parse_errors()
    {
        foreach (var row in Rows("gobgp-fuzz-badlen.json"))
        {
            var octets = row.Hex("hex");

            Assert.Equal(FrameStatus.Malformed, BgpFraming.Inspect(octets, BgpFraming.MaxLength, out _, out _, out _));
            Assert.False(new UpdateDecoder()
                .TryDecode(octets.AsSpan(19), new WireContext(true, false, false, Families.Both), out _, out _),
                row.Text("id"));
        }
    }

    private IReadOnlyList<JsonElement> Rows(string file)
    {
        var rows = CaseTables.Rows(Folder, file);
        if (rows is null)
            output.WriteLine($"the tables of {Folder} are not on this machine; set CALICO_CASES to their folder");
        Skip.If(rows is null, "no case tables");
        return rows;
    }

    private static int ReadAll(ReadOnlySequence<byte> stream, out bool malformed)
    {
        var count = 0;
        var decoder = new UpdateDecoder();
        FrameStatus status;
        while ((status = BgpFraming.TryRead(ref stream, BgpFraming.MaxLength, out var type, out var body,
            out _)) == FrameStatus.Complete)
        {
            count++;
            var octets = body.ToArray();
            _ = type switch
            {
                MessageType.Open => OpenMessage.TryDecode(octets, out _, out _),
                MessageType.Notification => NotificationMessage.TryDecode(octets, out _),
                MessageType.RouteRefresh => RouteRefreshMessage.TryDecode(octets, out _, out _),
                MessageType.Update =>
                    decoder.TryDecode(octets, new WireContext(true, false, false, Families.Both), out _, out _)
                    | decoder.TryDecode(octets, new WireContext(false, false, true, Families.Both), out _, out _),
                _ => true,
            };
        }
        malformed = status == FrameStatus.Malformed;
        return count;
    }

    private static string? Check(JsonElement row) => row.Text("kind") switch
    {
        "as-path-2byte" => CheckPath(row),
        "path-attributes" => CheckAttributes(row),
        "capability" => CheckCapabilities(row.Hex("hex"), row.GetProperty("valid").GetBoolean()),
        "open-optional-parameters" => CheckOpen(row),
        "mp-reach-value" => CheckMp(row, reach: true),
        "mp-unreach-value" => CheckMp(row, reach: false),
        var kind => $"no replay for {kind}",
    };

    private static string? CheckPath(JsonElement row)
    {
        var valid = AsPath.TryParse(row.Hex("hex"), fourOctet: false, out var path);
        if (valid != row.GetProperty("valid").GetBoolean())
            return $"valid {valid}";
        if (!valid)
            return null;
        if (path.ToString() != row.Text("text"))
            return path.ToString();
        if (path.Hops != row.GetProperty("hops").GetInt32()
            || AsPath.CountConfederationHops(path.Octets) != row.GetProperty("confedHops").GetInt32())
            return $"{path.Hops} hops";
        var loops = row.GetProperty("loopsWithAs").GetUInt32();
        if (loops != 0 && !path.Contains(new Asn(loops)))
            return "no loop";
        return path.Contains(new Asn(row.GetProperty("doesNotLoopWithAs").GetUInt32())) ? "loop" : null;
    }

    private static string? CheckAttributes(JsonElement row)
    {
        var attributes = row.Hex("attributesHex");
        byte[] body = [0, 0, 0, (byte)attributes.Length, .. attributes, 24, 10, 1, 2];
        var accepted = new UpdateDecoder()
            .TryDecode(body, new WireContext(row.GetProperty("peerAs4").GetBoolean(), false, false, Families.Both),
            out var update, out _);
        var result = !accepted ? "session-reset" : update.Verdict == AttributeVerdict.TreatAsWithdraw
            ? "treat-as-withdraw" : "accept";
        return result == row.Text("result") ? null : result;
    }

    private static string? CheckCapabilities(byte[] octets, bool valid)
    {
        var r = new WireReader(octets);
        return Capabilities.TryDecode(ref r, Capabilities.None, out _) == valid ? null : $"valid {!valid}";
    }

    private static string? CheckOpen(JsonElement row)
    {
        var parameters = row.Hex("hex");
        byte[] body = [4, 0xFD, 0xE9, 0, 90, 1, 2, 3, 4, (byte)parameters.Length, .. parameters];
        var accepted = OpenMessage.TryDecode(body, out var open, out var error);
        if (accepted != row.GetProperty("valid").GetBoolean())
            return error?.Reason ?? "accepted";
        return !accepted || open!.MyAs.Value == row.GetProperty("as4Peeked").GetUInt32() ? null : $"AS {open.MyAs}";
    }

    private static string? CheckMp(JsonElement row, bool reach)
    {
        MpAttributes mp = default;
        var context = new WireContext(true, false, false, Families.Both);
        var error = reach ? mp.ReadReach(row.Hex("hex"), context) : mp.ReadUnreach(row.Hex("hex"), context);
        return (error is null) == (row.Text("result") == "accept") ? null : error ?? "accepted";
    }
}
