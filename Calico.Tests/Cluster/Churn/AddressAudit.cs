using System.Collections.Immutable;
using System.Net;
using System.Text.Json;
using Calico.Tests.Datastore;

namespace Calico.Tests.Cluster.Churn;

/// <summary>
/// Looks at what is stored, as anybody could who has the keys and their JSON: nothing of the product's own reading of
/// blocks is used here. Every address is free, cooling, or a living pod's, and everything that is said twice is said alike.
/// </summary>
internal sealed class AddressAudit(InMemoryDatastore store)
{
    private readonly List<string> _faults = [];
    private readonly Dictionary<string, string> _owners = [];
    private readonly Dictionary<string, Dictionary<string, int>> _counts = [];

    public int Capacity { get; private set; }
    public int Allocated { get; private set; }
    public int Cooling { get; private set; }
    public int Free { get; private set; }

    /// <param name="living">Handle and addresses of each pod that exists and is not cut off.</param>
    public async Task<ImmutableArray<string>> RunAsync(IReadOnlyDictionary<string, ImmutableArray<string>> living)
    {
        var affinities = new Dictionary<string, string>();
        foreach (var key in store.Keys)
        {
            var value = (await store.GetAsync(key))?.Value ?? default;
            if (key.StartsWith("/calico/ipam/v2/assignment/ipv4/block/", StringComparison.Ordinal))
                Block(key, JsonDocument.Parse(value).RootElement, affinities);
        }
        foreach (var key in store.Keys)
        {
            var value = (await store.GetAsync(key))?.Value ?? default;
            if (key.StartsWith("/calico/ipam/v2/handle/", StringComparison.Ordinal))
                Handle(key["/calico/ipam/v2/handle/".Length..], JsonDocument.Parse(value).RootElement);
            else if (key.StartsWith("/calico/ipam/v2/host/", StringComparison.Ordinal))
                Affinity(key, JsonDocument.Parse(value).RootElement, affinities, (await store.GetAsync(key))?.ModRevision);
        }
        foreach (var handle in _counts.Keys)
            _faults.Add($"handle {handle} has addresses and no record");
        foreach (var block in affinities)
            _faults.Add($"block {block.Key} names {block.Value}, which has no affinity to it");
        Pods(living);
        if (Allocated + Free + Cooling != Capacity)
            _faults.Add($"{Allocated} allocated + {Free} free + {Cooling} cooling are not the {Capacity} addresses there are");
        return [.. _faults];
    }

    private void Block(string key, JsonElement block, Dictionary<string, string> affinities)
    {
        var cidr = block.GetProperty("cidr").GetString()!;
        if (!key.EndsWith('/' + cidr.Replace('/', '-'), StringComparison.Ordinal))
            _faults.Add($"{key} says that it is {cidr}");
        var parts = cidr.Split('/');
        var size = 1 << (32 - int.Parse(parts[1], System.Globalization.CultureInfo.InvariantCulture));
        var allocations = block.GetProperty("allocations").EnumerateArray().ToList();
        var attributes = block.GetProperty("attributes").EnumerateArray().ToList();
        var unallocated = block.GetProperty("unallocated").EnumerateArray().Select(u => u.GetInt32()).ToList();
        if (allocations.Count != size)
            _faults.Add($"{cidr}: {allocations.Count} allocations for {size} addresses");
        if (!unallocated.Order().SequenceEqual(Enumerable.Range(0, allocations.Count).Where(i => allocations[i].ValueKind == JsonValueKind.Null)))
            _faults.Add($"{cidr}: the free list and the allocations do not agree");
        if (allocations.Where(a => a.ValueKind != JsonValueKind.Null).Select(a => a.GetInt32()).Distinct().Count() != attributes.Count)
            _faults.Add($"{cidr}: attributes that nobody has");
        var isOwned = block.TryGetProperty("affinity", out var affinity) && affinity.ValueKind == JsonValueKind.String;
        if (isOwned)
            affinities[cidr] = affinity.GetString()!;
        else if (unallocated.Count == size)
            _faults.Add($"{cidr}: empty and without an owner, and yet there");
        Capacity += size;
        Free += unallocated.Count;
        for (var i = 0; i < allocations.Count; i++)
        {
            if (allocations[i].ValueKind == JsonValueKind.Null)
                continue;
            var owner = attributes[allocations[i].GetInt32()];
            if (owner.TryGetProperty("releasedAt", out var released) && released.ValueKind == JsonValueKind.String)
            {
                Cooling++;
                continue;
            }
            Allocated++;
            var handle = owner.GetProperty("handle_id").GetString()!;
            var address = AddressAt(parts[0], i);
            if (!_owners.TryAdd(address, handle))
                _faults.Add($"{address} is in two blocks");
            if (!_counts.TryGetValue(handle, out var counts))
                _counts[handle] = counts = [];
            counts[cidr] = counts.GetValueOrDefault(cidr) + 1;
        }
    }

    private static string AddressAt(string network, int ordinal)
    {
        var bytes = IPAddress.Parse(network).GetAddressBytes();
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(bytes, System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(bytes) + (uint)ordinal);
        return new IPAddress(bytes).ToString();
    }

    private void Handle(string handle, JsonElement record)
    {
        var said = record.GetProperty("block").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetInt32());
        if (!_counts.Remove(handle, out var counted) || !said.OrderBy(s => s.Key).SequenceEqual(counted.OrderBy(c => c.Key)))
            _faults.Add($"handle {handle} says {string.Join(' ', said)} and has {string.Join(' ', counted ?? [])}");
    }

    private void Affinity(string key, JsonElement affinity, Dictionary<string, string> affinities, long? revision)
    {
        // .../host/NODE/ipv4/block/10.0.0.0-26
        var parts = key.Split('/');
        var (node, cidr) = ("host:" + parts[5], parts[^1].Replace('-', '/'));
        if (!affinities.Remove(cidr, out var owner) || owner != node || affinity.GetProperty("state").GetString() != "confirmed")
            _faults.Add($"{key} is {affinity} since {revision}, and the block's owner is {owner ?? "nobody"}");
    }

    private void Pods(IReadOnlyDictionary<string, ImmutableArray<string>> living)
    {
        foreach (var (handle, addresses) in living)
        {
            foreach (var address in addresses)
            {
                if (!_owners.Remove(address, out var owner) || owner != handle)
                    _faults.Add($"{address} is used by {handle}, and stored as {owner ?? "free"}");
            }
        }
        foreach (var (address, handle) in _owners)
            _faults.Add($"{address} has leaked: it is kept for {handle}, which does not exist");
    }
}
