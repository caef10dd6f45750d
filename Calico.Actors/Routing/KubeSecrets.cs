using System.Collections.Immutable;
using System.Text;
using System.Text.Json;

namespace Calico.Actors.Routing;

/// <summary>
/// The Secrets that sessions name, as the API server told them last. They outlive the connection to it: a session keeps its password
/// while the server is away. Values are never logged. Not thread-safe.
/// </summary>
public sealed class KubeSecrets
{
    private const int MaxLength = 4096;

    private ImmutableDictionary<string, ImmutableDictionary<string, string>> _known = ImmutableDictionary<string, ImmutableDictionary<string, string>>.Empty;

    /// <summary>The value without a line end behind it; null if it is not known.</summary>
    public string? Read(string name, string key) => _known.GetValueOrDefault(name)?.GetValueOrDefault(key);

    /// <summary>Takes a Secret as the API has it; null: there is none.</summary>
    public void Learn(string name, JsonElement? secret) =>
        _known = secret is { } json ? _known.SetItem(name, ValuesOf(json)) : _known.Remove(name);

    // What is no text, or longer than a password can be, is left out.
    private static ImmutableDictionary<string, string> ValuesOf(JsonElement secret)
    {
        var values = ImmutableDictionary<string, string>.Empty;
        if (!secret.TryGetProperty("data", out var data) || data.ValueKind != JsonValueKind.Object)
            return values;
        foreach (var item in data.EnumerateObject())
        {
            if (item.Value.ValueKind == JsonValueKind.String && item.Value.TryGetBytesFromBase64(out var octets) && octets.Length <= MaxLength)
                values = values.SetItem(item.Name, Encoding.UTF8.GetString(octets).TrimEnd('\r', '\n'));
        }
        return values;
    }
}
