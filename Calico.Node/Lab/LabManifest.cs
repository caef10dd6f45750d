using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.Validation;
using Calico.Datastore.Manifests;

namespace Calico.Node.Lab;

/// <summary>
/// A file of resources as <c>calicoctl</c> takes them. The lab has no Kubernetes API: what a cluster's controllers would
/// do with Namespaces and NetworkPolicies is done here, with the same conversion.
/// </summary>
internal sealed record LabManifest(string Resources, string Converted, IReadOnlyList<string> Namespaces, int Count)
{
    private const string DefaultNamespace = "default";

    public static LabManifest Load(string file)
    {
        try
        {
            var (text, name) = file == "-" ? (Console.In.ReadToEnd(), "standard input") : (File.ReadAllText(file), file);
            return Convert(ManifestReader.Read(text, name).Select(d => (d.Json, $"{name}:{d.Line}")));
        }
        catch (ManifestException e)
        {
            throw new LabException(e.Message, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LabException($"cannot read {file}: {e.Message}", e);
        }
    }

    public static LabManifest ForNamespace(string name)
    {
        var space = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Namespace",
            ["metadata"] = new JsonObject { ["name"] = name, ["labels"] = new JsonObject { ["kubernetes.io/metadata.name"] = name } },
        };
        return Convert([(JsonSerializer.SerializeToElement(space), name)]);
    }

    private static LabManifest Convert(IEnumerable<(JsonElement Json, string Place)> documents)
    {
        var resources = new JsonArray();
        var converted = new JsonArray();
        var namespaces = new List<string>();
        foreach (var (json, place) in documents)
        {
            try
            {
                switch (Text(json, "apiVersion"), Text(json, "kind"))
                {
                    case ("v1", "Namespace"):
                        var space = KubeCodec.ParseStrict<KubeNamespace>(json);
                        namespaces.Add(space.Metadata.Name ?? throw new LabException($"{place}: the Namespace has no name"));
                        converted.Add(ToNode(ProfileConversion.FromNamespace(space)));
                        break;
                    case ("networking.k8s.io/v1", "NetworkPolicy"):
                        converted.Add(ToNode(Convert(KubeCodec.ParseStrict<KubeNetworkPolicy>(json), place)));
                        break;
                    case (Resource.CurrentApiVersion, _):
                        Validate(ResourceCodec.ParseStrict(json), place);
                        resources.Add(JsonNode.Parse(json.GetRawText()));
                        break;
                    case var (version, kind):
                        throw new LabException($"{place}: {version}/{kind} is neither a Calico resource nor a Kubernetes Namespace or NetworkPolicy");
                }
            }
            catch (InvalidResourceException e)
            {
                throw new LabException($"{place}: {e.Message}", e);
            }
        }
        return new LabManifest(resources.ToJsonString(), converted.ToJsonString(), namespaces, resources.Count + converted.Count);
    }

    // Before anything is written, so that a mistake in the last document does not leave the others applied.
    private static void Validate(Resource resource, string place)
    {
        if (ResourceValidator.Validate(resource) is { IsEmpty: false } errors)
            throw new LabException($"{place}: {resource.Kind} {resource.Name}: {string.Join("; ", errors.Select(e => $"{e.Path}: {e.Reason}"))}");
    }

    // Under the name that Calico gives such a policy in etcd.
    private static NetworkPolicy Convert(KubeNetworkPolicy policy, string place)
    {
        var converted = PolicyConversion.FromNetworkPolicy(policy);
        if (converted.Policy is null || converted.Problems.Length > 0)
            throw new LabException($"{place}: NetworkPolicy {policy.Metadata.Name}: {string.Join("; ", converted.Problems)}");
        return converted.Policy with
        {
            Metadata = converted.Policy.Metadata with
            {
                Name = KubeNames.PolicyPrefix + converted.Policy.Name,
                Namespace = converted.Policy.Namespace ?? DefaultNamespace,
            },
        };
    }

    private static JsonNode? ToNode(Resource resource) => JsonNode.Parse(ResourceCodec.ToJson(resource).GetRawText());

    private static string? Text(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
