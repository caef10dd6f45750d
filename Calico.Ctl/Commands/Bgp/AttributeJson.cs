using System.Buffers.Binary;
using System.Text.Json;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>The path attributes of a route by name.</summary>
internal static class AttributeJson
{
    public static void Write(Utf8JsonWriter json, ReadOnlySpan<byte> canonical)
    {
        var reader = new AttributeReader(canonical);
        while (reader.TryRead(out var flags, out var type, out var value))
            Write(json, flags, type, value);
    }

    private static void Write(Utf8JsonWriter json, AttributeFlags flags, AttributeType type, ReadOnlySpan<byte> value)
    {
        switch (type)
        {
            case AttributeType.Origin:
                json.WriteString("origin", ((Origin)value[0]).ToString().ToLowerInvariant());
                break;
            case AttributeType.AsPath when !value.IsEmpty:
                Path(json, value);
                break;
            case AttributeType.AsPath:
                break;
            case AttributeType.MultiExitDisc:
                json.WriteNumber("med", BinaryPrimitives.ReadUInt32BigEndian(value));
                break;
            case AttributeType.LocalPref:
                json.WriteNumber("local-preference", BinaryPrimitives.ReadUInt32BigEndian(value));
                break;
            case AttributeType.AtomicAggregate:
                json.WriteBoolean("atomic-aggregate", true);
                break;
            case AttributeType.Aggregator:
                json.WriteString("aggregator", $"{BinaryPrimitives.ReadUInt32BigEndian(value)}:{IpAddr.FromBytes(value[4..])}");
                break;
            case AttributeType.Communities:
                Numbers(json, "community", value, 2, 2);
                break;
            case AttributeType.OnlyToCustomer:
                json.WriteNumber("only-to-customer", BinaryPrimitives.ReadUInt32BigEndian(value));
                break;
            case AttributeType.LargeCommunities:
                Numbers(json, "large-community", value, 4, 3);
                break;
            case AttributeType.ExtendedCommunities:
                json.WriteStartArray("extended-community");
                for (; value.Length >= 8; value = value[8..])
                {
                    json.WriteStartObject();
                    json.WriteNumber("value", BinaryPrimitives.ReadUInt64BigEndian(value));
                    json.WriteString("string", new ExtendedCommunity(BinaryPrimitives.ReadUInt64BigEndian(value)).ToString());
                    json.WriteEndObject();
                }
                json.WriteEndArray();
                break;
            case AttributeType.OriginatorId:
                json.WriteString("originator-id", IpAddr.FromBytes(value).ToString());
                break;
            case AttributeType.ClusterList:
                json.WriteStartArray("cluster-list");
                for (; value.Length >= 4; value = value[4..])
                    json.WriteStringValue(IpAddr.FromBytes(value[..4]).ToString());
                json.WriteEndArray();
                break;
            default:
                json.WriteString($"attribute-0x{(byte)type:X2}-0x{(byte)flags:X2}", "0x" + Convert.ToHexString(value));
                break;
        }
    }

    // {"0": {"element": "as-sequence", "value": [65001, 65002]}, …}
    private static void Path(Utf8JsonWriter json, ReadOnlySpan<byte> path)
    {
        json.WriteStartObject("as-path");
        for (var i = 0; !path.IsEmpty; i++)
        {
            path = AsPath.Next(path, out var type, out var numbers);
            json.WriteStartObject(i.ToString(System.Globalization.CultureInfo.InvariantCulture));
            json.WriteString("element", type switch
            {
                SegmentType.Set => "as-set",
                SegmentType.ConfedSequence => "confed-sequence",
                SegmentType.ConfedSet => "confed-set",
                _ => "as-sequence",
            });
            json.WriteStartArray("value");
            for (; !numbers.IsEmpty; numbers = numbers[4..])
                json.WriteNumberValue(BinaryPrimitives.ReadUInt32BigEndian(numbers));
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void Numbers(Utf8JsonWriter json, string name, ReadOnlySpan<byte> value, int octets, int parts)
    {
        json.WriteStartArray(name);
        for (; value.Length >= octets * parts; value = value[(octets * parts)..])
        {
            json.WriteStartArray();
            for (var i = 0; i < parts; i++)
                json.WriteNumberValue(octets == 2 ? BinaryPrimitives.ReadUInt16BigEndian(value[(2 * i)..]) : BinaryPrimitives.ReadUInt32BigEndian(value[(4 * i)..]));
            json.WriteEndArray();
        }
        json.WriteEndArray();
    }
}
