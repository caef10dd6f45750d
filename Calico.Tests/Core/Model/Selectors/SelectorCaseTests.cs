using System.Text.Json;
using Calico.Core.Model.Selectors;

namespace Calico.Tests.Core.Model.Selectors;

/// <summary>Replays the selector tables; every row of a kind is checked in one test, which lists those that fail.</summary>
[Layer("unit")]
public class SelectorCaseTests
{
    private static readonly Dictionary<string, string> TokenNames = new() { ["EOF"] = nameof(SelectorTokenKind.Eof) };

    [SkippableFact]
    public void Labels_match_as_in_the_table() => Check("cases.json", "evaluate", row =>
        Selector.Parse(Text(row, "selector")).Evaluate(Labels(row)) == row.GetProperty("match").GetBoolean());

    [SkippableFact]
    public void Invalid_text_is_refused() => Check("cases.json", "parse", row =>
        Selector.TryParse(Text(row, "selector"), out _, out _) == row.GetProperty("valid").GetBoolean());

    [SkippableFact]
    public void Canonical_text_and_id_are_as_in_the_table() => Check("cases.json", "canonicalise", HasCanonicalForm);

    [SkippableFact]
    public void Prefixed_labels_are_as_in_the_table() => Check("cases.json", "prefix-labels", row =>
        Selector.Parse(Text(row, "selector")).WithLabelPrefix(Text(row, "prefix")).CanonicalText == Text(row, "canonical"));

    [SkippableFact]
    public void Tokens_are_as_in_the_table() => Check("cases.json", "tokenize", HasTokens);

    [SkippableFact]
    public void Generated_selectors_have_upstreams_form_id_and_verdicts() => Check("generated.json", null, row =>
        HasCanonicalForm(row) && row.GetProperty("evaluations").EnumerateArray().All(e =>
            Selector.Parse(Text(row, "selector")).Evaluate(Labels(e)) == e.GetProperty("match").GetBoolean()));

    [SkippableFact]
    public void Requirements_hold_for_every_generated_match() => Check("generated.json", null, row =>
    {
        var selector = Selector.Parse(Text(row, "selector"));
        return row.GetProperty("evaluations").EnumerateArray().Select(Labels).Where(selector.Evaluate).All(labels =>
            selector.Requirements.All(r => r.Presence == LabelPresence.Forbidden
                ? !labels.ContainsKey(r.Key)
                : labels.TryGetValue(r.Key, out var v) && (r.Values is not { } values || values.Contains(v))));
    });

    [SkippableFact]
    public void Mutated_text_is_taken_or_refused_as_upstream_does() => Check("mutated.json", null, row =>
        row.GetProperty("valid").GetBoolean()
            ? HasCanonicalForm(row)
            : !Selector.TryParse(Text(row, "selector"), out _, out _));

    private static bool HasCanonicalForm(JsonElement row)
    {
        var selector = Selector.Parse(Text(row, "selector"));
        var again = Selector.Parse(selector.CanonicalText);
        return selector.CanonicalText == Text(row, "canonical") && again.CanonicalText == selector.CanonicalText
            && (!row.TryGetProperty("uid", out var uid) || uid.GetString() == selector.Id);
    }

    private static bool HasTokens(JsonElement row)
    {
        var valid = SelectorTokenizer.TryTokenize(Text(row, "selector"), out var tokens, out _);
        if (!valid || !row.GetProperty("valid").GetBoolean())
            return valid == row.GetProperty("valid").GetBoolean();
        var expected = row.GetProperty("tokens").EnumerateArray()
            .Select(t => t.EnumerateArray().Select(e => e.GetString()!).ToArray())
            .Select(t => (TokenNames.GetValueOrDefault(t[0], t[0]), t.Length > 1 ? t[1] : ""));
        return expected.SequenceEqual(tokens.Select(t => (t.Kind.ToString(), t.Text)));
    }

    private static void Check(string file, string? kind, Func<JsonElement, bool> holds)
    {
        var rows = Cases.Read("01-selectors/" + file).EnumerateArray()
            .Where(r => kind is null || Text(r, "kind") == kind).ToList();

        Assert.NotEmpty(rows);
        Assert.Empty(rows.Where(r => !holds(r)).Select(r => r.GetRawText()));
    }

    private static string Text(JsonElement row, string name) => row.GetProperty(name).GetString()!;

    private static Dictionary<string, string> Labels(JsonElement row) =>
        row.GetProperty("labels").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!);
}
