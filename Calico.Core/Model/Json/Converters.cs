using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Calico.Core.Net;

namespace Calico.Core.Model.Json;

// Readers take what Go's readers take (null is absent), writers write what Go writes.

internal static class JsonText
{
    // YAML without quotes makes numbers and booleans of strings (a label 1.10); Calico's reader turns them back, and so
    // does this one, without losing digits.
    public static string? Read(ref Utf8JsonReader reader) => reader.TokenType switch
    {
        JsonTokenType.True => "true",
        JsonTokenType.False => "false",
        JsonTokenType.Number => System.Text.Encoding.UTF8.GetString(reader.ValueSpan),
        _ => reader.GetString(),
    };
}

internal sealed class ValueListConverter<T> : JsonConverter<ValueList<T>>
{
    public override bool HandleNull => true;

    public override ValueList<T> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Null)
            return default;
        if (reader.TokenType != JsonTokenType.StartArray)
            throw new JsonException("expected a list");
        var items = ImmutableArray.CreateBuilder<T>();
        var element = (JsonTypeInfo<T>)options.GetTypeInfo(typeof(T));
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var item = typeof(T) == typeof(string)
                ? (T?)(object?)JsonText.Read(ref reader)
                : JsonSerializer.Deserialize(ref reader, element);
            items.Add(item ?? throw new JsonException("a list entry is null"));
        }
        return items.ToImmutable();
    }

    public override void Write(Utf8JsonWriter writer, ValueList<T> value, JsonSerializerOptions options)
    {
        var element = (JsonTypeInfo<T>)options.GetTypeInfo(typeof(T));
        writer.WriteStartArray();
        foreach (var item in value)
        {
            if (item is string text)
                writer.WriteStringValue(text);
            else
                JsonSerializer.Serialize(writer, item, element);
        }
        writer.WriteEndArray();
    }
}

internal sealed class StringMapConverter : JsonConverter<StringMap>
{
    public override bool HandleNull => true;

    public override StringMap Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.Null)
            return default;
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException("expected a map of strings");
        var entries = new List<KeyValuePair<string, string>>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var key = reader.GetString()!;
            reader.Read();
            entries.Add(new(key, JsonText.Read(ref reader) ?? ""));
        }
        return StringMap.From(entries);
    }

    public override void Write(Utf8JsonWriter writer, StringMap value, JsonSerializerOptions options)
    {
        writer.WriteStartObject();
        foreach (var (key, text) in value)
            writer.WriteString(key, text);
        writer.WriteEndObject();
    }
}

// Go has no absent strings: an empty one in an optional field is not there, and a field that is always written is
// empty when there is nothing in it.
internal sealed class OptionalStringConverter : JsonConverter<string?>
{
    public override bool HandleNull => true;

    public override string? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        JsonText.Read(ref reader) is { Length: > 0 } text ? text : null;

    public override void Write(Utf8JsonWriter writer, string? value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value ?? "");
}

// A value that has a text form, of which some are written as numbers.
internal abstract class TextConverter<T> : JsonConverter<T>
    where T : struct
{
    protected abstract bool TryParse(ReadOnlySpan<char> text, out T value);
    protected abstract string Expected { get; }
    protected virtual bool IsNumber(T value) => false;
    protected virtual bool TakesNumbers => true;

    public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var text = reader.TokenType switch
        {
            JsonTokenType.String => reader.GetString()!,
            JsonTokenType.Number when TakesNumbers => System.Text.Encoding.UTF8.GetString(reader.ValueSpan),
            _ => throw new JsonException($"expected {Expected}"),
        };
        return TryParse(text, out var value) ? value : throw new JsonException($"'{text}' is not {Expected}");
    }

    public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options)
    {
        if (IsNumber(value))
            writer.WriteRawValue(value.ToString()!, skipInputValidation: true);
        else
            writer.WriteStringValue(value.ToString());
    }
}

internal sealed class PortConverter : TextConverter<Port>
{
    protected override bool TryParse(ReadOnlySpan<char> text, out Port value) => Port.TryParse(text, out value);
    protected override string Expected => "a port from 1 to 65535, a range min:max or a port name";
    protected override bool IsNumber(Port value) => value.IsSingle;
}

internal sealed class ProtocolConverter : TextConverter<Protocol>
{
    protected override bool TryParse(ReadOnlySpan<char> text, out Protocol value) => Protocol.TryParse(text, out value);
    protected override string Expected => "a protocol (TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255)";
    protected override bool IsNumber(Protocol value) => !value.IsNamed;
}

internal sealed class AsnConverter : TextConverter<Asn>
{
    protected override bool TryParse(ReadOnlySpan<char> text, out Asn value) => Asn.TryParse(text, out value);
    protected override string Expected => "an AS number such as 64512 or 1.10";
    protected override bool IsNumber(Asn value) => true;
}

internal sealed class GoDurationConverter : TextConverter<GoDuration>
{
    protected override bool TryParse(ReadOnlySpan<char> text, out GoDuration value) => GoDuration.TryParse(text, out value);
    protected override string Expected => "a duration such as 90s or 1m30s";
    protected override bool TakesNumbers => false;
}

internal sealed class IntOrStringConverter : JsonConverter<IntOrString>
{
    public override IntOrString Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.Number ? IntOrString.From(reader.GetInt32()) : IntOrString.From(reader.GetString() ?? "");

    public override void Write(Utf8JsonWriter writer, IntOrString value, JsonSerializerOptions options)
    {
        if (value.Text is { } text)
            writer.WriteStringValue(text);
        else
            writer.WriteNumberValue(value.Number);
    }
}

internal sealed class GoDoubleConverter : JsonConverter<double>
{
    public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDouble();

    public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options) =>
        writer.WriteRawValue(GoJson.FormatDouble(value), skipInputValidation: true);
}

// Go's time: seconds, or as many fraction digits as there are, in UTC.
internal sealed class GoTimeConverter : JsonConverter<DateTimeOffset>
{
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        DateTimeOffset.TryParse(reader.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? time
            : throw new JsonException($"'{reader.GetString()}' is not a time such as 2026-08-22T10:00:00Z");

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture));
}

// A flag that older releases store as a string.
internal sealed class LenientBooleanConverter : JsonConverter<bool>
{
    public override bool Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.True => true,
        JsonTokenType.False => false,
        JsonTokenType.String => reader.GetString() == "true",
        _ => throw new JsonException("expected true or false"),
    };

    public override void Write(Utf8JsonWriter writer, bool value, JsonSerializerOptions options) => writer.WriteBooleanValue(value);
}
