using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;

namespace Calico.Tests.Core.Model.Kubernetes;

/// <summary>Replays the conversion tables; each test checks all rows of a kind and lists those that differ.</summary>
[Layer("unit")]
public class ConversionCaseTests
{
    [SkippableTheory]
    [InlineData("k8s-networkpolicy")]
    [InlineData("k8s-clusternetworkpolicy")]
    [InlineData("pod")]
    [InlineData("namespace")]
    [InlineData("serviceaccount")]
    public void Objects_become_what_upstream_makes_of_them(string kind) =>
        Check("02-k8s-conversion/cases.json", kind, row => Differs(row, Convert(kind, row.GetProperty("input"))));

    [SkippableFact]
    public void Policies_of_the_connectivity_tables_become_what_upstream_makes_of_them() =>
        Check("02-k8s-conversion/networkpolicies-generated.json", "np", row => Differs(row, Convert("k8s-networkpolicy", row.GetProperty("input"))));

    [SkippableFact]
    public void Label_selectors_become_selectors() => Check("02-k8s-conversion/cases.json", "k8sSelectorToCalico", row =>
    {
        var labels = row.GetProperty("input")[0].GetRawText();
        using var policy = JsonDocument.Parse("{\"kind\":\"NetworkPolicy\",\"spec\":{\"podSelector\":" + labels + "}}");
        var selector = KubeCodec.Decode<KubeNetworkPolicy>(policy.RootElement).Spec.PodSelector;
        var text = row.GetProperty("input")[1].GetString() == "pod"
            ? PolicyConversion.PodSelector(selector)
            : PolicyConversion.NamespaceSelector(selector);
        return text == row.GetProperty("output").GetString() ? null : text;
    });

    [SkippableFact]
    public void Uids_are_reversed_bit_by_bit() => Check("02-k8s-conversion/cases.json", "ConvertUID", row =>
    {
        var expected = row.GetProperty("output").GetString();
        var actual = KubeNames.TryConvertUid(row.GetProperty("input")[0].GetString()!, out var uid) ? uid : null;
        return actual == expected ? null : actual ?? "refused";
    });

    [SkippableFact]
    public void Interface_names_are_hashes_of_the_pod() => Check("02-k8s-conversion/cases.json", "VethNameForWorkload", row =>
    {
        var actual = KubeNames.InterfaceName(row.GetProperty("input")[0].GetString()!, row.GetProperty("input")[1].GetString()!);
        return actual == row.GetProperty("output").GetString() ? null : actual;
    });

    [SkippableFact]
    public void Port_lists_are_simplified() => Check("02-k8s-conversion/cases.json", "SimplifyPorts", row =>
    {
        var ports = row.GetProperty("input").GetString()!.Split(',').Select(p => Port.Parse(p)).ToArray();
        var actual = string.Join(',', PolicyConversion.SimplifyPorts([.. ports]));
        return actual == row.GetProperty("output").GetString() ? null : actual;
    });

    private static JsonNode? Convert(string kind, JsonElement input) => kind switch
    {
        "k8s-networkpolicy" => Node(PolicyConversion.FromNetworkPolicy(KubeCodec.Decode<KubeNetworkPolicy>(input)).Policy),
        "k8s-clusternetworkpolicy" => Node(ClusterPolicyConversion.Convert(KubeCodec.Decode<KubeClusterNetworkPolicy>(input)).Policy),
        "pod" => Node(PodConversion.Convert(KubeCodec.Decode<KubePod>(input)).Endpoint),
        "namespace" => Node(ProfileConversion.FromNamespace(KubeCodec.Decode<KubeNamespace>(input))),
        _ => Node(ProfileConversion.FromServiceAccount(KubeCodec.Decode<KubeServiceAccount>(input))),
    };

    private static string? Differs(JsonElement row, JsonNode? actual)
    {
        var output = row.GetProperty("output");
        if (output.ValueKind == JsonValueKind.Array)
            output = output[0];
        var expected = output.ValueKind == JsonValueKind.Null || !output.TryGetProperty("value", out var value)
            ? null
            : JsonNode.Parse(value.GetRawText());
        // The tables give objects to the converters without a revision to compare.
        (actual?["metadata"] as JsonObject)?.Remove("resourceVersion");
        return JsonNode.DeepEquals(actual, expected) ? null : actual?.ToJsonString() ?? "nothing";
    }

    private static JsonNode? Node(Resource? resource) =>
        resource is null ? null : JsonNode.Parse(ResourceCodec.ToJson(resource).GetRawText());

    private static void Check(string file, string kind, Func<JsonElement, string?> difference)
    {
        var rows = Cases.Read(file).EnumerateArray()
            .Where(r => r.GetProperty("id").GetString()!.StartsWith(kind + "-", StringComparison.Ordinal)).ToList();

        Assert.NotEmpty(rows);
        Assert.Empty(rows.Select(r => (Row: r, Difference: difference(r))).Where(r => r.Difference is not null)
            .Select(r => $"{r.Row.GetProperty("id")} wants {r.Row.GetProperty("output").GetRawText()} but got {r.Difference}"));
    }
}
