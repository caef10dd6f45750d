using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Calico.Datastore.Manifests;

// A YAML tree with the line of each node. Plain scalars are resolved as YAML 1.2's core schema says: yes, no, on and off
// are strings, quoted numbers stay strings, and a number keeps its digits (1.10 is not 1.1).
internal abstract class YamlNode(long line)
{
    public long Line { get; } = line;

    public abstract void Write(Utf8JsonWriter writer);

    public virtual YamlNode? Child(string step) => null;

    public JsonElement ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
            Write(writer);
        using var document = JsonDocument.Parse(buffer.WrittenMemory);
        return document.RootElement.Clone();
    }
}

internal sealed class YamlMapping(long line, List<(string Key, YamlNode Value)> entries) : YamlNode(line)
{
    public List<(string Key, YamlNode Value)> Entries { get; } = entries;

    public override YamlNode? Child(string step) =>
        Entries.Find(e => e.Key.Equals(step, StringComparison.OrdinalIgnoreCase)).Value;

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        foreach (var (key, value) in Entries)
        {
            writer.WritePropertyName(key);
            value.Write(writer);
        }
        writer.WriteEndObject();
    }
}

internal sealed class YamlSequence(long line, List<YamlNode> items) : YamlNode(line)
{
    public List<YamlNode> Items { get; } = items;

    public override YamlNode? Child(string step) =>
        int.TryParse(step, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index < Items.Count ? Items[index] : null;

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartArray();
        foreach (var item in Items)
            item.Write(writer);
        writer.WriteEndArray();
    }
}

internal enum ScalarKind
{
    Null,
    Boolean,
    Number,
    Text,
}

internal sealed class YamlScalar(long line, ScalarKind kind, string text) : YamlNode(line)
{
    private static readonly SearchValues<char> NumberCharacters = SearchValues.Create("0123456789.eE+-");

    public ScalarKind Kind { get; } = kind;

    /// <summary>The string, or JSON text of another scalar.</summary>
    public string Text { get; } = text;

    public override void Write(Utf8JsonWriter writer)
    {
        if (Kind == ScalarKind.Text)
            writer.WriteStringValue(Text);
        else
            writer.WriteRawValue(Text);
    }

    /// <summary>What a plain scalar means; null text for infinities and NaN, which JSON has not.</summary>
    public static (ScalarKind Kind, string? Text) Resolve(string plain)
    {
        switch (plain)
        {
            case "" or "~" or "null" or "Null" or "NULL":
                return (ScalarKind.Null, "null");
            case "true" or "True" or "TRUE":
                return (ScalarKind.Boolean, "true");
            case "false" or "False" or "FALSE":
                return (ScalarKind.Boolean, "false");
            case ".nan" or ".NaN" or ".NAN":
                return (ScalarKind.Number, null);
            default:
                break;
        }
        var unsigned = plain[0] is '+' or '-' ? plain.AsSpan(1) : plain;
        if (unsigned is ".inf" or ".Inf" or ".INF")
            return (ScalarKind.Number, null);
        return Integer(plain, unsigned) ?? Float(plain, unsigned) ?? (ScalarKind.Text, plain);
    }

    private static (ScalarKind, string?)? Integer(string plain, ReadOnlySpan<char> unsigned)
    {
        if (plain.StartsWith("0x", StringComparison.Ordinal) && ulong.TryParse(plain.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var hex))
            return (ScalarKind.Number, hex.ToString(CultureInfo.InvariantCulture));
        if (plain.StartsWith("0o", StringComparison.Ordinal) && plain.Length is > 2 and < 24 && !plain.AsSpan(2).ContainsAnyExceptInRange('0', '7'))
            return (ScalarKind.Number, Convert.ToUInt64(plain[2..], 8).ToString(CultureInfo.InvariantCulture));
        if (unsigned.IsEmpty || unsigned.ContainsAnyExceptInRange('0', '9'))
            return null;
        var digits = unsigned.TrimStart('0');
        return (ScalarKind.Number, $"{(plain[0] == '-' ? "-" : "")}{(digits.IsEmpty ? "0" : digits)}");
    }

    private static (ScalarKind, string?)? Float(string plain, ReadOnlySpan<char> unsigned)
    {
        if (unsigned.IsEmpty || unsigned.ContainsAnyExcept(NumberCharacters) || !unsigned.ContainsAnyInRange('0', '9')
            || unsigned[0] is 'e' or 'E' or '+' or '-')
            return null;
        const NumberStyles style = NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent | NumberStyles.AllowLeadingSign;
        if (!double.TryParse(plain, style, CultureInfo.InvariantCulture, out var value))
            return null;
        return double.IsFinite(value) ? (ScalarKind.Number, JsonNumber(plain, value)) : (ScalarKind.Number, null);
    }

    // The digits as written where JSON takes them, else the value's shortest form.
    private static string JsonNumber(string plain, double value)
    {
        try
        {
            using var document = JsonDocument.Parse(plain);
            return plain;
        }
        catch (JsonException)
        {
            return value.ToString("R", CultureInfo.InvariantCulture);
        }
    }
}
