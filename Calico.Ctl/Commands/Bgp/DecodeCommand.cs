using System.Buffers;
using System.CommandLine;
using System.Text;
using System.Text.Json;
using Calico.Core.Bgp.Wire;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>bgp decode: messages in hexadecimal to what they say, for captures and for other speakers' dumps.</summary>
internal static class DecodeCommand
{
    private const string Families = "ipv4, ipv6 or all";

    public static Command Build(CtlContext context)
    {
        var wide = new Option<bool>("--four-octet-as") { Description = "The speakers agreed on four-octet AS numbers (RFC 6793)." };
        var paths = new Option<string[]>("--add-path")
        {
            Description = $"Routes of these families carry path identifiers (RFC 7911): {Families}.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        paths.AcceptOnlyFromAmong("ipv4", "ipv6", "all");
        var isLong = new Option<bool>("--extended-message") { Description = "Messages may have up to 65,535 octets (RFC 8654)." };
        var external = new Option<bool>("--external") { Description = "The peer is in another AS: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST count for nothing." };
        var decode = new ExampleCommand("decode",
            "Decode BGP messages: hexadecimal on standard input, one message with its header a line, to one JSON object a line. "
            + "A malformed message gives an object with 'error': NOTIFICATION code and subcode, and what RFC 7606 does about it. Exit 1 if there was one.",
            "bgp decode --four-octet-as < messages.txt", "bgp decode --four-octet-as --add-path ipv4 < messages.txt")
        { wide, paths, isLong, external };
        decode.SetAction(async (parsed, cancellation) =>
        {
            var families = parsed.GetResult(paths) is null ? [] : parsed.GetValue(paths) is { Length: > 0 } named ? named : ["all"];
            var reader = new MessageReader(new WireContext(parsed.GetValue(wide), parsed.GetValue(isLong), !parsed.GetValue(external), Core.Bgp.Wire.Families.Both)
            {
                PathIdsIn = FamiliesOf(families),
            });
            var isClean = true;
            while (await context.In.ReadLineAsync(cancellation) is { } line)
            {
                if (string.IsNullOrWhiteSpace(line))
                    continue;
                var buffer = new ArrayBufferWriter<byte>();
                using (var json = new Utf8JsonWriter(buffer, BgpCommand.OneLine))
                    isClean &= reader.Write(json, Octets(line));
                await context.Out.WriteLineAsync(Encoding.UTF8.GetString(buffer.WrittenSpan));
            }
            return isClean ? CommandLine.Success : CommandLine.Failure;
        });
        return decode;
    }

    private static Families FamiliesOf(string[] names) => names.Aggregate(Core.Bgp.Wire.Families.None, (set, name) => set | name switch
    {
        "ipv4" => Core.Bgp.Wire.Families.Ipv4Unicast,
        "ipv6" => Core.Bgp.Wire.Families.Ipv6Unicast,
        _ => Core.Bgp.Wire.Families.Both,
    });

    // Null for what is no hexadecimal. Dumps put blanks and colons between octets.
    private static byte[]? Octets(string line)
    {
        var digits = new string([.. line.Where(c => !char.IsWhiteSpace(c) && c is not (':' or '-'))]);
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            digits = digits[2..];
        try
        {
            return Convert.FromHexString(digits);
        }
        catch (FormatException)
        {
            return null;
        }
    }
}
