using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model.Json;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Kubernetes;

/// <summary>Reads Kubernetes' objects from JSON.</summary>
public static class KubeCodec
{
    /// <summary>
    /// Reads an object that a person wrote: fields that are not known, wrong types and what the API server would refuse
    /// are errors, all of them at once. A misspelled <c>podSelector</c> would otherwise be one that selects everything.
    /// </summary>
    /// <exception cref="InvalidResourceException">With every error found.</exception>
    public static T ParseStrict<T>(JsonElement json)
        where T : KubeObject
    {
        // The API server fills in the status; whoever sends an object back does not mean it.
        var errors = SchemaCheck.Structure(json, ModelJson.Options.GetTypeInfo(typeof(T))).Where(e => e.Path != "status").ToImmutableArray();
        if (errors.IsEmpty)
        {
            var read = Decode<T>(json);
            errors = KubeValidator.Validate(read);
            if (errors.IsEmpty)
                return read;
        }
        throw new InvalidResourceException(Describe<T>(json), errors);
    }

    private static string Describe<T>(JsonElement json)
    {
        var kind = typeof(T).Name["Kube".Length..];
        return json.ValueKind == JsonValueKind.Object && json.TryGetProperty("metadata", out var metadata) && metadata.ValueKind == JsonValueKind.Object
            && metadata.TryGetProperty("name", out var name) ? $"{kind}({name})" : kind;
    }

    /// <summary>Reads an object that an API server holds: what is unknown is kept.</summary>
    /// <exception cref="InvalidResourceException">The JSON does not fit the object.</exception>
    public static T Decode<T>(JsonElement json)
        where T : KubeObject
    {
        try
        {
            return (T?)json.Deserialize(ModelJson.Options.GetTypeInfo(typeof(T)))
                ?? throw new InvalidResourceException(typeof(T).Name, [new FieldError("", null, "is null")]);
        }
        catch (JsonException e)
        {
            throw new InvalidResourceException(typeof(T).Name, [new FieldError((e.Path ?? "$").TrimStart('$', '.'), null, e.Message)]);
        }
    }

    /// <inheritdoc cref="Decode{T}(JsonElement)"/>
    public static T Decode<T>(ReadOnlyMemory<byte> json)
        where T : KubeObject
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return Decode<T>(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new InvalidResourceException(typeof(T).Name, [new FieldError("", null, e.Message)]);
        }
    }
}
