using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Tests.Cni;

[Layer("aot")]
public class ShimProtocolCases(ShimBed bed) : IClassFixture<ShimBed>
{
    [SkippableFact]
    public async Task The_shim_answers_every_call_as_the_table_says()
    {
        var cases = JsonNode.Parse(File.ReadAllBytes(Cases.Find("14-cni/protocol.json")))!.AsArray();
        await using var node = bed.StartNode();
        var wrong = new List<string>();
        foreach (var test in cases.Select(c => c!.AsObject()))
        {
            var environment = test["env"]!.AsObject().ToDictionary(e => e.Key, e => Fill(e.Value!.GetValue<string>()));
            environment["CALICO_CNI_SOCKET"] = bed.Socket;
            var run = await bed.RunAsync(environment, Fill(test["stdin"]!.GetValue<string>()), test["binary"]!.GetValue<string>());
            if (Mismatch(test["expect"]!.AsObject(), run) is { } mismatch)
                wrong.Add($"{test["id"]}: {mismatch}; exit {run.ExitCode}, {run.Output}");
        }

        Assert.NotEmpty(cases);
        Assert.Empty(wrong);
    }

    private string Fill(string text) => text
        .Replace("${NETNS}", bed.PodNetns, StringComparison.Ordinal)
        .Replace("${NODE}", "node-1", StringComparison.Ordinal)
        .Replace("${BIN}", "/opt/cni/bin", StringComparison.Ordinal)
        .Replace("${ETCD}", "http://127.0.0.1:2379", StringComparison.Ordinal);

    private static string? Mismatch(JsonObject expect, ShimRun run)
    {
        foreach (var (key, wanted) in expect)
        {
            var ok = key switch
            {
                "exitZero" => run.ExitCode == 0,
                "exitNonZero" => run.ExitCode != 0,
                "stdoutIsExactlyOneJsonObject" => IsObject(run.Output),
                "stdoutJson" => IsObject(run.Output) && wanted!.AsObject().All(w => Matches(w.Value!, run.Json[w.Key])),
                "msgContains" => wanted!.AsArray().All(w =>
                    (run.Message + run.Details).Contains(w!.GetValue<string>(), StringComparison.Ordinal)),
                _ => throw new InvalidOperationException($"the table expects '{key}', which this test does not know"),
            };
            if (!ok)
                return key;
        }
        return null;
    }

    private static bool Matches(JsonNode wanted, JsonNode? actual) => wanted.GetValueKind() != JsonValueKind.String
        ? JsonNode.DeepEquals(wanted, actual)
        : wanted.GetValue<string>() switch
        {
            "<any>" => actual is not null,
            "<non-empty>" => actual is JsonArray { Count: > 0 } || (actual is JsonValue v && v.ToString().Length > 0),
            "<any non-zero>" => actual is not null && actual.GetValue<int>() != 0,
            ['<', .. var either, '>'] when either.Contains(" or ", StringComparison.Ordinal) =>
                actual is not null && either.Split(" or ").Contains(actual.ToString()),
            var text => actual?.ToString() == text,
        };

    private static bool IsObject(string text)
    {
        try
        {
            return JsonNode.Parse(text) is JsonObject;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
