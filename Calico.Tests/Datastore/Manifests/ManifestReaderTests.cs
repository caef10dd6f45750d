using System.Text.Json;
using Calico.Datastore.Manifests;

namespace Calico.Tests.Datastore.Manifests;

[Layer("unit")]
public class ManifestReaderTests
{
    [Theory]
    [InlineData("on", "\"on\"")]
    [InlineData("yes", "\"yes\"")]
    [InlineData("true", "true")]
    [InlineData("'true'", "\"true\"")]
    [InlineData("\"80\"", "\"80\"")]
    [InlineData("80", "80")]
    [InlineData("080", "80")]
    [InlineData("0x1F", "31")]
    [InlineData("0o17", "15")]
    [InlineData("1e3", "1e3")]
    [InlineData("1.10", "1.10")]
    [InlineData(".5", "0.5")]
    [InlineData("+3", "3")]
    [InlineData("-3", "-3")]
    [InlineData("1:100", "\"1:100\"")]
    [InlineData("10.0.0.1", "\"10.0.0.1\"")]
    [InlineData("2026-08-22", "\"2026-08-22\"")]
    [InlineData("~", "null")]
    [InlineData("", "null")]
    [InlineData("!!str 12", "\"12\"")]
    [InlineData("18446744073709551615", "18446744073709551615")]
    [InlineData("e", "\"e\"")]
    [InlineData("-", "[null]")]
    public void Scalars_follow_the_core_schema(string yaml, string json) =>
        Assert.Equal(json, Field($"a:\n  {yaml}"));

    [Fact]
    public void Documents_lists_and_sequences_come_out_as_single_objects()
    {
        var documents = ManifestReader.Read("""
            # a comment
            ---
            kind: A
            ---
            kind: List
            items: [{kind: B}, {kind: C}]
            ---
            kind: IPPoolList
            apiVersion: projectcalico.org/v3
            items:
            - metadata: {name: d}
            ---
            - kind: E
            - kind: List
              items: []
            ---
            """, "f");

        Assert.Equal(["A", "B", "C", "IPPool", "E"], documents.Select(d => d.Json.GetProperty("kind").GetString()));
        Assert.Equal("projectcalico.org/v3", documents[3].Json.GetProperty("apiVersion").GetString());
    }

    [Fact]
    public void Json_is_taken_too()
    {
        var document = Assert.Single(ManifestReader.Read("{\"kind\": \"A\",\n\t\"s\": \"on\", \"n\": [1, 1.5e3, null, \"\\u0041\\/\"]}", "f"));

        Assert.Equal("""{"kind":"A","s":"on","n":[1,1.5e3,null,"A/"]}""", JsonSerializer.Serialize(document.Json));
    }

    [Theory]
    [InlineData("a: [b", 2)]
    [InlineData("a: 1\na: 2", 2)]
    [InlineData("a:\n  b: *x", 2)]
    [InlineData("a: !thing x", 1)]
    [InlineData("a: .inf", 1)]
    [InlineData("just text", 1)]
    [InlineData("a: 1\n? [x]\n: y", 2)]
    [InlineData("invalid yaml content\n  this: is [broken", 2)]
    public void Errors_say_the_line(string yaml, int line)
    {
        var e = Assert.Throws<ManifestException>(() => ManifestReader.Read(yaml, "file.yaml"));

        Assert.Equal(line, e.Line);
        Assert.StartsWith($"file.yaml:{line}:", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("kind: A\nmetadata: {name: a\nspec: {cidr: b}\n", "f:2:")]
    [InlineData("kind: A\nnets: [x, y\nspec: b\n", "f:2:")]
    [InlineData("kind: A\nmetadata:\n\tname: a\n", "f:3:1: While scanning a mapping, found invalid tab")]
    [InlineData("kind: A\n\nmetadata:\n  name: a\n  \tb: c\n", "f:")]
    public void Errors_that_the_parser_gives_no_place_have_one(string yaml, string expected)
    {
        var e = Assert.Throws<ManifestException>(() => ManifestReader.Read(yaml, "f"));

        Assert.StartsWith(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_in_braces_may_go_on_over_lines() =>
        Assert.Equal("""{"x":"b c","y":["d e","f"]}""", Field("a: {x: b\n  c, y: [d\n  e, f]}"));

    [Fact]
    public void However_a_manifest_is_broken_the_error_has_a_place()
    {
        const string whole = "apiVersion: v1\nkind: A\nmetadata: {name: web, namespace: 'shop'}\nspec:\n  selector: \"app == 'web'\"\n"
            + "  ingress:\n  - action: Allow\n    source: {nets: [10.0.0.0/8, \"::/0\"]}\n    text: &a |\n      b\n    again: *a\n";
        const string odd = " \n\t:-{}[]&*!|>'\"%@#?,.a0\\\r~`";
        var random = new Random(5);

        var broken = Enumerable.Range(0, 5000).Count(_ =>
        {
            var text = whole;
            for (var changes = random.Next(1, 5); changes > 0; changes--)
            {
                var at = random.Next(text.Length);
                text = random.Next(2) == 0 ? text.Remove(at, 1) : text.Insert(at, odd[random.Next(odd.Length)].ToString());
            }
            var error = Record.Exception(() => ManifestReader.Read(text, "f"));
            Assert.True(error is null or ManifestException { Line: > 0, Column: > 0 }, $"{text}\n{error}");
            return error is not null;
        });

        Assert.InRange(broken, 1000, 4999);
    }

    [Fact]
    public void Aliases_and_merges_are_resolved() =>
        Assert.Equal("""{"x":{"p":1},"y":{"q":2,"p":1},"z":{"p":1}}""", Field("a:\n  x: &x {p: 1}\n  y: {<<: *x, q: 2}\n  z: *x"));

    [Fact]
    public void Aliases_cannot_multiply_without_end()
    {
        var lines = Enumerable.Range(1, 20).Select(i => $"a{i}: &a{i} [{string.Join(',', Enumerable.Repeat($"*a{i - 1}", 9))}]");

        var e = Assert.Throws<ManifestException>(() => ManifestReader.Read("a0: &a0 [x]\n" + string.Join('\n', lines), "f"));

        Assert.Contains("more than", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Deep_nesting_is_refused() =>
        Assert.Throws<ManifestException>(() => ManifestReader.Read("a: " + new string('[', 5000), "f"));

    [Fact]
    public void Fields_can_be_located()
    {
        var document = Assert.Single(ManifestReader.Read("kind: A\nspec:\n  ingress:\n  - action: Allow\n  - action: Deny\n", "f"));

        Assert.Equal("f:5", document.Locate("spec.ingress[1].action"));
        Assert.Equal("f:4", document.Locate("spec.ingress"));
        Assert.Equal("f:1", document.Locate("metadata.name"));
    }

    private static string Field(string yaml) =>
        JsonSerializer.Serialize(Assert.Single(ManifestReader.Read(yaml, "f")).Json.GetProperty("a"));
}
