using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Resources;

/// <summary>BGP options: <c>default</c> for the cluster, <c>node.NAME</c> for one node.</summary>
public sealed record BGPConfiguration() : Resource(ResourceKind.BGPConfiguration)
{
    public BGPConfigurationSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record BGPConfigurationSpec : ModelObject
{
    [Pattern("(?i)(Trace|Debug|Info|Warning|Error|Fatal)?", "one of Trace, Debug, Info, Warning, Error, Fatal")]
    public string? LogSeverityScreen { get; init; }

    /// <summary>Absent is true.</summary>
    public bool? NodeToNodeMeshEnabled { get; init; }

    /// <summary>Absent is 64512.</summary>
    public Asn? AsNumber { get; init; }

    public ValueList<CidrEntry> ServiceLoadBalancerIPs { get; init; }
    public ValueList<CidrEntry> ServiceExternalIPs { get; init; }
    public ValueList<CidrEntry> ServiceClusterIPs { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? ServiceLoadBalancerAggregation { get; init; }

    [Items(500)]
    public ValueList<Community> Communities { get; init; }

    [Items(500)]
    public ValueList<PrefixAdvertisement> PrefixAdvertisements { get; init; }

    /// <summary>0 is the default 179.</summary>
    [Between(0, 65535)]
    public int ListenPort { get; init; }

    public BGPPassword? NodeMeshPassword { get; init; }

    /// <summary>Graceful-restart time of mesh peers; absent is 120 s.</summary>
    public GoDuration? NodeMeshMaxRestartTime { get; init; }

    [OneOf("None", "NodeIP")]
    public string? BindMode { get; init; }

    [Items(int.MaxValue, Unique = true, TakesDuplicates = true)]
    [Format(FieldFormat.IgnoredInterface)]
    public ValueList<string> IgnoredInterfaces { get; init; }

    [Format(FieldFormat.IpV4)]
    public string? LocalWorkloadPeeringIPV4 { get; init; }

    [Format(FieldFormat.IpV6)]
    public string? LocalWorkloadPeeringIPV6 { get; init; }

    [OneOf("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")]
    public string? ProgramClusterRoutes { get; init; }

    [Between(1, 2147483646)]
    public int? Ipv4NormalRoutePriority { get; init; }

    [Between(1, 2147483646)]
    public int? Ipv6NormalRoutePriority { get; init; }
}

/// <summary>An object around one CIDR, as the service address lists have it.</summary>
public sealed record CidrEntry : ModelObject
{
    [Format(FieldFormat.Net)]
    public string? Cidr { get; init; }
}

/// <summary>A name for a BGP community, standard <c>a:b</c> or large <c>a:b:c</c>.</summary>
public sealed record Community : ModelObject
{
    [RequiredField]
    [MaxLength(253)]
    [Format(FieldFormat.Name)]
    public string? Name { get; init; }

    [RequiredField]
    [MaxLength(40)]
    [Pattern(@"\d+:\d+|\d+:\d+:\d+", "a community such as 65001:10 or 65001:1:10")]
    public string? Value { get; init; }
}

public sealed record PrefixAdvertisement : ModelObject
{
    [RequiredField]
    [Format(FieldFormat.Net)]
    public string? Cidr { get; init; }

    /// <summary>Values, or names from the configuration's communities.</summary>
    [Items(50)]
    [RequiredField]
    public ValueList<string> Communities { get; init; }
}

/// <summary>Where a session's password is.</summary>
public sealed record BGPPassword : ModelObject
{
    public SecretKeySelector? SecretKeyRef { get; init; }
}

/// <summary>A key of a secret in the namespace of the node agent.</summary>
public sealed record SecretKeySelector : ModelObject
{
    public string? Name { get; init; }

    [RequiredField]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Key { get; init; }

    public bool? Optional { get; init; }
}
