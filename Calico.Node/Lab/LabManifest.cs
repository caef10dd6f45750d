using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Calico.Node.Lab;

/// <summary>
/// A file of resources as <c>calicoctl</c> takes them. The lab has no Kubernetes API: what a cluster's controllers would
/// do with Namespaces and NetworkPolicies is done here, with the same conversion.
/// </summary>
internal sealed record LabManifest(string Resources, IReadOnlyList<string> Namespaces)
{
    public static LabManifest Load(string file)
    {
        string text;
        try
        {
            text = File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LabException($"cannot read {file}: {e.Message}", e);
        }
        try
        {
            return Convert(Documents(text));
        }
        catch (YamlException e)
        {
            throw new LabException($"{file}, line {e.Start.Line}: {e.Message}", e);
        }
        catch (InvalidResourceException e)
        {
            throw new LabException($"{file}: {e.Message}", e);
        }
    }

    public static LabManifest ForNamespace(string name) => Convert([new JsonObject
    {
        ["apiVersion"] = "v1",
        ["kind"] = "Namespace",
        ["metadata"] = new JsonObject { ["name"] = name, ["labels"] = new JsonObject { ["kubernetes.io/metadata.name"] = name } },
    }]);

    internal static LabManifest Convert(IEnumerable<JsonObject> documents)
    {
        var resources = new JsonArray();
        var namespaces = new List<string>();
        foreach (var document in documents)
        {
            var json = JsonSerializer.SerializeToElement(document);
            switch (document["apiVersion"]?.ToString(), document["kind"]?.ToString())
            {
                case ("v1", "Namespace"):
                    var space = KubeCodec.Decode<KubeNamespace>(json);
                    namespaces.Add(space.Metadata.Name ?? throw new LabException("a Namespace has no name"));
                    resources.Add(ToNode(ProfileConversion.FromNamespace(space)));
                    break;
                case ("networking.k8s.io/v1", "NetworkPolicy"):
                    var converted = PolicyConversion.FromNetworkPolicy(KubeCodec.Decode<KubeNetworkPolicy>(json));
                    if (converted.Policy is null || converted.Problems.Length > 0)
                        throw new LabException($"NetworkPolicy {document["metadata"]?["name"]}: {string.Join("; ", converted.Problems)}");
                    // The name that Calico gives such a policy in etcd.
                    resources.Add(ToNode(converted.Policy with
                    {
                        Metadata = converted.Policy.Metadata with { Name = KubeNames.PolicyPrefix + converted.Policy.Name },
                    }));
                    break;
                case (Resource.CurrentApiVersion, _):
                    resources.Add(document.DeepClone());
                    break;
                case var (version, kind):
                    throw new LabException($"{version}/{kind} is neither a Calico resource nor a Kubernetes Namespace or NetworkPolicy");
            }
        }
        return new LabManifest(resources.ToJsonString(), namespaces);
    }

    internal static IEnumerable<JsonObject> Documents(string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        foreach (var document in stream.Documents)
        {
            if (document.RootNode is YamlScalarNode { Value: null or "" })
                continue;
            yield return ToJson(document.RootNode) as JsonObject
                ?? throw new LabException("a document of the file is no object");
        }
    }

    private static JsonNode? ToNode(Resource resource) => JsonNode.Parse(ResourceCodec.ToJson(resource).GetRawText());

    private static JsonNode? ToJson(YamlNode node) => node switch
    {
        YamlMappingNode mapping => new JsonObject(mapping.Select(e =>
            KeyValuePair.Create(((YamlScalarNode)e.Key).Value ?? "", ToJson(e.Value)))),
        YamlSequenceNode sequence => new JsonArray([.. sequence.Select(ToJson)]),
        YamlScalarNode { Style: not ScalarStyle.Plain, Value: var quoted } => JsonValue.Create(quoted),
        YamlScalarNode { Value: var plain } => Scalar(plain ?? ""),
        _ => throw new LabException("the file uses YAML that JSON cannot say"),
    };

    // The core schema's plain scalars, as far as manifests have them.
    private static JsonValue? Scalar(string text) => text switch
    {
        "" or "~" or "null" => null,
        "true" => JsonValue.Create(true),
        "false" => JsonValue.Create(false),
        _ when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) => JsonValue.Create(number),
        _ when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var real) && text.Any(char.IsAsciiDigit) => JsonValue.Create(real),
        _ => JsonValue.Create(text),
    };
}
