using System.Text.Json.Nodes;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.V1;

/// <summary>An object of the first API whose fields are taken one by one; what nobody took is an error, not a loss.</summary>
internal sealed class V1Object
{
    private readonly JsonObject _json;
    private readonly string _path;
    private readonly List<V1Object> _inner = [];

    public V1Object(JsonObject json, string path)
    {
        _json = json;
        _path = path;
    }

    /// <exception cref="InvalidResourceException">It has fields that nobody took, or lacks one that must be there.</exception>
    public void End(string what)
    {
        if (Leftovers().ToList() is { Count: > 0 } unknown)
            throw new InvalidResourceException(what, [.. unknown]);
    }

    public JsonNode? Take(string name)
    {
        var value = _json[name]?.DeepClone();
        _json.Remove(name);
        return value;
    }

    public string? Text(string name) => Take(name) switch
    {
        null => null,
        JsonValue value when value.TryGetValue<string>(out var text) => text,
        _ => throw Wrong(name, "must be a string"),
    };

    public string Required(string name) => Text(name) is { Length: > 0 } text ? text : throw Wrong(name, "is required");

    public bool Flag(string name) => Take(name) switch
    {
        null => false,
        JsonValue value when value.TryGetValue<bool>(out var flag) => flag,
        _ => throw Wrong(name, "must be true or false"),
    };

    public V1Object Object(string name)
    {
        var inner = new V1Object(Take(name) switch
        {
            null => [],
            JsonObject fields => fields,
            _ => throw Wrong(name, "must be an object"),
        }, At(name));
        _inner.Add(inner);
        return inner;
    }

    public bool Has(string name) => _json[name] is not null;

    public IEnumerable<V1Object> Objects(string name)
    {
        var items = Items(name).Select((item, i) => new V1Object(item as JsonObject ?? throw Wrong($"{name}[{i}]", "must be an object"), At($"{name}[{i}]"))).ToList();
        _inner.AddRange(items);
        return items;
    }

    public IEnumerable<string> Texts(string name) => Items(name).Select(item =>
        item is JsonValue value && value.TryGetValue<string>(out var text) ? text : throw Wrong(name, "must be a list of strings"));

    public IEnumerable<KeyValuePair<string, string>> Map(string name) => Take(name) switch
    {
        null => [],
        JsonObject fields => fields.Select(f => KeyValuePair.Create(f.Key, f.Value is JsonValue value && value.TryGetValue<string>(out var text) ? text
            : throw Wrong($"{name}.{f.Key}", "must be a string"))).ToList(),
        _ => throw Wrong(name, "must be an object"),
    };

    public InvalidResourceException Wrong(string name, string reason) => new("v1 resource", [new FieldError(At(name), null, reason)]);

    private List<JsonNode?> Items(string name) => Take(name) switch
    {
        null => [],
        JsonArray items => [.. items.Select(i => i?.DeepClone())],
        _ => throw Wrong(name, "must be a list"),
    };

    private IEnumerable<FieldError> Leftovers() => _json.Select(f => new FieldError(At(f.Key), null, "unknown field"))
        .Concat(_inner.SelectMany(i => i.Leftovers()));

    private string At(string name) => _path.Length == 0 ? name : $"{_path}.{name}";
}
