using System.Buffers;
using System.Collections.Immutable;
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
    [InlineData("bview.20020722.2337.gz")]
    [InlineData("bview.ipv4_unicast_add_path.gz")]
    [InlineData("updates.20100722.2015.gz")]
    public void A_file_says_what_another_reader_reads_in_it(string file)
    {
        var folder = CaseTables.Folder(Table);
        Skip.If(folder is null, "the answer tables are not on this machine");
        var expected = Lines(Path.Combine(folder!, file + ".bgp.gz")).ToList();

        var text = new MrtText();
        var read = Records(Path.Combine(folder!, file)).SelectMany(r => text.Lines(r)).ToList();

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

    [Fact]
    public void What_is_written_is_read_again()
    {
        PathAttributes set = new() { AsPath = AsPath.Sequence(65001, 4200000001), Med = 7, LocalPref = 200, Communities = [Community.Of(65001, 1)], LargeCommunities = [new(65001, 2, 3)] };
        var time = DateTimeOffset.FromUnixTimeSeconds(1_800_000_000);
        ImmutableArray<MrtPeer> peers = [new(IpAddr.Parse("192.0.2.1"), new Asn(65001)) { Id = RouterId.Parse("1.2.3.4") }, new(IpAddr.Parse("fd00::1"), new Asn(4200000001)) { Id = RouterId.Parse("5.6.7.8") }];
        var routes = new (string Prefix, (int Peer, uint Path, string Hop)[] Routes)[]
        {
            ("10.65.0.0/26", [(0, 0, "192.0.2.1"), (1, 0, "192.0.2.9")]),
            ("0.0.0.0/0", [(1, 3, "192.0.2.9"), (1, 4, "192.0.2.1")]),
            ("fd00:65::/48", [(1, 0, "fd00::1")]),
            ("::/0", [(1, 5, "fd00::1")]),
            ("10.66.0.0/16", [(1, 0, "fd00::2")]),
            ("10.67.0.0/16", [(0, 0, "0.0.0.0")]),
            ("fd00:67::/64", [(0, 0, "::")]),
        };
        var file = new ArrayBufferWriter<byte>();
        var writer = new MrtWriter(time);
        writer.WritePeers(file, RouterId.Parse("9.9.9.9"), "main", peers);
        foreach (var (prefix, of) in routes)
            writer.WriteRoutes(file, Cidr.Parse(prefix), [.. of.Select(r => new MrtWriter.Route((ushort)r.Peer, time.AddHours(-r.Peer), r.Path, IpAddr.Parse(r.Hop), set.Encode()))]);

        var read = new MrtReader().Read(new MemoryStream(file.WrittenSpan.ToArray())).ToList();

        Assert.Equal("", string.Join("; ", read.OfType<MrtSkipped>().Select(r => r.Why)));
        Assert.Equal(routes.SelectMany(p => p.Routes.Select(r => (p.Prefix, peers[r.Peer], r.Path, r.Hop, time.AddHours(-r.Peer)))),
            read.Cast<MrtRoute>().Select(r => (r.Prefix.ToString(), r.Peer, r.PathId ?? 0, r.NextHop.ToString(), r.Learned)));
        Assert.All(read.Cast<MrtRoute>(), r => Assert.Equal(set.Encode(), r.Attributes.ToArray()));
        Assert.Contains("TABLE_DUMP2_AP|1800000000|B|fd00::1|4200000001|0.0.0.0/0|3|65001 4200000001|IGP|192.0.2.9|200|7|65001:1 65001:2:3|NAG||", read.SelectMany(r => new MrtText().Lines(r)));
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
}
