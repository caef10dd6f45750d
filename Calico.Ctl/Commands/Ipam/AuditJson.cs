using System.Buffers;
using System.Numerics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Ctl.Output;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>An audit as JSON or YAML. Counts are numbers, however large: IPv6 pools exceed 64 bits.</summary>
internal static class AuditJson
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static string Text(IpamAuditReport report, AuditFilter filter, IpamReader reader, bool isClean, string format)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Indented))
            Write(json, report, filter, reader, isClean);
        if (format == "json")
            return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
        using var document = JsonDocument.Parse(buffer.WrittenMemory);
        return YamlText.From(document.RootElement);
    }

    private static void Write(Utf8JsonWriter json, IpamAuditReport report, AuditFilter filter, IpamReader reader, bool isClean)
    {
        json.WriteStartObject();
        json.WriteBoolean("clean", isClean);
        json.WriteString("summary", report.Summary);
        json.WriteNumber("revision", reader.Revision);
        json.WriteBoolean("oneMoment", reader.IsOneMoment);
        json.WriteNumber("unreadable", reader.Unreadable);
        json.WriteNumber("leaked", report.Leaked);
        json.WriteNumber("duplicates", report.Duplicates);
        json.WriteStartObject("total");
        Sums(json, report.Total);
        json.WriteEndObject();
        Array(json, "violations", report.Violations, v => json.WriteStringValue(v));
        Array(json, "pools", report.Pools.Where(filter.Shows), p => Pool(json, p));
        Array(json, "blocks", report.Blocks.Where(b => filter.Shows(b, report)), b => Block(json, b));
        Array(json, "addresses", report.Addresses.Where(a => filter.Shows(a, report)), a => Address(json, a));
        Array(json, "reserved", report.Reserved.Where(r => filter.Shows(r, report)), r => Range(json, r));
        var findings = report.Findings;
        Array(json, "leakedHandles", findings.LeakedHandles, h => json.WriteStringValue(h.Id));
        Array(json, "strayAffinities", findings.StrayAffinities, a => json.WriteStringValue($"{a.Owner} {a.Block}"));
        Array(json, "unclaimedBlocks", findings.UnclaimedBlocks, b => json.WriteStringValue(b.Cidr.ToString()));
        Array(json, "blocksOfNoNode", findings.BlocksOfNoNode, b => json.WriteStringValue(b.Cidr.ToString()));
        json.WriteEndObject();
    }

    private static void Pool(Utf8JsonWriter json, PoolAccount pool)
    {
        json.WriteStartObject();
        Optional(json, "name", pool.Name);
        Optional(json, "cidr", pool.Cidr?.ToString());
        json.WriteBoolean("disabled", pool.IsDisabled);
        Sums(json, pool.Sums);
        Number(json, "reserved", pool.Reserved);
        json.WriteNumber("blocks", pool.Blocks);
        json.WriteEndObject();
    }

    private static void Block(Utf8JsonWriter json, BlockAccount block)
    {
        json.WriteStartObject();
        json.WriteString("cidr", block.Cidr.ToString());
        Optional(json, "pool", block.Pool);
        Optional(json, "owner", block.Owner);
        Sums(json, block.Sums);
        Optional(json, "fault", block.Fault);
        json.WriteEndObject();
    }

    private static void Address(Utf8JsonWriter json, AccountedAddress address)
    {
        json.WriteStartObject();
        json.WriteString("address", address.Address.ToString());
        json.WriteString("state", AuditText.NameOf(address.State));
        json.WriteString("reason", address.Reason);
        Optional(json, "pool", address.Pool);
        Optional(json, "block", address.Block?.ToString());
        Optional(json, "blockOwner", address.BlockOwner);
        Optional(json, "handle", address.Handle);
        Optional(json, "type", address.Type);
        Optional(json, "pod", address.Pod);
        Optional(json, "node", address.Node);
        if (address.IsBorrowed)
            json.WriteBoolean("borrowed", true);
        if (address.CoolsUntil is { } until)
            json.WriteString("coolsUntil", until.UtcDateTime);
        json.WriteEndObject();
    }

    private static void Range(Utf8JsonWriter json, ReservedRange range)
    {
        json.WriteStartObject();
        json.WriteString("cidr", range.Cidr.ToString());
        json.WriteString("reservation", range.Reservation);
        json.WriteString("pool", range.Pool);
        Number(json, "free", range.Free);
        json.WriteEndObject();
    }

    private static void Sums(Utf8JsonWriter json, AddressSums sums)
    {
        Number(json, "capacity", sums.Capacity);
        Number(json, "allocated", sums.Allocated);
        Number(json, "cooling", sums.Cooling);
        Number(json, "free", sums.Free);
        json.WriteBoolean("addsUp", sums.AddUp);
    }

    private static void Array<T>(Utf8JsonWriter json, string name, IEnumerable<T> items, Action<T> write)
    {
        json.WriteStartArray(name);
        foreach (var item in items)
            write(item);
        json.WriteEndArray();
    }

    private static void Number(Utf8JsonWriter json, string name, BigInteger number)
    {
        json.WritePropertyName(name);
        json.WriteRawValue(number.ToString(System.Globalization.CultureInfo.InvariantCulture));
    }

    private static void Optional(Utf8JsonWriter json, string name, string? value)
    {
        if (!string.IsNullOrEmpty(value))
            json.WriteString(name, value);
    }
}
