using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Model.Json;

[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(BGPConfiguration))]
[JsonSerializable(typeof(BGPFilter))]
[JsonSerializable(typeof(BGPPeer))]
[JsonSerializable(typeof(BlockAffinity))]
[JsonSerializable(typeof(CalicoNodeStatus))]
[JsonSerializable(typeof(ClusterInformation))]
[JsonSerializable(typeof(FelixConfiguration))]
[JsonSerializable(typeof(GlobalNetworkPolicy))]
[JsonSerializable(typeof(GlobalNetworkSet))]
[JsonSerializable(typeof(HostEndpoint))]
[JsonSerializable(typeof(IPAMConfiguration))]
[JsonSerializable(typeof(IPPool))]
[JsonSerializable(typeof(IPReservation))]
[JsonSerializable(typeof(KubeControllersConfiguration))]
[JsonSerializable(typeof(NetworkPolicy))]
[JsonSerializable(typeof(NetworkSet))]
[JsonSerializable(typeof(NodeResource))]
[JsonSerializable(typeof(Profile))]
[JsonSerializable(typeof(StagedGlobalNetworkPolicy))]
[JsonSerializable(typeof(StagedKubernetesNetworkPolicy))]
[JsonSerializable(typeof(StagedNetworkPolicy))]
[JsonSerializable(typeof(Tier))]
[JsonSerializable(typeof(WorkloadEndpoint))]
[JsonSerializable(typeof(Dictionary<string, JsonElement>))]
internal sealed partial class ModelJsonContext : JsonSerializerContext;

/// <summary>The JSON contracts of the model: camel case, absent fields left out, names read in any case as Go does.</summary>
internal static class ModelJson
{
    public static JsonSerializerOptions Options { get; } = CreateOptions();

    /// <summary>The record that holds a kind.</summary>
    public static Type TypeOf(ResourceKind kind) => Types[kind];

    public static JsonTypeInfo TypeInfo(ResourceKind kind) => Options.GetTypeInfo(Types[kind]);

    private static readonly Dictionary<ResourceKind, Type> Types = new()
    {
        [ResourceKind.BGPConfiguration] = typeof(BGPConfiguration),
        [ResourceKind.BGPFilter] = typeof(BGPFilter),
        [ResourceKind.BGPPeer] = typeof(BGPPeer),
        [ResourceKind.BlockAffinity] = typeof(BlockAffinity),
        [ResourceKind.CalicoNodeStatus] = typeof(CalicoNodeStatus),
        [ResourceKind.ClusterInformation] = typeof(ClusterInformation),
        [ResourceKind.FelixConfiguration] = typeof(FelixConfiguration),
        [ResourceKind.GlobalNetworkPolicy] = typeof(GlobalNetworkPolicy),
        [ResourceKind.GlobalNetworkSet] = typeof(GlobalNetworkSet),
        [ResourceKind.HostEndpoint] = typeof(HostEndpoint),
        [ResourceKind.IPAMConfiguration] = typeof(IPAMConfiguration),
        [ResourceKind.IPPool] = typeof(IPPool),
        [ResourceKind.IPReservation] = typeof(IPReservation),
        [ResourceKind.KubeControllersConfiguration] = typeof(KubeControllersConfiguration),
        [ResourceKind.NetworkPolicy] = typeof(NetworkPolicy),
        [ResourceKind.NetworkSet] = typeof(NetworkSet),
        [ResourceKind.Node] = typeof(NodeResource),
        [ResourceKind.Profile] = typeof(Profile),
        [ResourceKind.StagedGlobalNetworkPolicy] = typeof(StagedGlobalNetworkPolicy),
        [ResourceKind.StagedKubernetesNetworkPolicy] = typeof(StagedKubernetesNetworkPolicy),
        [ResourceKind.StagedNetworkPolicy] = typeof(StagedNetworkPolicy),
        [ResourceKind.Tier] = typeof(Tier),
        [ResourceKind.WorkloadEndpoint] = typeof(WorkloadEndpoint),
    };

    private static JsonSerializerOptions CreateOptions()
    {
        var options = new JsonSerializerOptions
        {
            PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
            PropertyNameCaseInsensitive = true,
            DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            TypeInfoResolver = JsonTypeInfoResolver.Combine(ModelJsonContext.Default, KubernetesJsonContext.Default),
            MaxDepth = 64,
        };
        JsonConverter[] converters =
        [
            new OptionalStringConverter(), new StringMapConverter(), new PortConverter(), new ProtocolConverter(),
            new AsnConverter(), new GoDurationConverter(), new IntOrStringConverter(), new GoDoubleConverter(),
            new GoTimeConverter(),
            new ValueListConverter<string>(), new ValueListConverter<Port>(), new ValueListConverter<Asn>(),
            new ValueListConverter<OwnerReference>(), new ValueListConverter<Condition>(), new ValueListConverter<Rule>(),
            new ValueListConverter<HttpPath>(), new ValueListConverter<EndpointPort>(),
            new ValueListConverter<WorkloadEndpointPort>(), new ValueListConverter<IpNat>(),
            new ValueListConverter<CidrEntry>(), new ValueListConverter<Community>(),
            new ValueListConverter<PrefixAdvertisement>(), new ValueListConverter<BGPFilterRuleV4>(),
            new ValueListConverter<BGPFilterRuleV6>(), new ValueListConverter<BGPFilterOperation>(),
            new ValueListConverter<OrchRef>(), new ValueListConverter<NodeAddress>(), new ValueListConverter<NodeInterface>(),
            new ValueListConverter<ProtoPort>(), new ValueListConverter<HealthTimeoutOverride>(),
            new ValueListConverter<RouteTableIDRange>(), new ValueListConverter<HostEndpointTemplate>(),
            new ValueListConverter<NodePeerStatus>(), new ValueListConverter<NodeRouteStatus>(),
        ];
        foreach (var converter in converters.Concat(KubernetesJsonContext.ListConverters))
            options.Converters.Add(converter);
        options.MakeReadOnly();
        return options;
    }
}
