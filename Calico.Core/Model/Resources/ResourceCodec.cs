using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model.Json;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>Turns JSON into resources and back.</summary>
public static class ResourceCodec
{
    /// <summary>
    /// Reads a resource that somebody else wrote: what is unknown is kept, limits are not checked.
    /// </summary>
    /// <exception cref="InvalidResourceException">The JSON is broken or a field has the wrong type.</exception>
    public static Resource Decode(ResourceKind kind, ReadOnlySpan<byte> json)
    {
        try
        {
            return (Resource)JsonSerializer.Deserialize(json, ModelJson.TypeInfo(kind))!
                ?? throw new InvalidResourceException(kind.Kind, [new FieldError("", null, "is null")]);
        }
        catch (JsonException e)
        {
            throw Invalid(kind, e);
        }
    }

    /// <inheritdoc cref="Decode(ResourceKind, ReadOnlySpan{byte})"/>
    public static Resource Decode(ResourceKind kind, JsonElement json)
    {
        try
        {
            return (Resource)json.Deserialize(ModelJson.TypeInfo(kind))!
                ?? throw new InvalidResourceException(kind.Kind, [new FieldError("", null, "is null")]);
        }
        catch (JsonException e)
        {
            throw Invalid(kind, e);
        }
    }

    /// <summary>
    /// Reads a resource that a user wrote: unknown fields and wrong types are errors, all of them at once. What its
    /// fields may hold is <see cref="Validation.ResourceValidator"/>'s to say.
    /// </summary>
    /// <param name="json">The resource.</param>
    /// <param name="stored">What the user began with: what is unknown there, written by a newer program, is no error.</param>
    /// <exception cref="InvalidResourceException">With every error found.</exception>
    public static Resource ParseStrict(JsonElement json, JsonElement? stored = null)
    {
        var kind = KindOf(json);
        var errors = SchemaCheck.Structure(json, ModelJson.TypeInfo(kind));
        if (stored is { } before && errors.Length > 0)
            errors = errors.RemoveRange(SchemaCheck.Structure(before, ModelJson.TypeInfo(kind)));
        if (errors.Length > 0)
            throw new InvalidResourceException(Describe(kind, json), errors);
        return Decode(kind, json);
    }

    /// <summary>The kind that the object names in <c>kind</c>, if <c>apiVersion</c> is the one of this API.</summary>
    /// <exception cref="InvalidResourceException">Either is missing or unknown.</exception>
    public static ResourceKind KindOf(JsonElement json)
    {
        var kind = Text(json, "kind");
        var version = Text(json, "apiVersion");
        if (version == Resource.CurrentApiVersion && ResourceKind.TryFind(kind, out var found))
            return found;
        throw new InvalidResourceException("resource",
            [new FieldError("kind", null, $"unknown resource type ({kind}) and/or version ({version}): use apiVersion {Resource.CurrentApiVersion} and one of its kinds")]);
    }

    /// <summary>JSON as Go writes it: compact, fields in declaration order, map keys sorted.</summary>
    public static byte[] Encode(Resource resource) =>
        GoJson.Rewrite(JsonSerializer.SerializeToUtf8Bytes(resource, ModelJson.TypeInfo(resource.ResourceKind)));

    /// <summary>The resource as a JSON tree, for output and for checks.</summary>
    public static JsonElement ToJson(Resource resource) =>
        JsonSerializer.SerializeToElement(resource, ModelJson.TypeInfo(resource.ResourceKind));

    private static string Text(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : "";

    private static string Describe(ResourceKind kind, JsonElement json) =>
        json.TryGetProperty("metadata", out var meta) && Text(meta, "name") is { Length: > 0 } name
            ? $"{kind.Kind}({name})"
            : kind.Kind;

    private static InvalidResourceException Invalid(ResourceKind kind, JsonException e) =>
        new(kind.Kind, [new FieldError((e.Path ?? "$").TrimStart('$').TrimStart('.'), null, e.InnerException?.Message ?? e.Message)]);
}
