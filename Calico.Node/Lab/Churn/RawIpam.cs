using System.Globalization;
using System.Text.Json;

namespace Calico.Node.Lab.Churn;

/// <summary>An address as a block's JSON has it.</summary>
/// <param name="IsCooling">Nobody's, and not free yet.</param>
internal sealed record RawAllocation(string Address, string Block, string? Handle, string? Node, string? Pod, bool IsCooling);

/// <summary>
/// IPAM's part of the datastore, read from its JSON alone: nothing of the product's own reading is used, so that a mistake
/// in it is seen here.
/// </summary>
internal sealed class RawIpam
{
    private const string BlockPrefix = "/calico/ipam/v2/assignment/ipv4/block/";
    private const string HandlePrefix = "/calico/ipam/v2/handle/";
    private const string HostPrefix = "/calico/ipam/v2/host/";

    private readonly List<string> _problems = [];
    private readonly List<RawAllocation> _allocations = [];
    private readonly Dictionary<string, string?> _holders = new(StringComparer.Ordinal);
    private readonly List<(uint First, uint Last, string Block)> _ranges = [];

    private RawIpam()
    {
    }

    public IReadOnlyList<RawAllocation> Allocations => _allocations;

    /// <summary>What is wrong whoever lives.</summary>
    public IReadOnlyList<string> Problems => _problems;
    public int Capacity { get; private set; }
    public int Free { get; private set; }
    public int Cooling => _allocations.Count(a => a.IsCooling);
    public int Blocks => _holders.Count;

    public static RawIpam Read(IReadOnlyDictionary<string, string> store)
    {
        var ipam = new RawIpam();
        foreach (var (key, value) in store.Where(e => e.Key.StartsWith(BlockPrefix, StringComparison.Ordinal)))
            ipam.ReadBlock(key, JsonDocument.Parse(value).RootElement);
        ipam.CompareRanges();
        ipam.CompareAffinities(store);
        ipam.CompareHandles(store);
        if (ipam._allocations.Count + ipam.Free != ipam.Capacity)
            ipam._problems.Add($"{ipam._allocations.Count - ipam.Cooling} allocated, {ipam.Cooling} cooling and {ipam.Free} free are not the {ipam.Capacity} addresses of all blocks");
        return ipam;
    }

    private void ReadBlock(string key, JsonElement block)
    {
        var cidr = block.GetProperty("cidr").GetString()!;
        if (key != BlockPrefix + cidr.Replace('/', '-'))
            _problems.Add($"{key} holds block {cidr}");
        var (first, size) = Range(cidr);
        _ranges.Add((first, first + size - 1, cidr));
        _holders[cidr] = block.TryGetProperty("affinity", out var holder) ? holder.GetString() : null;
        var slots = block.GetProperty("allocations").EnumerateArray().ToList();
        var attributes = block.GetProperty("attributes").EnumerateArray().ToList();
        var free = block.GetProperty("unallocated").EnumerateArray().Select(u => u.GetInt32()).ToList();
        if (slots.Count != size)
            _problems.Add($"block {cidr} has {slots.Count} places");
        Capacity += (int)size;
        Free += free.Count;
        _problems.AddRange(free.GroupBy(f => f).Where(g => g.Count() > 1 || g.Key < 0 || g.Key >= size || slots[g.Key].ValueKind != JsonValueKind.Null)
            .Select(g => $"block {cidr}: place {g.Key} is free {g.Count()} times, and its allocation is {(g.Key >= 0 && g.Key < slots.Count ? slots[g.Key].ToString() : "nowhere")}"));
        var used = new HashSet<int>();
        for (var place = 0; place < slots.Count; place++)
        {
            if (slots[place].ValueKind == JsonValueKind.Null)
            {
                if (!free.Contains(place))
                    _problems.Add($"block {cidr}: place {place} is neither allocated nor free");
                continue;
            }
            var index = slots[place].GetInt32();
            used.Add(index);
            if (index < 0 || index >= attributes.Count)
                _problems.Add($"block {cidr}: place {place} has attribute {index} of {attributes.Count}");
            else
                _allocations.Add(Allocation(Text(first + (uint)place), cidr, attributes[index]));
        }
        _problems.AddRange(Enumerable.Range(0, attributes.Count).Where(i => !used.Contains(i)).Select(i => $"block {cidr}: attribute {i} is nobody's"));
    }

    private static RawAllocation Allocation(string address, string block, JsonElement attribute)
    {
        var secondary = attribute.TryGetProperty("secondary", out var s) && s.ValueKind == JsonValueKind.Object ? s : default;
        string? Fact(string name) => secondary.ValueKind == JsonValueKind.Object && secondary.TryGetProperty(name, out var v) ? v.GetString() : null;
        var cooling = attribute.TryGetProperty("releasedAt", out var released) && released.ValueKind == JsonValueKind.String;
        var handle = attribute.TryGetProperty("handle_id", out var h) ? h.GetString() : null;
        return new RawAllocation(address, block, handle, Fact("node"), Fact("pod"), cooling);
    }

    private void CompareRanges()
    {
        var ordered = _ranges.OrderBy(r => r.First).ToList();
        _problems.AddRange(ordered.Zip(ordered.Skip(1)).Where(p => p.First.Last >= p.Second.First).Select(p => $"blocks {p.First.Block} and {p.Second.Block} overlap"));
    }

    // /calico/ipam/v2/host/NODE/ipv4/block/10.65.0.0-26
    private void CompareAffinities(IReadOnlyDictionary<string, string> store)
    {
        var held = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in store.Where(e => e.Key.StartsWith(HostPrefix, StringComparison.Ordinal) && e.Key.Contains("/ipv4/block/", StringComparison.Ordinal)))
        {
            var node = key[HostPrefix.Length..].Split('/')[0];
            var cidr = key[(key.LastIndexOf('/') + 1)..].Replace('-', '/');
            if (!held.TryAdd(cidr, node))
                _problems.Add($"block {cidr} has an affinity to {held[cidr]} and one to {node}");
            if (JsonDocument.Parse(value).RootElement.GetProperty("state").GetString() is not "confirmed" and var state)
                _problems.Add($"the affinity of {cidr} to {node} is {state}");
            if (!_holders.TryGetValue(cidr, out var holder))
                _problems.Add($"{node} has an affinity to {cidr}, which is no block");
            else if (holder != $"host:{node}")
                _problems.Add($"{node} has an affinity to {cidr}, whose holder is {holder ?? "nobody"}");
        }
        _problems.AddRange(_holders.Where(h => h.Value is { } holder && holder.StartsWith("host:", StringComparison.Ordinal) && !held.ContainsKey(h.Key))
            .Select(h => $"block {h.Key} says {h.Value}, and no affinity does"));
    }

    private void CompareHandles(IReadOnlyDictionary<string, string> store)
    {
        var counted = _allocations.Where(a => !a.IsCooling && a.Handle is not null).GroupBy(a => (a.Handle!, a.Block)).ToDictionary(g => g.Key, g => g.Count());
        var told = new Dictionary<(string, string), int>();
        foreach (var (key, value) in store.Where(e => e.Key.StartsWith(HandlePrefix, StringComparison.Ordinal)))
        {
            var handle = JsonDocument.Parse(value).RootElement.GetProperty("block").EnumerateObject().ToList();
            if (handle.Count == 0)
                _problems.Add($"handle {key[HandlePrefix.Length..]} is empty");
            foreach (var block in handle)
                told[(key[HandlePrefix.Length..], block.Name)] = block.Value.GetInt32();
        }
        _problems.AddRange(told.Keys.Union(counted.Keys).Where(k => told.GetValueOrDefault(k) != counted.GetValueOrDefault(k))
            .Select(k => $"handle {k.Item1} counts {told.GetValueOrDefault(k)} in {k.Item2}, which has {counted.GetValueOrDefault(k)} of it"));
        _problems.AddRange(_allocations.Where(a => !a.IsCooling && a.Handle is null).Select(a => $"{a.Address} is allocated without a handle"));
    }

    private static (uint First, uint Size) Range(string cidr)
    {
        var slash = cidr.IndexOf('/');
        var bytes = cidr[..slash].Split('.').Select(b => uint.Parse(b, CultureInfo.InvariantCulture)).ToArray();
        return ((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3], 1u << (32 - int.Parse(cidr[(slash + 1)..], CultureInfo.InvariantCulture)));
    }

    private static string Text(uint address) => $"{address >> 24}.{(address >> 16) & 255}.{(address >> 8) & 255}.{address & 255}";
}
