using System.Text.Json;
using System.Text.Json.Serialization;
using Calico.Core.Model.Kubernetes;

namespace Calico.Core.Model.Json;

[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(KubeClusterNetworkPolicy))]
[JsonSerializable(typeof(KubeNamespace))]
[JsonSerializable(typeof(KubeNetworkPolicy))]
[JsonSerializable(typeof(KubePod))]
[JsonSerializable(typeof(KubeServiceAccount))]
[JsonSerializable(typeof(List<string>))]
internal sealed partial class KubernetesJsonContext : JsonSerializerContext
{
    public static readonly JsonConverter[] ListConverters =
    [
        new ValueListConverter<KubeContainer>(), new ValueListConverter<KubeContainerPort>(), new ValueListConverter<KubePodIP>(),
        new ValueListConverter<LabelSelectorRequirement>(), new ValueListConverter<KubeIngressRule>(),
        new ValueListConverter<KubeEgressRule>(), new ValueListConverter<KubePolicyPort>(), new ValueListConverter<KubePeer>(),
        new ValueListConverter<KubeClusterRule>(), new ValueListConverter<KubeClusterPeer>(),
        new ValueListConverter<KubeClusterProtocol>(),
    ];
}
