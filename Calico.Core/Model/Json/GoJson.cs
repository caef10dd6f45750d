using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Calico.Core.Model.Json;

/// <summary>
/// JSON bytes as Go's encoder writes them, which is the form of every value in Calico's datastore: compact, HTML
/// characters and the two Unicode line separators escaped in lower-case hex, everything else as plain UTF-8.
/// </summary>
public static class GoJson
{
    /// <summary>Rewrites valid JSON; the order of keys stays.</summary>
    public static byte[] Rewrite(ReadOnlySpan<byte> json)
    {
        var output = new ArrayBufferWriter<byte>(json.Length + 16);
        var reader = new Utf8JsonReader(json);
        var first = true;
        var afterName = false;
        while (reader.Read())
        {
            var closing = reader.TokenType is JsonTokenType.EndObject or JsonTokenType.EndArray;
            if (!first && !afterName && !closing)
                output.Write(","u8);
            afterName = false;
            first = false;
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject:
                    output.Write("{"u8);
                    first = true;
                    break;
                case JsonTokenType.StartArray:
                    output.Write("["u8);
                    first = true;
                    break;
                case JsonTokenType.EndObject:
                    output.Write("}"u8);
                    break;
                case JsonTokenType.EndArray:
                    output.Write("]"u8);
                    break;
                case JsonTokenType.PropertyName:
                    WriteString(output, reader.GetString()!);
                    output.Write(":"u8);
                    afterName = true;
                    break;
                case JsonTokenType.String:
                    WriteString(output, reader.GetString()!);
                    break;
                default:
                    output.Write(reader.ValueSpan);
                    break;
            }
        }
        return output.WrittenSpan.ToArray();
    }

    /// <summary>A double as Go writes it: plain digits between 1e-6 and 1e21, else an exponent like <c>1e+21</c>.</summary>
    public static string FormatDouble(double value)
    {
        var shortest = value.ToString("E16", CultureInfo.InvariantCulture);
        for (var digits = 0; digits < 17; digits++)
        {
            var candidate = value.ToString("E" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
            if (double.Parse(candidate, CultureInfo.InvariantCulture) != value)
                continue;
            shortest = candidate;
            break;
        }
        var magnitude = Math.Abs(value);
        if (magnitude == 0 || magnitude is >= 1e-6 and < 1e21)
            return decimal.TryParse(shortest, NumberStyles.Float, CultureInfo.InvariantCulture, out var exact)
                ? exact.ToString("0.#############################", CultureInfo.InvariantCulture)
                : value.ToString("F0", CultureInfo.InvariantCulture);
        var at = shortest.IndexOf('E');
        var exponent = int.Parse(shortest.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        return string.Create(CultureInfo.InvariantCulture, $"{shortest.AsSpan(0, at)}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}");
    }

    private static void WriteString(ArrayBufferWriter<byte> output, string text)
    {
        output.Write("\""u8);
        Span<byte> encoded = stackalloc byte[8];
        foreach (var rune in text.EnumerateRunes())
        {
            var length = Encode(rune, encoded);
            output.Write(encoded[..length]);
        }
        output.Write("\""u8);
    }

    private static int Encode(Rune rune, Span<byte> destination)
    {
        ReadOnlySpan<byte> shortForm = rune.Value switch
        {
            '"' => "\\\""u8,
            '\\' => "\\\\"u8,
            '\n' => "\\n"u8,
            '\r' => "\\r"u8,
            '\t' => "\\t"u8,
            '\b' => "\\b"u8,
            '\f' => "\\f"u8,
            _ => default,
        };
        if (!shortForm.IsEmpty)
        {
            shortForm.CopyTo(destination);
            return shortForm.Length;
        }
        if (rune.Value is >= 0x20 and not ('<' or '>' or '&' or 0x2028 or 0x2029))
            return rune.EncodeToUtf8(destination);
        return Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}"), destination);
    }
}
