using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Ctl.Output.Templates;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Output;

/// <summary>What one argument of get found: a single resource, or with a revision a list of a kind.</summary>
internal sealed record Listing(ResourceKind Kind, IReadOnlyList<Resource> Items, long? Revision)
{
    /// <summary>The resource, or the list as an object of the list kind.</summary>
    public JsonElement ToJson()
    {
        if (Revision is not { } revision)
            return ResourceCodec.ToJson(Items[0]);
        var list = new JsonObject
        {
            ["kind"] = Kind.ListKind,
            ["apiVersion"] = Resource.CurrentApiVersion,
            ["metadata"] = new JsonObject { ["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture) },
            ["items"] = new JsonArray([.. Items.Select(i => JsonNode.Parse(ResourceCodec.ToJson(i).GetRawText()))]),
        };
        using var document = JsonDocument.Parse(list.ToJsonString());
        return document.RootElement.Clone();
    }
}

/// <summary>How get writes its results.</summary>
internal abstract class OutputFormat
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <exception cref="CtlException">There is no such format.</exception>
    public static OutputFormat Parse(string text, bool printNamespace)
    {
        switch (text)
        {
            case "yaml" or "yml": return new YamlFormat();
            case "json": return new JsonFormat();
            case "ps": return new TableFormat(null, isWide: false, printNamespace);
            case "wide": return new TableFormat(null, isWide: true, printNamespace);
            default: break;
        }
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        var (name, value) = equals < 0 ? (text, "") : (text[..equals], text[(equals + 1)..]);
        return name switch
        {
            "go-template" => new TemplateFormat(value.Length > 0 ? value : throw new CtlException("need to specify a template")),
            "go-template-file" => new TemplateFormat(value.Length > 0 ? ResourceFiles.ReadFile(value) : throw new CtlException("need to specify a template file")),
            "custom-columns" => value.Split(',', StringSplitOptions.RemoveEmptyEntries) is { Length: > 0 } columns
                ? new TableFormat(columns, isWide: false, printNamespace: false)
                : throw new CtlException("need to specify at least one column"),
            _ => throw new CtlException($"unrecognized output format '{text}': use ps, wide, yaml, json, custom-columns=A,B, go-template=TEMPLATE or go-template-file=FILE"),
        };
    }

    public abstract Task WriteAsync(TextWriter output, ResourceStore store, IReadOnlyList<Listing> results, CancellationToken cancellation);

    private static JsonElement ToJson(IReadOnlyList<Listing> results) => OneOrList([.. results.Select(r => r.ToJson())]);

    /// <summary>One object as it is, several as a list of them.</summary>
    public static JsonElement OneOrList(IReadOnlyList<JsonElement> objects)
    {
        if (objects is [var only])
            return only;
        using var document = JsonDocument.Parse($"[{string.Join(',', objects.Select(o => o.GetRawText()))}]");
        return document.RootElement.Clone();
    }

    private sealed class YamlFormat : OutputFormat
    {
        public override Task WriteAsync(TextWriter output, ResourceStore store, IReadOnlyList<Listing> results, CancellationToken cancellation) =>
            results.Count == 0 ? Task.CompletedTask : output.WriteAsync(YamlText.From(ToJson(results)));
    }

    /// <summary>JSON for people and programs: indented, and not escaped beyond need.</summary>
    public static string Indent(JsonElement json)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, Indented))
            json.WriteTo(writer);
        return System.Text.Encoding.UTF8.GetString(buffer.ToArray());
    }

    private sealed class JsonFormat : OutputFormat
    {
        public override Task WriteAsync(TextWriter output, ResourceStore store, IReadOnlyList<Listing> results, CancellationToken cancellation) =>
            results.Count == 0 ? Task.CompletedTask : output.WriteLineAsync(Indent(ToJson(results)));
    }

    private sealed class TemplateFormat(string template) : OutputFormat
    {
        public override async Task WriteAsync(TextWriter output, ResourceStore store, IReadOnlyList<Listing> results, CancellationToken cancellation)
        {
            var defaultAsNumber = await DefaultAsNumberAsync(store, cancellation);
            var rendered = new GoTemplate(template, name => name.Equals("asnumber", StringComparison.OrdinalIgnoreCase)
                ? defaultAsNumber
                : throw new CtlException($"template: config knows asnumber, not {name}"));
            await output.WriteAsync(rendered.Render([.. results.Select(r => r.ToJson())]));
        }
    }

    private static async Task<string> DefaultAsNumberAsync(ResourceStore store, CancellationToken cancellation)
    {
        var configuration = await store.FindAsync<BGPConfiguration>(new ResourceKey(ResourceKind.BGPConfiguration, null, "default"), cancellation);
        return (configuration?.Spec.AsNumber ?? Core.Net.Asn.CalicoDefault).ToString();
    }

    private sealed class TableFormat(string[]? columns, bool isWide, bool printNamespace) : OutputFormat
    {
        public override async Task WriteAsync(TextWriter output, ResourceStore store, IReadOnlyList<Listing> results, CancellationToken cancellation)
        {
            foreach (var result in results)
            {
                var table = ResourceTables.For(result.Kind);
                var headings = columns ?? (isWide ? table.Wide : table.Narrow);
                if (printNamespace && result.Kind.IsNamespaced)
                    headings = ["NAMESPACE", .. headings];
                var facts = new TableFacts(result.Kind == ResourceKind.Node ? await DefaultAsNumberAsync(store, cancellation) : "");
                var rows = result.Items.Select(r => headings.Select(h => table.Cell(h, r, facts)).ToArray());
                await output.WriteAsync(TabWriter.Format([headings, .. rows]));
                await output.WriteLineAsync();
            }
        }
    }
}
