using System.Collections.Frozen;
using System.Text.Json;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes;

/// <summary>What the API serves, asked once and again when something that is needed was not there.</summary>
internal sealed class Discovery(KubeClient client) : IDisposable
{
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromSeconds(10);

    private readonly SemaphoreSlim _asking = new(1);
    private KeyMaps? _maps;
    private long _askedAt;

    /// <summary>The maps of this cluster.</summary>
    public async Task<KeyMaps> MapsAsync(CancellationToken cancellation)
    {
        var known = Volatile.Read(ref _maps);
        if (known is { IsComplete: true } || (known is not null && client.Options.Time.GetElapsedTime(_askedAt) < AskAgainAfter))
            return known;
        await _asking.WaitAsync(cancellation);
        try
        {
            known = Volatile.Read(ref _maps);
            if (known is { IsComplete: true } || (known is not null && client.Options.Time.GetElapsedTime(_askedAt) < AskAgainAfter))
                return known;
            known = await AskAsync(cancellation);
            _askedAt = client.Options.Time.GetTimestamp();
            Volatile.Write(ref _maps, known);
            return known;
        }
        finally
        {
            _asking.Release();
        }
    }

    private async Task<KeyMaps> AskAsync(CancellationToken cancellation)
    {
        var isClassic = client.Options.CalicoApiGroup is { } group
            ? group.StartsWith(ResourceMap.ClassicGroup, StringComparison.Ordinal)
            : await IsClassicAsync(cancellation);
        var served = new HashSet<(string Group, string Plural)>();
        foreach (var version in new KeyMaps(isClassic, client.Options.UsePodCidr, _ => true).Resources.GroupBy(r => r.GroupPath))
        {
            if (await client.ReadPathAsync(version.Key, cancellation) is not { } list)
                continue;
            foreach (var name in Names(list, "resources"))
                served.Add((version.First().Group, name));
        }
        return new KeyMaps(isClassic, client.Options.UsePodCidr, r => served.Contains((r.Group, r.Plural)));
    }

    // Both groups can be there: then the v3 one is the aggregated API on top of the classic objects.
    private async Task<bool> IsClassicAsync(CancellationToken cancellation)
    {
        var groups = await client.ReadPathAsync("/apis", cancellation) is { } list ? Names(list, "groups").ToFrozenSet() : [];
        return groups.Contains(ResourceMap.ClassicGroup) || !groups.Contains(ResourceMap.NativeGroup);
    }

    private static IEnumerable<string> Names(JsonElement json, string member) =>
        json.TryGetProperty(member, out var all) && all.ValueKind == JsonValueKind.Array
            ? all.EnumerateArray().Select(e => KubeItem.Text(e, "name")).OfType<string>()
            : [];

    public void Dispose() => _asking.Dispose();
}
