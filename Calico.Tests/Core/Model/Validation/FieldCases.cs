using System.Text.Json;
using System.Text.RegularExpressions;
using Calico.Core.Model.Resources;
using Calico.Datastore.Manifests;

namespace Calico.Tests.Core.Model.Validation;

// The table of what each field may hold. A file has sections, each for one kind:
//
//   kind IPPool                                    rows are the spec, errors are below spec
//   kind Tier at metadata in {metadata: $}         rows stand where the $ is, errors are below metadata
//
//   ok  {cidr: 10.0.0.0/16}                        is taken
//   bad blockSize {cidr: ..., blockSize: 19}       is refused, with errors at exactly this path
//   bad a,b {...}                                  with errors at exactly these paths
//   bad . {...}                                    with an error at the section's own path
//   bad /IPPool.Spec.CIDR {...}                    the path is not below the section's
//
// <TEXT*N> anywhere in a row is the text N times. Name and namespace are filled in where a row has none.

/// <summary>One row of the table.</summary>
internal sealed partial record FieldCase(string Place, ResourceKind Kind, JsonElement Json, IReadOnlyList<string> Errors)
{
    public static IReadOnlyList<FieldCase> All { get; } = [.. Files().SelectMany(Rows)];

    private static IEnumerable<string> Files() =>
        typeof(FieldCase).Assembly.GetManifestResourceNames().Where(n => n.EndsWith(".cases", StringComparison.Ordinal)).Order(StringComparer.Ordinal);

    private static IEnumerable<FieldCase> Rows(string file)
    {
        using var reader = new StreamReader(typeof(FieldCase).Assembly.GetManifestResourceStream(file)!);
        Section? section = null;
        var number = 0;
        while (reader.ReadLine() is { } line)
        {
            number++;
            if (line.Length == 0 || line[0] == '#')
                continue;
            var place = $"{file[(file.IndexOf("FieldCases", StringComparison.Ordinal))..]}:{number}";
            if (SectionLine().Match(line) is { Success: true } head)
                section = Section.Of(place, head);
            else if (RowLine().Match(line) is { Success: true } row && section is not null)
                yield return section.Row(place, row);
            else
                throw new InvalidOperationException($"{place}: is neither a section nor a row: {line}");
        }
    }

    private sealed record Section(ResourceKind Kind, string Path, string Template)
    {
        public static Section Of(string place, Match head) => new(
            ResourceKind.TryFind(head.Groups["kind"].Value, out var kind) ? kind : throw new InvalidOperationException($"{place}: no such kind"),
            head.Groups["path"] is { Success: true, Value: var path } ? path : "spec",
            head.Groups["template"] is { Success: true, Value: var template } ? template : "{spec: $}");

        public FieldCase Row(string place, Match row)
        {
            var content = Repeat().Replace(row.Groups["content"].Value,
                m => string.Concat(Enumerable.Repeat(m.Groups["text"].Value, int.Parse(m.Groups["times"].ValueSpan))));
            var document = ManifestReader.Read(Template.Replace("$", content, StringComparison.Ordinal), place).Single();
            var errors = row.Groups["paths"] is { Success: true, Value: var paths } ? paths.Split(',').Select(Below) : [];
            return new FieldCase(place, Kind, Named(document.Json), [.. errors.Order(StringComparer.Ordinal)]);
        }

        private string Below(string path) => path switch
        {
            "." => Path,
            ['/', .. var absolute] => absolute,
            _ => $"{Path}.{path}",
        };

        private JsonElement Named(JsonElement given)
        {
            var metadata = new Dictionary<string, JsonElement>
            {
                ["name"] = Text(Kind.IsNamespaced || !OnlyDefault.Contains(Kind.Kind) ? "x" : "default"),
            };
            if (Kind.IsNamespaced)
                metadata["namespace"] = Text("web");
            var fields = new Dictionary<string, JsonElement> { ["apiVersion"] = Text(Resource.CurrentApiVersion), ["kind"] = Text(Kind.Kind) };
            foreach (var field in given.EnumerateObject())
                fields[field.Name] = field.Value;
            if (given.TryGetProperty("metadata", out var own))
            {
                foreach (var field in own.EnumerateObject())
                    metadata[field.Name] = field.Value;
            }
            fields["metadata"] = JsonSerializer.SerializeToElement(metadata);
            return JsonSerializer.SerializeToElement(fields);
        }

        private static JsonElement Text(string text) => JsonSerializer.SerializeToElement(text);

        private static readonly string[] OnlyDefault =
        [
            "BGPConfiguration", "ClusterInformation", "FelixConfiguration", "IPAMConfiguration", "KubeControllersConfiguration",
        ];
    }

    [GeneratedRegex(@"\Akind (?<kind>\w+)( at (?<path>\S+) in (?<template>\{.+\}))?\z")]
    private static partial Regex SectionLine();

    [GeneratedRegex(@"\A(ok |bad (?<paths>\S+)) +(?<content>\{.*\})\z")]
    private static partial Regex RowLine();

    [GeneratedRegex(@"<(?<text>[^<>]*?)\*(?<times>\d+)>")]
    private static partial Regex Repeat();
}
