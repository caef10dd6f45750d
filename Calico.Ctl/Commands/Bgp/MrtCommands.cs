using System.Buffers;
using System.CommandLine;
using System.Globalization;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Calico.Core.Bgp.Mrt;
using Calico.Core.Net;
using Calico.Ctl.Commands.Node;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>bgp dump and bgp mrt: tables to MRT files, and files of any collector to text.</summary>
internal static class MrtCommands
{
    public static Command Dump(CtlContext context)
    {
        var file = new Argument<string>("file") { Description = "Where to write it; '-' for standard output." };
        var socket = BgpCommand.SocketOption();
        var command = new ExampleCommand("dump",
            "Write all routes that this speaker knows, of all peers and its own, to an MRT file (RFC 6396, TABLE_DUMP_V2), which tools for routing tables read. "
            + "A file that is there is replaced when the dump is whole.",
            "bgp dump rib.mrt", "bgp dump - | gzip > rib.mrt.gz")
        { file, socket };
        command.SetAction(async (parsed, cancellation) =>
        {
            var path = parsed.GetValue(file)!;
            var from = parsed.GetValue(socket) ?? AgentSocket.PathOf(context);
            if (path == "-" && context.IsTerminal)
                throw new CtlException("an MRT file is nothing for a terminal: name a file, or send it into a pipe");
            if (path == "-")
            {
                await using var output = context.OpenOut();
                await AgentSocket.CopyAsync(from, "/bgp/mrt", output, cancellation);
                return CommandLine.Success;
            }
            var size = await ReplaceAsync(path, to => AgentSocket.CopyAsync(from, "/bgp/mrt", to, cancellation));
            await context.Out.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"{path}: {size} octets written"));
            return CommandLine.Success;
        });
        return command;
    }

    public static Command Read(CtlContext context)
    {
        var file = new Argument<string>("file") { Description = "The file, as it is or packed by gzip; '-' for standard input." };
        var within = new Option<string?>("--within") { Description = "Only routes of prefixes inside this one, itself included." };
        var peer = new Option<string?>("--peer") { Description = "Only what the peer of this address told." };
        var output = new Option<string?>("--output", "-o") { Description = "json: one object a line; otherwise lines with fields between '|'." };
        var command = new ExampleCommand("mrt",
            "Read an MRT file (RFC 6396) of any route collector or router: tables and streams of messages. Without -o json one line a route: "
            + "type|time|B, A or W|peer|AS|prefix|AS path|origin|next hop|local preference|MED|communities|AG or NAG|aggregator|, where B is a route of a table, A is announced and W withdrawn. "
            + "A record that cannot be used is named on standard error. Exit 1 if there was one, or the file is cut short.",
            "bgp mrt rib.mrt", "bgp mrt updates.gz --within 192.0.2.0/24", "bzcat rib.bz2 | calicoctl bgp mrt - -o json")
        { file, within, peer, output };
        command.SetAction(async (parsed, cancellation) =>
        {
            var isJson = BgpCommand.IsJson(parsed.GetValue(output));
            var range = RoutesCommand.PrefixOf(parsed.GetValue(within));
            var of = parsed.GetValue(peer) is { } name ? IpAddr.TryParse(name, out var address) ? address : throw new CtlException($"'{name}' is no address: the peers of an MRT file have no names") : (IpAddr?)null;
            using var stream = Open(context, parsed.GetValue(file)!);
            return await ShowAsync(context, stream, parsed.GetValue(file)!, new Filter(range, of), isJson, cancellation);
        });
        return command;
    }

    private sealed record Filter(Cidr? Within, IpAddr? Peer)
    {
        public bool Contains(Cidr prefix) => Within is not { } range || range.Contains(prefix);
        public bool Wants(MrtPeer peer) => Peer is null || peer.Address == Peer;
    }

    private static async Task<int> ShowAsync(CtlContext context, Stream stream, string path, Filter filter, bool isJson, CancellationToken cancellation)
    {
        var isClean = true;
        var text = new MrtText();
        try
        {
            foreach (var record in new MrtReader().Read(stream))
            {
                cancellation.ThrowIfCancellationRequested();
                if (record is MrtSkipped skipped)
                {
                    isClean = false;
                    await context.Error.WriteLineAsync($"{path}: {skipped.Why} is passed over");
                    continue;
                }
                if (!filter.Wants(PeerOf(record)))
                    continue;
                foreach (var line in isJson ? Json(record, filter, text) : text.Lines(record, filter.Within is null ? null : filter.Contains))
                    await context.Out.WriteLineAsync(line);
            }
        }
        catch (Exception e) when (e is FormatException or InvalidDataException)
        {
            await context.Out.FlushAsync(cancellation);
            throw new CtlException($"{path}: {e.Message}", e);
        }
        return isClean ? CommandLine.Success : CommandLine.Failure;
    }

    private static MrtPeer PeerOf(MrtRecord record) => record switch
    {
        MrtRoute route => route.Peer,
        MrtMessage message => message.Peer,
        MrtStateChange change => change.Peer,
        _ => default,
    };

    private static IEnumerable<string> Json(MrtRecord record, Filter filter, MrtText text)
    {
        if (filter.Within is not null && record is not MrtRoute)
        {
            // A message is one object whatever it says; it counts if any of its routes does.
            if (record is not MrtMessage || !text.Lines(record, filter.Contains).Any())
                yield break;
        }
        if (record is MrtRoute { Prefix: var prefix } && !filter.Contains(prefix))
            yield break;
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, BgpCommand.OneLine))
        {
            json.WriteStartObject();
            json.WriteString("record", record.Type);
            json.WriteNumber("time", record.Time.ToUnixTimeSeconds());
            json.WriteString("peer", PeerOf(record).Address.ToString());
            json.WriteNumber("as", PeerOf(record).As.Value);
            Write(json, record);
            json.WriteEndObject();
        }
        yield return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void Write(Utf8JsonWriter json, MrtRecord record)
    {
        switch (record)
        {
            case MrtRoute route:
                json.WriteString("prefix", route.Prefix.ToString());
                if (route.PathId is { } id)
                    json.WriteNumber("path", id);
                json.WriteNumber("since", route.Learned.ToUnixTimeSeconds());
                json.WriteString("next-hop", route.NextHop.ToString());
                json.WriteStartObject("attribute");
                AttributeJson.Write(json, route.Attributes.Span);
                json.WriteEndObject();
                break;
            case MrtStateChange change:
                json.WriteNumber("from", change.From);
                json.WriteNumber("to", change.To);
                break;
            case MrtMessage message:
                json.WritePropertyName("message");
                new MessageReader(message.Context).Write(json, message.Message.ToArray());
                break;
        }
    }

    private static Stream Open(CtlContext context, string path)
    {
        try
        {
            return Unpack(PipeReader.Create(path == "-" ? context.OpenIn() : File.OpenRead(path), new StreamPipeReaderOptions(bufferSize: 1 << 16)), path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CtlException($"{path}: {e.Message}", e);
        }
    }

    // By its first octets, whatever its name is.
    private static Stream Unpack(PipeReader reader, string path)
    {
        var head = new byte[3];
        var begin = reader.ReadAtLeastAsync(head.Length).AsTask().GetAwaiter().GetResult().Buffer;
        begin.Slice(0, Math.Min(begin.Length, head.Length)).CopyTo(head);
        reader.AdvanceTo(begin.Start);
        return head switch
        {
            [0x1f, 0x8b, _] => new GZipStream(reader.AsStream(), CompressionMode.Decompress),
            [(byte)'B', (byte)'Z', (byte)'h'] => throw new CtlException($"{path} is packed by bzip2: bzcat {path} | calicoctl bgp mrt -"),
            [0xfd, (byte)'7', (byte)'z'] => throw new CtlException($"{path} is packed by xz: xzcat {path} | calicoctl bgp mrt -"),
            _ => reader.AsStream(),
        };
    }

    private static async Task<long> ReplaceAsync(string path, Func<Stream, Task> write)
    {
        var temporary = path + ".part";
        try
        {
            long size;
            await using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write))
            {
                await write(stream);
                stream.Flush(flushToDisk: true);
                size = stream.Length;
            }
            File.Move(temporary, path, overwrite: true);
            return size;
        }
        catch (Exception e)
        {
            File.Delete(temporary);
            throw e is IOException or UnauthorizedAccessException ? new CtlException($"{path}: {e.Message}", e) : e;
        }
    }
}
