using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Calico.Datastore.Manifests;

// Manifests are YAML streams (JSON is a subset of YAML 1.2): any number of documents, each an object, a list of objects
// (kind List or IPPoolList and the like, with items) or a plain sequence of objects. All of them come out as single
// objects in the order of the file.

/// <summary>Reads manifests into JSON objects.</summary>
public static class ManifestReader
{
    private const int MaxLength = 64 * 1024 * 1024;
    private const int MaxDepth = 60;
    private const int MaxNodes = 4_000_000;

    /// <param name="text">YAML or JSON.</param>
    /// <param name="source">What errors call the text: a file's name, or <c>stdin</c>.</param>
    /// <exception cref="ManifestException">The text is not YAML, or holds something that JSON has not.</exception>
    public static IReadOnlyList<ManifestDocument> Read(string text, string source)
    {
        if (text.Length > MaxLength)
            throw new ManifestException(source, 1, 1, $"has {text.Length} characters, at most {MaxLength} are read");
        var documents = new List<ManifestDocument>();
        var parser = new Parser(new StringReader(text));
        try
        {
            foreach (var root in new Composer(parser, source).Documents())
                Flatten(root, null, source, documents);
        }
        catch (YamlException e)
        {
            var (line, column) = e.End.Index > 0 ? (e.Start.Line, e.Start.Column) : AfterWhatWasRead(parser, text);
            throw new ManifestException(source, line, column, e.InnerException?.Message ?? e.Message, e);
        }
        catch (InvalidOperationException e)
        {
            // How the scanner says that a value in braces or brackets runs into the key of a later line.
            var (line, column) = AfterWhatWasRead(parser, text);
            throw new ManifestException(source, line, column, "an object or list that begins here or before, with '{' or '[', is not closed", e);
        }
        return documents;
    }

    // Where an error is that says no place: after the last thing that could be read. If a line's indentation has a tab
    // there it is that, the one thing that the scanner refuses without a place.
    private static (long Line, long Column) AfterWhatWasRead(Parser parser, string text)
    {
        var read = parser.Current?.End ?? Mark.Empty;
        var lines = text.Split('\n');
        for (var line = read.Line; line < lines.Length; line++)
        {
            var indent = lines[line].Length - lines[line].TrimStart(' ', '\t').Length;
            var tab = lines[line].IndexOf('\t', 0, indent);
            if (tab >= 0)
                return (line + 1, tab + 1);
        }
        return (read.Line, read.Column);
    }

    private static void Flatten(YamlNode node, YamlMapping? list, string source, List<ManifestDocument> documents)
    {
        switch (node)
        {
            case YamlScalar { Kind: ScalarKind.Null }:
                break;
            case YamlSequence sequence:
                foreach (var item in sequence.Items)
                    Flatten(item, list, source, documents);
                break;
            case YamlMapping mapping when Text(mapping, "kind") is { } kind && kind.EndsWith("List", StringComparison.Ordinal)
                && mapping.Child("items") is YamlSequence items:
                Flatten(items, kind == "List" ? null : mapping, source, documents);
                break;
            case YamlMapping mapping:
                documents.Add(new ManifestDocument(source, WithKindOf(list, mapping)));
                break;
            default:
                throw new ManifestException(source, node.Line, 1, "expected an object with kind, apiVersion and metadata");
        }
    }

    // Items of a typed list may leave out what the list says.
    private static YamlMapping WithKindOf(YamlMapping? list, YamlMapping item)
    {
        if (list is null || Text(item, "kind") is not null)
            return item;
        var kind = Text(list, "kind")!;
        List<(string, YamlNode)> head = [("kind", new YamlScalar(item.Line, ScalarKind.Text, kind[..^"List".Length]))];
        if (Text(item, "apiVersion") is null && Text(list, "apiVersion") is { } version)
            head.Add(("apiVersion", new YamlScalar(item.Line, ScalarKind.Text, version)));
        return new YamlMapping(item.Line, [.. head, .. item.Entries]);
    }

    private static string? Text(YamlMapping mapping, string key) =>
        mapping.Child(key) is YamlScalar { Kind: ScalarKind.Text, Text: { } text } ? text : null;

    private sealed class Composer(Parser parser, string source)
    {
        private readonly Dictionary<AnchorName, YamlNode> _anchors = [];
        private readonly Dictionary<YamlNode, long> _sizes = [];
        private long _nodes;

        public IEnumerable<YamlNode> Documents()
        {
            parser.Consume<StreamStart>();
            while (!parser.TryConsume<StreamEnd>(out _))
            {
                parser.Consume<DocumentStart>();
                _anchors.Clear();
                var root = Node(0);
                parser.Consume<DocumentEnd>();
                yield return root;
            }
        }

        private YamlNode Node(int depth)
        {
            var start = parser.Current!.Start;
            if (depth > MaxDepth)
                throw Error(start, $"is nested more than {MaxDepth} deep");
            var before = _nodes++;
            Bound(start);
            YamlNode node;
            AnchorName anchor;
            if (parser.TryConsume<AnchorAlias>(out var alias))
            {
                if (!_anchors.TryGetValue(alias.Value, out var target))
                    throw Error(start, $"alias *{alias.Value} has no anchor");
                // What an alias stands for counts again: a few lines must not become a billion nodes.
                _nodes += _sizes[target];
                Bound(start);
                return target;
            }
            if (parser.TryConsume<Scalar>(out var scalar))
                (node, anchor) = (Scalar(scalar), scalar.Anchor);
            else if (parser.TryConsume<SequenceStart>(out var sequence))
                (node, anchor) = (Sequence(start, depth), sequence.Anchor);
            else
            {
                var mapping = parser.Consume<MappingStart>();
                (node, anchor) = (Mapping(start, depth), mapping.Anchor);
            }
            if (!anchor.IsEmpty)
            {
                _anchors[anchor] = node;
                _sizes[node] = _nodes - before;
            }
            return node;
        }

        private void Bound(Mark at)
        {
            if (_nodes > MaxNodes)
                throw Error(at, $"holds more than {MaxNodes} values");
        }

        private YamlSequence Sequence(Mark start, int depth)
        {
            var items = new List<YamlNode>();
            while (!parser.TryConsume<SequenceEnd>(out _))
                items.Add(Node(depth + 1));
            return new YamlSequence(start.Line, items);
        }

        private YamlMapping Mapping(Mark start, int depth)
        {
            var entries = new List<(string Key, YamlNode Value)>();
            var keys = new HashSet<string>(StringComparer.Ordinal);
            var merged = new List<YamlNode>();
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                var at = parser.Current!.Start;
                if (!parser.TryConsume<Scalar>(out var key))
                    throw Error(at, "a key must be a string");
                var value = Node(depth + 1);
                if (key is { Value: "<<", Style: ScalarStyle.Plain })
                    merged.Add(value);
                else if (keys.Add(key.Value))
                    entries.Add((key.Value, value));
                else
                    throw Error(at, $"key '{key.Value}' stands twice in the same object");
            }
            foreach (var part in merged.SelectMany(m => m is YamlSequence s ? s.Items : [m]))
            {
                if (part is not YamlMapping source)
                    throw Error(start, "'<<' must merge an object");
                entries.AddRange(source.Entries.Where(e => keys.Add(e.Key)));
            }
            return new YamlMapping(start.Line, entries);
        }

        private YamlScalar Scalar(Scalar scalar)
        {
            var line = scalar.Start.Line;
            var tag = scalar.Tag.IsEmpty || scalar.Tag.IsNonSpecific ? null : scalar.Tag.Value;
            if (tag is "tag:yaml.org,2002:str" || (tag is null && (scalar.Style != ScalarStyle.Plain || scalar.Tag.IsNonSpecific)))
                return new YamlScalar(line, ScalarKind.Text, scalar.Value);
            if (tag is not (null or "tag:yaml.org,2002:int" or "tag:yaml.org,2002:float" or "tag:yaml.org,2002:bool" or "tag:yaml.org,2002:null"))
                throw Error(scalar.Start, $"tag {tag} is not supported");
            var (kind, text) = YamlScalar.Resolve(scalar.Value);
            return text is null ? throw Error(scalar.Start, $"'{scalar.Value}' has no form in JSON") : new YamlScalar(line, kind, text);
        }

        private ManifestException Error(Mark at, string reason) => new(source, at.Line, at.Column, reason);
    }
}
