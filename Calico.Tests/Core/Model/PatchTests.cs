using System.Text.Json.Nodes;
using Calico.Core.Model.Patch;

namespace Calico.Tests.Core.Model;

[Layer("unit")]
public sealed class PatchTests
{
    // The examples of RFC 7396, appendix A.
    [Theory]
    [InlineData("""{"a":"b"}""", """{"a":"c"}""", """{"a":"c"}""")]
    [InlineData("""{"a":"b"}""", """{"b":"c"}""", """{"a":"b","b":"c"}""")]
    [InlineData("""{"a":"b"}""", """{"a":null}""", """{}""")]
    [InlineData("""{"a":"b","b":"c"}""", """{"a":null}""", """{"b":"c"}""")]
    [InlineData("""{"a":["b"]}""", """{"a":"c"}""", """{"a":"c"}""")]
    [InlineData("""{"a":"c"}""", """{"a":["b"]}""", """{"a":["b"]}""")]
    [InlineData("""{"a":{"b":"c"}}""", """{"a":{"b":"d","c":null}}""", """{"a":{"b":"d"}}""")]
    [InlineData("""{"a":[{"b":"c"}]}""", """{"a":[1]}""", """{"a":[1]}""")]
    [InlineData("""["a","b"]""", """["c","d"]""", """["c","d"]""")]
    [InlineData("""{"a":"b"}""", """["c"]""", """["c"]""")]
    [InlineData("""{"e":null}""", """{"a":1}""", """{"e":null,"a":1}""")]
    [InlineData("""{}""", """{"a":{"bb":{"ccc":null}}}""", """{"a":{"bb":{}}}""")]
    public void A_merge_patch_replaces_adds_and_removes(string target, string patch, string expected)
    {
        Same(expected, MergePatch.Apply(JsonNode.Parse(target), JsonNode.Parse(patch)));
        Same(expected, MergePatch.ApplyStrategic(JsonNode.Parse(target), JsonNode.Parse(patch)));
    }

    [Theory]
    [InlineData("""{"spec":{"a":1,"b":2}}""", """{"spec":{"$patch":"replace","c":3}}""", """{"spec":{"c":3}}""")]
    [InlineData("""{"spec":{"a":1,"b":2}}""", """{"spec":{"$patch":"delete"}}""", """{"spec":{}}""")]
    [InlineData("""{"spec":{"a":1,"b":2}}""", """{"spec":{"$retainKeys":["b","c"],"c":3}}""", """{"spec":{"b":2,"c":3}}""")]
    [InlineData("""{"metadata":{"finalizers":["a"]}}""", """{"metadata":{"finalizers":["b","a"]}}""", """{"metadata":{"finalizers":["a","b"]}}""")]
    [InlineData("""{"metadata":{"finalizers":["a","b"]}}""", """{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}}""", """{"metadata":{"finalizers":["b"]}}""")]
    [InlineData("""{"spec":{"nets":["a"]}}""", """{"spec":{"nets":["b"]}}""", """{"spec":{"nets":["b"]}}""")]
    public void A_strategic_patch_knows_the_directives(string target, string patch, string expected) =>
        Same(expected, MergePatch.ApplyStrategic(JsonNode.Parse(target), JsonNode.Parse(patch)));

    [Fact]
    public void An_unknown_directive_is_refused() => Assert.Contains("/spec: unknown directive $patch: explode",
        Assert.Throws<PatchException>(() => MergePatch.ApplyStrategic(new JsonObject(), JsonNode.Parse("""{"spec":{"$patch":"explode"}}"""))).Message, StringComparison.Ordinal);

    // After RFC 6902, appendix A.
    [Theory]
    [InlineData("""{"foo":"bar"}""", """[{"op":"add","path":"/baz","value":"qux"}]""", """{"foo":"bar","baz":"qux"}""")]
    [InlineData("""{"foo":["bar","baz"]}""", """[{"op":"add","path":"/foo/1","value":"qux"}]""", """{"foo":["bar","qux","baz"]}""")]
    [InlineData("""{"foo":["bar"]}""", """[{"op":"add","path":"/foo/-","value":["abc"]}]""", """{"foo":["bar",["abc"]]}""")]
    [InlineData("""{"baz":"qux","foo":"bar"}""", """[{"op":"remove","path":"/baz"}]""", """{"foo":"bar"}""")]
    [InlineData("""{"foo":["bar","qux","baz"]}""", """[{"op":"remove","path":"/foo/1"}]""", """{"foo":["bar","baz"]}""")]
    [InlineData("""{"baz":"qux"}""", """[{"op":"replace","path":"/baz","value":null}]""", """{"baz":null}""")]
    [InlineData("""{"foo":{"bar":"baz","waldo":"fred"},"qux":{}}""", """[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]""", """{"foo":{"bar":"baz"},"qux":{"thud":"fred"}}""")]
    [InlineData("""{"foo":["all","grass","cows","eat"]}""", """[{"op":"move","from":"/foo/1","path":"/foo/3"}]""", """{"foo":["all","cows","eat","grass"]}""")]
    [InlineData("""{"a":{"b":1}}""", """[{"op":"copy","from":"/a","path":"/c"}]""", """{"a":{"b":1},"c":{"b":1}}""")]
    [InlineData("""{"baz":"qux","foo":["a",2]}""", """[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]""", """{"baz":"qux","foo":["a",2]}""")]
    [InlineData("""{"/":9,"~1":10}""", """[{"op":"test","path":"/~01","value":10},{"op":"remove","path":"/~1"}]""", """{"~1":10}""")]
    [InlineData("""{"foo":null}""", """[{"op":"test","path":"/foo","value":null}]""", """{"foo":null}""")]
    public void A_json_patch_is_carried_out_in_order(string target, string patch, string expected) =>
        Same(expected, JsonPatch.Apply(JsonNode.Parse(target), JsonNode.Parse(patch)));

    [Theory]
    [InlineData("""{"op":"add"}""", "a JSON patch is a list")]
    [InlineData("""[{"op":"add","path":"/a/b","value":1}]""", "operation 1: /a does not exist")]
    [InlineData("""[{"op":"remove","path":"/x"}]""", "/x does not exist")]
    [InlineData("""[{"op":"replace","path":"/x","value":1}]""", "/x does not exist")]
    [InlineData("""[{"op":"test","path":"/foo/0","value":"no"}]""", "the test of /foo/0 failed")]
    [InlineData("""[{"op":"add","path":"/foo/7","value":1}]""", "/foo/7: the list has no such place")]
    [InlineData("""[{"op":"add","path":"/foo/01","value":1}]""", "/foo/01: the list has no such place")]
    [InlineData("""[{"op":"add","path":"foo","value":1}]""", "does not begin with '/'")]
    [InlineData("""[{"op":"add","path":"/a"}]""", "it has no 'value'")]
    [InlineData("""[{"op":"explode","path":"/a"}]""", "there is no operation 'explode'")]
    [InlineData("""[{"op":"move","from":"/foo","path":"/foo/0"}]""", "cannot be moved into itself")]
    [InlineData("""[{"op":"test","path":"/foo/0","value":"bar"},{"op":"remove","path":"/x"}]""", "operation 2")]
    [InlineData("""[7]""", "operation 1: it is not an object")]
    public void A_json_patch_that_does_not_fit_says_where(string patch, string expected) => Assert.Contains(expected,
        Assert.Throws<PatchException>(() => JsonPatch.Apply(JsonNode.Parse("""{"foo":["bar"]}"""), JsonNode.Parse(patch))).Message, StringComparison.Ordinal);

    private static void Same(string expected, JsonNode? actual) =>
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected), actual), actual?.ToJsonString());
}
