using System.Globalization;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// What a stored block says of its addresses, counted as it is written: each list for itself, nothing repaired or inferred
/// from another.
/// </summary>
public readonly record struct BlockCounts(int Capacity, int Allocated, int Cooling, int Free)
{
    /// <summary>No address is lost and none is counted twice.</summary>
    public bool AddUp => Allocated + Cooling + Free == Capacity;
}

/// <summary>A stored block as a check sees it.</summary>
/// <param name="Cidr">What its key says.</param>
/// <param name="Block">Null when it cannot be worked with; of its addresses nothing is known then.</param>
/// <param name="Fault">What is wrong with it, or null. A block with a fault may still be usable.</param>
/// <param name="Counts">Null when the lists cannot be counted.</param>
public sealed record AuditedBlock(Cidr Cidr, IpamBlock? Block, string? Fault, BlockCounts? Counts);

/// <summary>
/// Looks at a stored block more closely than <see cref="IpamJson.ParseBlock"/>, which repairs what it can: says what is
/// inconsistent, in the words of Calico's own check, and counts.
/// </summary>
public static class BlockAudit
{
    /// <param name="key">The CIDR in the block's key.</param>
    /// <param name="json">The stored value.</param>
    /// <param name="now">Releases later than this come from a clock that is ahead.</param>
    public static AuditedBlock Read(Cidr key, ReadOnlyMemory<byte> json, DateTimeOffset now)
    {
        var (fault, counts) = Inspect(key, json, now);
        try
        {
            var block = IpamJson.ParseBlock(json);
            return block.Cidr == key
                ? new AuditedBlock(key, block, fault, counts)
                : new AuditedBlock(key, null, $"it says that it is {block.Cidr}, which is not what its key says", null);
        }
        catch (FormatException e)
        {
            return new AuditedBlock(key, null, fault ?? e.Message, null);
        }
    }

    private static (string? Fault, BlockCounts? Counts) Inspect(Cidr cidr, ReadOnlyMemory<byte> json, DateTimeOffset now)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            var lists = Lists.Of(cidr, document.RootElement);
            return (lists.Fault(now), lists.Counts);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            // Values of the wrong kind: the reader says which.
            return (null, null);
        }
    }

    private sealed record Lists(int Capacity, int?[] Allocations, int[] Unallocated, DateTimeOffset?[] ReleasedAt)
    {
        public static Lists Of(Cidr cidr, JsonElement root) => new((int)UInt128.Min(cidr.Size, 1 << IpamBlock.MaxHostBits),
            [.. ArrayOf(root, "allocations").Select(a => a.ValueKind == JsonValueKind.Null ? (int?)null : a.GetInt32())],
            [.. ArrayOf(root, "unallocated").Select(u => u.GetInt32())],
            [.. ArrayOf(root, "attributes").Select(ReleaseOf)]);

        public BlockCounts Counts
        {
            get
            {
                var taken = Allocations.Count(a => a is not null);
                var cooling = Allocations.Count(a => a is { } index && index >= 0 && index < ReleasedAt.Length && ReleasedAt[index] is not null);
                return new BlockCounts(Capacity, taken - cooling, cooling, Unallocated.Length);
            }
        }

        public string? Fault(DateTimeOffset now)
        {
            if (Allocations.Length != Capacity)
                return $"expected {Capacity} addresses in this block, but Allocations has {Allocations.Length} entries";
            var used = new bool[ReleasedAt.Length];
            for (var o = 0; o < Capacity; o++)
            {
                if (Allocations[o] is not { } index)
                    continue;
                if (index < 0 || index >= used.Length)
                    return $"allocation {o} indexes a nonexistent attribute {index}";
                used[index] = true;
            }
            for (var i = 0; i < used.Length; i++)
            {
                if (!used[i])
                    return $"attribute index {i} exists but is not indexed by an allocation";
                if (ReleasedAt[i] > now)
                    return $"attribute index {i} has releasedAt in the future, suggesting clock skew";
            }
            return QueueFault();
        }

        private string? QueueFault()
        {
            var seen = new bool[Allocations.Length];
            foreach (var ordinal in Unallocated)
            {
                if (ordinal < 0 || ordinal >= Allocations.Length)
                    return $"ordinal {ordinal} appears in the Unallocated array but is out of the block";
                if (seen[ordinal])
                    return $"ordinal {ordinal} appears more than once in Unallocated array";
                if (Allocations[ordinal] is not null)
                    return $"ordinal {ordinal} is allocated but appears in Unallocated";
                seen[ordinal] = true;
            }
            var allocated = Allocations.Count(a => a is not null);
            return Unallocated.Length + allocated == Allocations.Length
                ? null
                : $"expected {Allocations.Length} addresses in this block, but Unallocated ({Unallocated.Length}) + Allocated ({allocated}) = {Unallocated.Length + allocated}";
        }
    }

    private static JsonElement.ArrayEnumerator ArrayOf(JsonElement e, string name) =>
        e.TryGetProperty(name, out var a) && a.ValueKind == JsonValueKind.Array ? a.EnumerateArray() : default;

    private static DateTimeOffset? ReleaseOf(JsonElement attributes) =>
        attributes.TryGetProperty("releasedAt", out var time) && time.ValueKind == JsonValueKind.String
        && DateTimeOffset.TryParse(time.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var released)
            ? released : null;
}
