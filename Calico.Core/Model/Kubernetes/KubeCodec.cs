using System.Text.Json;
using Calico.Core.Model.Json;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Kubernetes;

/// <summary>Reads Kubernetes' objects from JSON.</summary>
public static class KubeCodec
{
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
