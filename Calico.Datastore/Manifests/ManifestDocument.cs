using System.Globalization;
using System.Text.Json;

namespace Calico.Datastore.Manifests;

/// <summary>One object of a manifest as JSON, and where each of its fields stands.</summary>
public sealed class ManifestDocument
{
    private readonly YamlNode _root;

    internal ManifestDocument(string source, YamlNode root)
    {
        Source = source;
        _root = root;
        Json = root.ToJson();
    }

    /// <summary>The file's name, or what stands for it.</summary>
    public string Source { get; }

    public JsonElement Json { get; }

    /// <summary>The line on which the object starts.</summary>
    public long Line => _root.Line;

    /// <summary>
    /// <c>source:line</c> of a field such as <c>spec.ingress[0].action</c>, or of the nearest field around it that is there.
    /// </summary>
    public string Locate(string path)
    {
        var node = _root;
        foreach (var step in path.Split('.', '[').Select(s => s.TrimEnd(']')))
        {
            if (node.Child(step) is not { } next)
                break;
            node = next;
        }
        return string.Create(CultureInfo.InvariantCulture, $"{Source}:{node.Line}");
    }
}
