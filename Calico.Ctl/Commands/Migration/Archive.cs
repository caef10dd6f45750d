using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Manifests;

namespace Calico.Ctl.Commands.Migration;

/// <summary>A record of IPAM as it is stored under its key.</summary>
internal sealed record IpamEntry(string Key, ImmutableArray<byte> Value);

/// <summary>What is between export and import.</summary>
internal sealed record Archive(ImmutableArray<Resource> Resources, ClusterInformation Cluster, ImmutableArray<IpamEntry> Ipam)
{
    /// <summary>Stands between the three parts.</summary>
    public const string Separator = "===\n";

    /// <summary>The lists of IPAM's part, and how the keys in each begin.</summary>
    public static ImmutableArray<(string Name, ImmutableArray<string> Prefixes)> IpamLists { get; } =
    [
        ("block_affinities", [IpamKeys.HostPrefix, IpamKeys.VirtualPrefix]),
        ("blocks", [IpamKeys.BlockPrefix]),
        ("handles", [IpamKeys.HandlePrefix]),
    ];

    /// <exception cref="CtlException">The text is not what export wrote.</exception>
    public static Archive Parse(string text, string name)
    {
        var parts = text.ReplaceLineEndings("\n").Split(Separator);
        if (parts.Length != 3)
            throw new CtlException($"error while reading migration file: imported file: {name} is improperly formatted. Try recreating with 'calicoctl datastore migrate export'");
        try
        {
            var resources = ManifestReader.Read(parts[0], name).Select(d => ResourceCodec.ParseStrict(d.Json)).ToImmutableArray();
            using var cluster = JsonDocument.Parse(parts[1]);
            using var ipam = JsonDocument.Parse(parts[2]);
            return new Archive(resources, (ClusterInformation)ResourceCodec.Decode(ResourceKind.ClusterInformation, cluster.RootElement), Entries(ipam.RootElement));
        }
        catch (Exception e) when (e is ManifestException or InvalidResourceException or JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw new CtlException($"error while reading migration file: {name}: {e.Message}", e);
        }
    }

    private static ImmutableArray<IpamEntry> Entries(JsonElement root)
    {
        var entries = ImmutableArray.CreateBuilder<IpamEntry>();
        foreach (var (list, prefixes) in IpamLists)
        {
            if (!root.TryGetProperty(list, out var items) || items.ValueKind == JsonValueKind.Null)
                continue;
            foreach (var item in items.EnumerateArray())
                entries.Add(Entry(item, list, key => prefixes.Any(p => key.StartsWith(p, StringComparison.Ordinal))));
        }
        if (root.TryGetProperty("config", out var config) && config.ValueKind != JsonValueKind.Null)
            entries.Add(Entry(config, "config", key => key == IpamKeys.Config));
        return entries.ToImmutable();
    }

    private static ImmutableArray<byte> Compact(JsonElement value)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
            value.WriteTo(writer);
        return [.. buffer.ToArray()];
    }

    private static IpamEntry Entry(JsonElement item, string list, Func<string, bool> belongs)
    {
        var key = item.GetProperty("Key").GetString() ?? "";
        return belongs(key)
            ? new IpamEntry(key, Compact(item.GetProperty("Value")))
            : throw new InvalidOperationException($"{list} has the key '{key}', which does not belong there");
    }
}
