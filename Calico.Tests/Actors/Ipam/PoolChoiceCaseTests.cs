using System.Text.Json;
using Calico.Actors.Ipam;
using Calico.Core.Model.Resources;

namespace Calico.Tests.Actors.Ipam;

/// <summary>Replays which of two pools a request may draw from.</summary>
[Layer("conformance")]
public class PoolChoiceCaseTests
{
    private static readonly Dictionary<string, string> Labels = new() { ["foo"] = "bar" };

    [SkippableFact]
    public void A_request_draws_from_the_pools_that_upstream_chooses()
    {
        var failures = new List<string>();
        foreach (var row in Cases.Read("10-ipam/tables.json").EnumerateArray()
            .Where(r => r.GetProperty("table").GetString() == "determinePools tests IPV4"))
        {
            var args = row.GetProperty("args");
            IPPool[] pools = [Pool(1, "10.0.0.0/24", args), Pool(2, "20.0.0.0/24", args)];
            string[] named = [.. pools.Where((_, i) => args.GetProperty($"requestPool{i + 1}").GetBoolean()).Select(p => p.Spec.Cidr!)];

            var chosen = PoolChoice.For(pools, named, Labels, new Dictionary<string, string>(), out var error);

            // The table writes the first pool's CIDR with a host address.
            var expected = args.GetProperty("expectation").EnumerateArray().Select(c => c.GetString()!.Replace("10.0.0.1/", "10.0.0.0/", StringComparison.Ordinal));
            if ((error is not null) != args.GetProperty("expectErr").GetBoolean() || (error is null && !expected.SequenceEqual(chosen.Select(p => p.Cidr.ToString()))))
                failures.Add($"{row.GetProperty("id")} {row.GetProperty("name")}: {string.Join(' ', chosen.Select(p => p.Cidr))} {error}");
        }
        Assert.Empty(failures);
    }

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
}
