using System.Collections;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Calico.Core.Net;
using Calico.Core.Policy.Distribution;

namespace Calico.Actors.Policy;

/// <summary>Policy log entries as JSON: low in rate, read by people in a pinch, and open to new fields.</summary>
public static class PolicyJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        RespectRequiredConstructorParameters = true,
        Converters = { new CidrConverter(), new JsonStringEnumConverter() },
        TypeInfoResolver = new DefaultJsonTypeInfoResolver { Modifiers = { LeaveOutDerived, LeaveOutEmptyLists, RequireWhatIsAlwaysWritten } },
    };

    // What can neither be set nor passed to the constructor follows from the rest.
    private static void LeaveOutDerived(JsonTypeInfo type)
    {
        for (var i = type.Properties.Count - 1; i >= 0; i--)
        {
            if (type.Properties[i] is { Set: null, AssociatedParameter: null })
                type.Properties.RemoveAt(i);
        }
    }

    // Most lists of most rules are empty, and an absent list is read as empty. Other values are always written: what a
    // field is when absent is not always its type's default.
    private static void LeaveOutEmptyLists(JsonTypeInfo type)
    {
        foreach (var property in type.Properties.Where(p => typeof(ICollection).IsAssignableFrom(p.PropertyType)))
            property.ShouldSerialize = (_, value) => value is ICollection { Count: > 0 };
    }

    private static void RequireWhatIsAlwaysWritten(JsonTypeInfo type)
    {
        foreach (var property in type.Properties.Where(p => p.AssociatedParameter is { IsNullable: true }))
            property.IsRequired = false;
        // A struct can always be made without its constructor's parameters.
        foreach (var property in type.Properties.Where(p => type.Type.IsValueType && !p.IsSetNullable))
            property.IsRequired = true;
    }

    public static byte[] Encode(PolicyEntry entry) => JsonSerializer.SerializeToUtf8Bytes(entry, Options);

    /// <exception cref="FormatException">The bytes are not an entry.</exception>
    public static PolicyEntry Decode(ReadOnlyMemory<byte> json)
    {
        try
        {
            RefuseNulls(json.Span);
            return JsonSerializer.Deserialize<PolicyEntry>(json.Span, Options)!;
        }
        catch (JsonException e)
        {
            throw new FormatException("policy entry: " + e.Message, e);
        }
    }

    // None is ever written, and one that were read would end up where the types say that there is none.
    private static void RefuseNulls(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.Null)
                throw new FormatException($"policy entry: null at byte {reader.TokenStartIndex}");
        }
    }

    private sealed class CidrConverter : JsonConverter<Cidr>
    {
        public override Cidr Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            Cidr.TryParse(reader.GetString(), out var cidr) ? cidr : throw new JsonException("not a CIDR");

        public override void Write(Utf8JsonWriter writer, Cidr value, JsonSerializerOptions options) =>
            writer.WriteStringValue(value.ToString());
    }
}
