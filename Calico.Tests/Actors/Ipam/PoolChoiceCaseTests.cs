using System.Text.Json;
using Calico.Actors.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;

namespace Calico.Tests.Actors.Ipam;

/// <summary>Replays which of two pools a request may draw from, and which pools a node and a namespace select.</summary>
[Layer("conformance")]
public class PoolChoiceCaseTests
{
    private static readonly Dictionary<string, string> Labels = new() { ["foo"] = "bar" };

    [SkippableFact]
    public void A_request_draws_from_the_pools_that_upstream_chooses()
    {
        var failures = new List<string>();
        foreach (var table in Rows().Where(r => TableOf(r).StartsWith("determinePools", StringComparison.Ordinal)).GroupBy(TableOf))
        {
            var cidrs = new[] { CidrOf(table, 1) ?? "10.0.0.0/24", CidrOf(table, 2) ?? "20.0.0.0/24" };
            foreach (var row in table)
            {
                var args = row.GetProperty("args");
                IPPool[] pools = [Pool(1, cidrs[0], args), Pool(2, cidrs[1], args)];
                string[] named = [.. pools.Where((_, i) => args.GetProperty($"requestPool{i + 1}").GetBoolean()).Select(p => p.Spec.Cidr!)];

                var chosen = PoolChoice.For(pools, named, Labels, new Dictionary<string, string>(), out var error);

                var expected = args.GetProperty("expectation").EnumerateArray().Select(c => Masked(c.GetString()!));
                if ((error is not null) != args.GetProperty("expectErr").GetBoolean() || (error is null && !expected.SequenceEqual(chosen.Select(p => p.Cidr.ToString()))))
                    failures.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: {string.Join(' ', chosen.Select(p => p.Cidr))} {error}");
            }
        }
        Assert.Empty(failures);
    }

    [SkippableFact]
    public void A_pool_is_selected_by_the_labels_of_node_and_namespace_as_upstream_does()
    {
        var rows = Rows().Where(r => TableOf(r).Contains("namespace selector", StringComparison.OrdinalIgnoreCase)
            || TableOf(r).Contains("namespaceSelector", StringComparison.OrdinalIgnoreCase)).ToList();
        Skip.If(rows.Count == 0, "10-ipam/tables.json has no table of namespace selectors");
        var failures = new List<string>();
        foreach (var row in rows)
        {
            var args = row.GetProperty("args");
            IPPool[] pools = Find(args, "pools") is { ValueKind: JsonValueKind.Array } list ? [.. list.EnumerateArray().Select(SelectingPool)] : [SelectingPool(args, 0)];
            var chosen = PoolChoice.For(pools, [], LabelsOf(args, "node"), LabelsOf(args, "namespace"), out _)
                .Select(p => p.Name).ToHashSet(StringComparer.Ordinal);

            var outcome = args.EnumerateObject().Where(p => p.Name.StartsWith("exp", StringComparison.OrdinalIgnoreCase)).ToLookup(
                p => p.Name.Contains("err", StringComparison.OrdinalIgnoreCase), p => p.Value);
            // A selector that cannot be read selects nothing.
            var isError = outcome[true].Any(v => v.ValueKind is not (JsonValueKind.Null or JsonValueKind.False));
            var isRight = isError ? chosen.Count == 0 : outcome[false].FirstOrDefault() switch
            {
                { ValueKind: JsonValueKind.True } => chosen.Count == pools.Length,
                { ValueKind: JsonValueKind.False } => chosen.Count == 0,
                { ValueKind: JsonValueKind.Array } names => pools.All(p => chosen.Contains(p.Name)
                    == names.EnumerateArray().Any(n => n.ToString() == p.Name || n.ToString() == p.Spec.Cidr)),
                _ => false,
            };
            if (!isRight)
                failures.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: selected {string.Join(' ', chosen)} of {args}");
        }
        Assert.Empty(failures);
    }

    [Theory]
    [InlineData(null, "Workload", true)]
    [InlineData(null, "Tunnel", true)]
    [InlineData(null, "LoadBalancer", false)]
    [InlineData("Workload", "Tunnel", false)]
    [InlineData("Tunnel", "Tunnel", true)]
    [InlineData("Tunnel", "Workload", false)]
    public void A_pool_gives_addresses_for_the_uses_that_it_allows(string? allowed, string use, bool gives)
    {
        var pool = new IPPool
        {
            Metadata = new ObjectMeta { Name = "pool" },
            Spec = new IPPoolSpec { Cidr = "10.0.0.0/24", AllowedUses = allowed is null ? [] : new ValueList<string>([allowed]) },
        };

        Assert.Equal(gives ? 1 : 0, PoolChoice.For([pool], [], Labels, new Dictionary<string, string>(), out _, use).Length);
        PoolChoice.For([pool], ["pool"], Labels, new Dictionary<string, string>(), out var error, use);
        Assert.Equal(gives, error is null);
    }

    private static IEnumerable<JsonElement> Rows() => Cases.Read("10-ipam/tables.json").EnumerateArray();

    private static string TableOf(JsonElement row) => row.GetProperty("table").GetString()!;

    // Rows write a pool's CIDR with a host address here and there.
    private static string Masked(string cidr) => Calico.Core.Net.Cidr.Parse(cidr).Network.ToString();

    /// <summary>The CIDR of the table's first or second pool: what rows expect that ask for this one alone and get it.</summary>
    private static string? CidrOf(IEnumerable<JsonElement> table, int pool) => table.Select(r => r.GetProperty("args"))
        .Where(a => a.GetProperty($"requestPool{pool}").GetBoolean() && !a.GetProperty($"requestPool{3 - pool}").GetBoolean()
            && a.GetProperty("expectation") is { ValueKind: JsonValueKind.Array } e && e.GetArrayLength() == 1)
        .Select(a => Masked(a.GetProperty("expectation")[0].GetString()!)).FirstOrDefault();

    private static IPPool SelectingPool(JsonElement json, int index) => new()
    {
        Metadata = new ObjectMeta { Name = TextOf(json, "name") ?? $"pool{index}" },
        Spec = new IPPoolSpec
        {
            Cidr = TextOf(json, "cidr") ?? $"10.0.{index}.0/24",
            NodeSelector = TextOf(json, "nodeSelector"),
            NamespaceSelector = TextOf(json, "namespaceSelector"),
        },
    };

    private static string? TextOf(JsonElement json, string name) =>
        Find(json, name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    private static IPPool Pool(int number, string cidr, JsonElement args) => new()
    {
        Metadata = new ObjectMeta { Name = $"pool{number}" },
        Spec = new IPPoolSpec
        {
            Cidr = cidr,
            Disabled = !args.GetProperty($"pool{number}Enabled").GetBoolean(),
            NodeSelector = args.GetProperty($"pool{number}Selector").GetString(),
        },
    };

    /// <summary>A field of this name at any depth; names of Go and of JSON differ in case.</summary>
    private static JsonElement? Find(JsonElement json, string name)
    {
        if (json.ValueKind != JsonValueKind.Object)
            return null;
        foreach (var field in json.EnumerateObject())
        {
            if (field.Name.Equals(name, StringComparison.OrdinalIgnoreCase) && field.Value.ValueKind != JsonValueKind.Null)
                return field.Value;
            if (Find(field.Value, name) is { } found)
                return found;
        }
        return null;
    }

    // labels of node or namespace: a field of their own, or the metadata of an object.
    private static Dictionary<string, string> LabelsOf(JsonElement args, string what)
    {
        var labels = Find(args, what + "Labels") ?? (Find(args, what) is { } owner ? Find(owner, "labels") : null)
            ?? (what == "namespace" && Find(args, "nsLabels") is { } abbreviated ? abbreviated : null);
        return labels is { ValueKind: JsonValueKind.Object } map
            ? map.EnumerateObject().ToDictionary(l => l.Name, l => l.Value.GetString() ?? "") : [];
    }
}
