using System.Globalization;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>A stored block as a check sees it.</summary>
/// <param name="Cidr">What its key says.</param>
/// <param name="Block">Null when it cannot be worked with; of its addresses nothing is known then.</param>
/// <param name="Fault">What is wrong with it, or null. A block with a fault may still be usable.</param>
public sealed record AuditedBlock(Cidr Cidr, IpamBlock? Block, string? Fault);

/// <summary>
/// Looks at a stored block more closely than <see cref="IpamJson.ParseBlock"/>, which repairs what it can: says what is
/// inconsistent, in the words of Calico's own check.
/// </summary>
public static class BlockAudit
{
    /// <param name="key">The CIDR in the block's key.</param>
    /// <param name="json">The stored value.</param>
    /// <param name="now">Releases later than this come from a clock that is ahead.</param>
    public static AuditedBlock Read(Cidr key, ReadOnlyMemory<byte> json, DateTimeOffset now)
    {
        try
        {
            var block = IpamJson.ParseBlock(json);
            if (block.Cidr != key)
                return new AuditedBlock(key, null, $"it says that it is {block.Cidr}, which is not what its key says");
            return new AuditedBlock(key, block, FaultOf(key, json, now));
        }
        catch (FormatException e)
        {
            return new AuditedBlock(key, null, FaultOf(key, json, now) ?? e.Message);
        }
    }

    private static string? FaultOf(Cidr cidr, ReadOnlyMemory<byte> json, DateTimeOffset now)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return FaultOf(cidr, document.RootElement, now);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // Values of the wrong kind: the reader says which.
            return null;
        }
    }

    private static string? FaultOf(Cidr cidr, JsonElement root, DateTimeOffset now)
    {
        var capacity = (int)UInt128.Min(cidr.Size, 1 << IpamBlock.MaxHostBits);
        var allocations = ArrayOf(root, "allocations").Select(a => a.ValueKind == JsonValueKind.Null ? (int?)null : a.GetInt32()).ToArray();
        var unallocated = ArrayOf(root, "unallocated").Select(u => u.GetInt32()).ToArray();
        var attributes = ArrayOf(root, "attributes").ToArray();
        if (allocations.Length != capacity)
            return $"expected {capacity} addresses in this block, but Allocations has {allocations.Length} entries";

        var used = new bool[attributes.Length];
        for (var o = 0; o < capacity; o++)
        {
            if (allocations[o] is not { } index)
                continue;
            if (index < 0 || index >= attributes.Length)
                return $"allocation {o} indexes a nonexistent attribute {index}";
            used[index] = true;
        }
        for (var i = 0; i < attributes.Length; i++)
        {
            if (!used[i])
                return $"attribute index {i} exists but is not indexed by an allocation";
            if (ReleasedAt(attributes[i]) > now)
                return $"attribute index {i} has releasedAt in the future, suggesting clock skew";
        }
        return FaultOf(allocations, unallocated);
    }

    private static string? FaultOf(int?[] allocations, int[] unallocated)
    {
        var seen = new bool[allocations.Length];
        foreach (var ordinal in unallocated)
        {
            if (ordinal < 0 || ordinal >= allocations.Length)
                return $"ordinal {ordinal} appears in the Unallocated array but is out of the block";
            if (seen[ordinal])
                return $"ordinal {ordinal} appears more than once in Unallocated array";
            if (allocations[ordinal] is not null)
                return $"ordinal {ordinal} is allocated but appears in Unallocated";
            seen[ordinal] = true;
        }
        var allocated = allocations.Count(a => a is not null);
        return unallocated.Length + allocated == allocations.Length
            ? null
            : $"expected {allocations.Length} addresses in this block, but Unallocated ({unallocated.Length}) + Allocated ({allocated}) = {unallocated.Length + allocated}";
    }

    private static JsonElement.ArrayEnumerator ArrayOf(JsonElement e, string name) =>
        e.TryGetProperty(name, out var a) && a.ValueKind == JsonValueKind.Array ? a.EnumerateArray() : default;

    private static DateTimeOffset? ReleasedAt(JsonElement attributes) =>
        attributes.TryGetProperty("releasedAt", out var time) && time.ValueKind == JsonValueKind.String
        && DateTimeOffset.TryParse(time.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var released)
            ? released : null;
}
