using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.RegularExpressions;
using Calico.Core.Bgp.Mrt;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>Real tables and streams of messages, against what another reader prints for them.</summary>
[Layer("unit")]
public class MrtTests
{
    private const string Table = "09-mrt-load";

    [SkippableTheory]
    [InlineData("bview.20020722.2337.gz", "TABLE_DUMP")]
    [InlineData("bview.ipv4_unicast_add_path.gz", "TABLE_DUMP2_AP")]
    [InlineData("updates.20100722.2015.gz", "BGP4MP")]
    public void A_file_says_what_another_reader_reads_in_it(string file, string kind)
    {
        var folder = CaseTables.Folder(Table);
        Skip.If(folder is null, "the answer tables are not on this machine");
        var expected = Lines(Path.Combine(folder!, file + ".bgp.gz")).ToList();

        var read = Records(Path.Combine(folder!, file)).SelectMany(r => Lines(r, kind)).ToList();

        Assert.Equal(expected.Count, read.Count);
        for (var i = 0; i < expected.Count; i++)
            Assert.Equal(Alike(expected[i]), read[i]);
    }

    // Names of communities, the order in a set and the text of an IPv6 address (RFC 5952 leaves a single 0) differ between readers; what
    // they say does not. An aggregator of AS 0 is none (RFC 7607).
    private static string Alike(string line) => Regex.Replace(Regex.Replace(line.Replace("|0 0.0.0.0|", "||", StringComparison.Ordinal).Replace("|255.255.255.255|", "|0.0.0.0|", StringComparison.Ordinal).Replace("no-export", "65535:65281", StringComparison.Ordinal)
        .Replace("no-advertise", "65535:65282", StringComparison.Ordinal).Replace("local-AS", "65535:65283", StringComparison.Ordinal),
        @"(?<=\|)[0-9a-f:]*:[0-9a-f:]+(?=[/|])", m => IpAddr.TryParse(m.Value, out var address) ? address.ToString() : m.Value),
        @"\{([\d,]+)\}", m => $"{{{string.Join(',', m.Groups[1].Value.Split(',').Select(uint.Parse).Order())}}}");

    [Theory]
    [InlineData("")]
    [InlineData("not the header of an MRT record at all")]
    [InlineData("\0\0\0\0\0\u000d\0\u0001\0\0\0\u0009ab")]
    public void What_is_not_mrt_is_said_to_be_none(string text)
    {
        using var stream = new MemoryStream(Encoding.Latin1.GetBytes(text));
        if (text.Length == 0)
            Assert.Empty(new MrtReader().Read(stream));
        else
            Assert.StartsWith("at octet 0: ", Assert.Throws<FormatException>(() => new MrtReader().Read(stream).ToList()).Message, StringComparison.Ordinal);
    }

    // Whatever is flipped or cut: an error, or other records.
    [SkippableFact]
    public void A_damaged_file_is_an_error_and_nothing_more()
    {
        var folder = CaseTables.Folder(Table);
        Skip.If(folder is null, "the answer tables are not on this machine");
        using var file = new GZipStream(File.OpenRead(Path.Combine(folder!, "bview.ipv4_unicast_add_path.gz")), CompressionMode.Decompress);
        using var whole = new MemoryStream();
        file.CopyTo(whole);
        var random = new Random(1);
        for (var i = 0; i < 3000; i++)
        {
            var damaged = whole.ToArray()[..random.Next(1, (int)whole.Length)];
            for (var flips = random.Next(4); flips > 0; flips--)
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            try
            {
                Assert.True(new MrtReader().Read(new MemoryStream(damaged)).Count() < 1000);
            }
            catch (FormatException)
            {
            }
        }
    }

    private static IEnumerable<string> Lines(string path)
    {
        using var reader = new StreamReader(new GZipStream(File.OpenRead(path), CompressionMode.Decompress));
        while (reader.ReadLine() is { } line)
            yield return line;
    }

    private static IEnumerable<MrtRecord> Records(string path)
    {
        using var file = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        foreach (var record in new MrtReader().Read(file))
            yield return record;
    }

    private static IEnumerable<string> Lines(MrtRecord record, string kind)
    {
        var head = string.Create(CultureInfo.InvariantCulture, $"{kind}|{record.Time.ToUnixTimeSeconds()}");
        switch (record)
        {
            case MrtRoute route:
                return [$"{head}|B|{Of(route.Peer)}|{route.Prefix}|{(route.PathId is { } id ? id + "|" : "")}{Of(route.NextHop, route.Attributes.Span)}"];
            case MrtStateChange change:
                return [$"{head}|STATE|{Of(change.Peer)}|{change.From}|{change.To}"];
            case MrtMessage message when message.Message.Span[18] == (byte)MessageType.Update:
                return Lines(message, head);
            default:
                return record is MrtSkipped skipped ? [skipped.Why] : [];
        }
    }

    private static List<string> Lines(MrtMessage message, string head)
    {
        Assert.True(new UpdateDecoder().TryDecode(message.Message.Span[BgpFraming.HeaderLength..], message.Context, out var update, out var error), error?.ToString());
        var lines = new List<string>();
        var peer = Of(message.Peer);
        lines.AddRange(Nlri.ToList<Prefix4>(update.Withdrawn).Select(p => $"{head}|W|{peer}|{p}"));
        if (update.Multiprotocol.HasUnreach)
            lines.AddRange(Nlri.ToList<Prefix6>(update.Multiprotocol.Withdrawn).Select(p => $"{head}|W|{peer}|{p}"));
        if (update.Multiprotocol.HasReach)
        {
            var said = Of(update.Multiprotocol.NextHop, update.Attributes);
            lines.AddRange(Nlri.ToList<Prefix6>(update.Multiprotocol.Announced).Select(p => $"{head}|A|{peer}|{p}|{said}"));
        }
        if (!update.Announced.IsEmpty)
        {
            var said = Of(update.NextHop, update.Attributes);
            lines.AddRange(Nlri.ToList<Prefix4>(update.Announced).Select(p => $"{head}|A|{peer}|{p}|{said}"));
        }
        return lines;
    }

    private static string Of(MrtPeer peer) => $"{peer.Address}|{peer.As}";

    private static string Of(IpAddr nextHop, ReadOnlySpan<byte> canonical)
    {
        var a = PathAttributes.Decode(canonical);
        return string.Create(CultureInfo.InvariantCulture, $"{a.AsPath}|{a.Origin.ToString().ToUpperInvariant()}|{nextHop}|{a.LocalPref ?? 0}|{a.Med ?? 0}|{string.Join(' ', a.Communities)}|")
            + $"{(a.AtomicAggregate ? "AG" : "NAG")}|{(a.Aggregator is { } by ? $"{by.Asn} {by.Id}" : "")}|";
    }
}
