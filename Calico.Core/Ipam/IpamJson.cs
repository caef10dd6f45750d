using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// The stored JSON of blocks, handles and affinities, byte-compatible with Calico's etcd form: key order as Go writes
/// it, null for what is absent where Calico does so, 64-bit counters never through a double. Keys that are not known
/// here are kept and written back.
/// </summary>
public static class IpamJson
{
    /// <summary>State of an affinity whose owner gives the block back.</summary>
    public const string PendingDeletion = "pendingDeletion";

    private const string Rfc3339 = "yyyy-MM-dd'T'HH:mm:ss'Z'";
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly string[] BlockKeys =
    [
        "cidr", "affinity", "affinity_claim_time", "allocations", "unallocated", "attributes", "deleted",
        "sequenceNumber", "sequenceNumberForAllocation", "hostAffinity",
    ];

    private static readonly string[] ConfigKeys =
    [
        "strict_affinity", "auto_allocate_blocks", "maxBlocksPerHost", "kubeVirtVMAddressPersistence", "ipCooldownSeconds",
    ];

    /// <exception cref="FormatException">The value is not a block; the message says where.</exception>
    public static IpamBlock ParseBlock(ReadOnlyMemory<byte> json) => Read(json, "block", BlockOf);

    private static IpamBlock BlockOf(JsonElement root)
    {
        var cidr = root.TryGetProperty("cidr", out var c) && Cidr.TryParse(c.GetString(), out var parsed)
            ? parsed
            : throw new FormatException("block: 'cidr' is missing or not a CIDR");
        var hostBits = cidr.Address.BitLength - cidr.PrefixLength;
        if (hostBits > IpamBlock.MaxHostBits)
            throw new FormatException($"block {cidr}: larger than a block can be");
        var capacity = 1 << hostBits;

        var attributes = ArrayOf(root, "attributes").Select(ParseAttributes).ToList();
        var allocations = ArrayOf(root, "allocations")
            .Select(a => a.ValueKind == JsonValueKind.Null ? (int?)null : a.GetInt32()).ToArray();
        if (allocations.Length != capacity || allocations.Any(a => a < 0 || a >= attributes.Count))
            throw new FormatException($"block {cidr}: 'allocations' does not fit the block");
        var unallocated = ArrayOf(root, "unallocated").Select(u => u.GetInt32()).ToList();
        if (unallocated.Any(u => u < 0 || u >= capacity))
            throw new FormatException($"block {cidr}: 'unallocated' names an ordinal outside the block");
        // The allocations are the truth: whatever the queue says, no address is handed out twice and none is lost.
        var queue = unallocated.Concat(Enumerable.Range(0, capacity)).Where(o => allocations[o] is null).Distinct().ToList();
        var sequences = new Dictionary<int, ulong>();
        if (root.TryGetProperty("sequenceNumberForAllocation", out var s) && s.ValueKind == JsonValueKind.Object)
        {
            foreach (var p in s.EnumerateObject())
                sequences[int.Parse(p.Name, CultureInfo.InvariantCulture)] = p.Value.GetUInt64();
        }

        return new IpamBlock(cidr, allocations, queue, attributes, sequences)
        {
            Affinity = StringOf(root, "affinity") ?? (StringOf(root, "hostAffinity") is { } host ? "host:" + host : null),
            AffinityClaimTime = TimeOf(root, "affinity_claim_time"),
            SequenceNumber = root.TryGetProperty("sequenceNumber", out var n) ? n.GetUInt64() : 0,
            Deleted = root.TryGetProperty("deleted", out var d) && d.ValueKind == JsonValueKind.True,
            Unknown = UnknownOf(root, BlockKeys),
        };
    }

    public static byte[] WriteBlock(IpamBlock block) => Write(w =>
    {
        block.Seal();
        w.WriteString("cidr", block.Cidr.ToString());
        WriteStringOrNull(w, "affinity", block.Affinity);
        if (block.AffinityClaimTime is { } claimed)
            w.WriteString("affinity_claim_time", Time(claimed));
        w.WriteStartArray("allocations");
        foreach (var a in block.Allocations)
        {
            if (a is { } index)
                w.WriteNumberValue(index);
            else
                w.WriteNullValue();
        }
        w.WriteEndArray();
        w.WriteStartArray("unallocated");
        foreach (var u in block.UnallocatedList)
            w.WriteNumberValue(u);
        w.WriteEndArray();
        w.WriteStartArray("attributes");
        foreach (var a in block.AttributeList)
            WriteAttributes(w, a);
        w.WriteEndArray();
        w.WriteBoolean("deleted", block.Deleted);
        w.WriteNumber("sequenceNumber", block.SequenceNumber);
        w.WriteStartObject("sequenceNumberForAllocation");
        // Go writes map keys sorted as text.
        foreach (var (key, value) in block.Sequences
            .Select(p => (Key: p.Key.ToString(CultureInfo.InvariantCulture), p.Value))
            .OrderBy(p => p.Key, StringComparer.Ordinal))
            w.WriteNumber(key, value);
        w.WriteEndObject();
        WriteUnknown(w, block.Unknown);
    });

    /// <summary>A handle: how many addresses it has in each block.</summary>
    /// <exception cref="FormatException">The value is not a handle.</exception>
    public static SortedDictionary<string, int> ParseHandle(ReadOnlyMemory<byte> json) => Read(json, "handle", root =>
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        if (root.TryGetProperty("block", out var blocks) && blocks.ValueKind == JsonValueKind.Object)
        {
            foreach (var p in blocks.EnumerateObject())
                counts[p.Name] = p.Value.GetInt32();
        }
        return counts;
    });

    public static byte[] WriteHandle(IReadOnlyDictionary<string, int> counts) => Write(w =>
    {
        w.WriteStartObject("block");
        foreach (var (block, count) in counts.OrderBy(c => c.Key, StringComparer.Ordinal))
            w.WriteNumber(block, count);
        w.WriteEndObject();
        w.WriteBoolean("deleted", false);
    });

    /// <summary>The state of an affinity; an empty value or state counts as confirmed.</summary>
    /// <exception cref="FormatException">The value is not an affinity.</exception>
    public static string ParseAffinityState(ReadOnlyMemory<byte> json) => json.IsEmpty
        ? "confirmed"
        : Read(json, "affinity", root => StringOf(root, "state") is { Length: > 0 } state ? state : "confirmed");

    public static byte[] WriteAffinity(string state) => Write(w =>
    {
        w.WriteString("state", state);
        w.WriteBoolean("deleted", false);
    });

    /// <summary>The allocator's settings; a field that is absent is off, as Calico writes only what is on.</summary>
    /// <exception cref="FormatException">The value is not the settings.</exception>
    public static IpamConfig ParseConfig(ReadOnlyMemory<byte> json) => Read(json, "IPAM configuration", root => new IpamConfig
    {
        StrictAffinity = FlagOf(root, "strict_affinity"),
        AutoAllocateBlocks = FlagOf(root, "auto_allocate_blocks"),
        MaxBlocksPerHost = root.TryGetProperty("maxBlocksPerHost", out var most) ? most.GetInt32() : 0,
        KubeVirtVMAddressPersistence = StringOf(root, "kubeVirtVMAddressPersistence"),
        IPCooldownSeconds = root.TryGetProperty("ipCooldownSeconds", out var cooldown) ? cooldown.GetInt32() : 0,
        Unknown = UnknownOf(root, ConfigKeys),
    });

    public static byte[] WriteConfig(IpamConfig config) => Write(w =>
    {
        if (config.StrictAffinity)
            w.WriteBoolean("strict_affinity", true);
        if (config.AutoAllocateBlocks)
            w.WriteBoolean("auto_allocate_blocks", true);
        if (config.MaxBlocksPerHost != 0)
            w.WriteNumber("maxBlocksPerHost", config.MaxBlocksPerHost);
        if (config.KubeVirtVMAddressPersistence is { } persistence)
            w.WriteString("kubeVirtVMAddressPersistence", persistence);
        if (config.IPCooldownSeconds != 0)
            w.WriteNumber("ipCooldownSeconds", config.IPCooldownSeconds);
        WriteUnknown(w, config.Unknown);
    });

    private static AllocationAttributes ParseAttributes(JsonElement e) =>
        new(StringOf(e, "handle_id"), MapOf(e, "secondary"))
        {
            AlternateOwner = MapOf(e, "alternateOwnerAttrs"),
            ReleasedAt = TimeOf(e, "releasedAt"),
        };

    private static void WriteAttributes(Utf8JsonWriter w, AllocationAttributes a)
    {
        w.WriteStartObject();
        if (a.HandleId is not null)
            w.WriteString("handle_id", a.HandleId);
        WriteMap(w, "secondary", a.Secondary);
        WriteMap(w, "alternateOwnerAttrs", a.AlternateOwner);
        if (a.ReleasedAt is { } released)
            w.WriteString("releasedAt", Time(released));
        w.WriteEndObject();
    }

    private static void WriteMap(Utf8JsonWriter w, string name, IReadOnlyDictionary<string, string>? map)
    {
        if (map is null || map.Count == 0)
            return;
        w.WriteStartObject(name);
        foreach (var (key, value) in map.OrderBy(p => p.Key, StringComparer.Ordinal))
            w.WriteString(key, value);
        w.WriteEndObject();
    }

    private static byte[] Write(Action<Utf8JsonWriter> content)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var w = new Utf8JsonWriter(buffer, WriterOptions))
        {
            w.WriteStartObject();
            content(w);
            w.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    private static T Read<T>(ReadOnlyMemory<byte> json, string what, Func<JsonElement, T> read)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? read(document.RootElement)
                : throw new FormatException($"{what}: not a JSON object: {Encoding.UTF8.GetString(json.Span[..Math.Min(json.Length, 80)])}");
        }
        catch (JsonException e)
        {
            throw new FormatException($"{what}: not JSON: {e.Message}", e);
        }
        catch (Exception e) when (e is InvalidOperationException or OverflowException)
        {
            throw new FormatException($"{what}: a value is of the wrong kind: {e.Message}", e);
        }
    }

    private static JsonElement.ArrayEnumerator ArrayOf(JsonElement e, string name) =>
        e.TryGetProperty(name, out var a) && a.ValueKind == JsonValueKind.Array ? a.EnumerateArray() : default;

    private static string? StringOf(JsonElement e, string name) =>
        e.TryGetProperty(name, out var s) && s.ValueKind == JsonValueKind.String ? s.GetString() : null;

    private static bool FlagOf(JsonElement e, string name) => e.TryGetProperty(name, out var flag) && flag.GetBoolean();

    private static DateTimeOffset? TimeOf(JsonElement e, string name) => StringOf(e, name) is { } text
        && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null;

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString(Rfc3339, CultureInfo.InvariantCulture);

    private static Dictionary<string, string>? MapOf(JsonElement e, string name)
    {
        if (!e.TryGetProperty(name, out var m) || m.ValueKind != JsonValueKind.Object)
            return null;
        var map = new Dictionary<string, string>();
        foreach (var p in m.EnumerateObject())
            map[p.Name] = p.Value.GetString() ?? "";
        return map;
    }

    private static Dictionary<string, JsonElement>? UnknownOf(JsonElement root, string[] known)
    {
        Dictionary<string, JsonElement>? unknown = null;
        foreach (var p in root.EnumerateObject())
        {
            if (!known.Contains(p.Name))
                (unknown ??= [])[p.Name] = p.Value.Clone();
        }
        return unknown;
    }

    private static void WriteStringOrNull(Utf8JsonWriter w, string name, string? value)
    {
        if (value is null)
            w.WriteNull(name);
        else
            w.WriteString(name, value);
    }

    private static void WriteUnknown(Utf8JsonWriter w, Dictionary<string, JsonElement>? unknown)
    {
        foreach (var (key, value) in unknown ?? [])
        {
            w.WritePropertyName(key);
            value.WriteTo(w);
        }
    }
}
