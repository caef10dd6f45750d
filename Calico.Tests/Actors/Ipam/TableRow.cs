using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Tests.Actors.Ipam;

/// <summary>Reads rows of the IPAM tables; what a row leaves out is none.</summary>
internal static class TableRow
{
    public static List<JsonElement> RowsOf(string table)
    {
        var rows = Cases.Read("10-ipam/tables.json").EnumerateArray().Where(r => r.GetProperty("table").GetString()!.StartsWith(table, StringComparison.Ordinal)).ToList();
        Skip.If(rows.Count == 0, $"10-ipam/tables.json has no table {table}");
        return rows;
    }

    public static List<JsonElement> Parse(string rows)
    {
        using var document = JsonDocument.Parse(rows);
        return [.. document.RootElement.Clone().EnumerateArray()];
    }

    public static ImmutableArray<IPPool> PoolsOf(JsonElement args)
    {
        string[] named = [.. Items(args, "pool"), .. Items(args, "pools")];
        return [.. (named.Length > 0 ? named : ["192.168.1.0/24", "fd80:24e2:f998:72d6::/120"]).Select((c, i) => MakePool(i, c))];
    }

    public static IPPool MakePool(int number, string cidr, int blockSize = 0, bool isEnabled = true, ImmutableArray<string>? uses = null) => new()
    {
        Metadata = new ObjectMeta { Name = $"pool{number}" },
        Spec = new IPPoolSpec { Cidr = Cidr.Parse(cidr).Network.ToString(), BlockSize = blockSize, Disabled = !isEnabled, AllowedUses = new ValueList<string>(uses ?? []) },
    };

    public static (Cidr? Pool, string Use) Wish(string text)
    {
        var parts = text.Split('+');
        return (Cidr.TryParse(parts[0], out var cidr) ? cidr.Network : null, parts.Length > 1 && parts[1] == "tunnel" ? IPPoolUse.Tunnel : IPPoolUse.Workload);
    }

    public static JsonElement? Find(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) ? value : null;

    public static bool IsThere(JsonElement json, string name) => Find(json, name) is { ValueKind: not (JsonValueKind.Null or JsonValueKind.False) };

    public static string? Text(JsonElement json, string name) => Find(json, name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    public static int Number(JsonElement json, string name) => Find(json, name) is { ValueKind: JsonValueKind.Number } number ? number.GetInt32() : 0;

    public static int Count(JsonElement json, string name) =>
        Find(json, name) is { ValueKind: JsonValueKind.Array } list ? list.GetArrayLength() : Number(json, name);

    public static IEnumerable<string> Items(JsonElement json, string name) =>
        Find(json, name) is { ValueKind: JsonValueKind.Array } list ? [.. list.EnumerateArray().Where(i => i.ValueKind == JsonValueKind.String).Select(i => i.GetString()!)] : [];
}
