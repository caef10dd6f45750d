using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>Options of the controllers; only <c>default</c> is read.</summary>
public sealed record KubeControllersConfiguration() : Resource(ResourceKind.KubeControllersConfiguration)
{
    public KubeControllersConfigurationSpec Spec { get; init => field = value ?? new(); } = new();
    public KubeControllersConfigurationStatus Status { get; init => field = value ?? new(); } = new();
}

public sealed record KubeControllersConfigurationSpec : ModelObject
{
    /// <summary>The port of the controllers' metrics where none is given.</summary>
    public const int DefaultMetricsPort = 9094;

    [OneOf("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic")]
    public string? LogSeverityScreen { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? HealthChecks { get; init; }

    /// <summary>0 turns compaction off.</summary>
    public GoDuration? EtcdV3CompactionPeriod { get; init; }

    [Between(0, 65535)]
    public int? PrometheusMetricsPort { get; init; }

    public ControllersConfig Controllers { get; init => field = value ?? new(); } = new();

    [Between(0, 65535)]
    public int? DebugProfilePort { get; init; }
}

public sealed record ControllersConfig : ModelObject
{
    public NodeControllerConfig? Node { get; init; }
    public ReconcilerConfig? Policy { get; init; }
    public ReconcilerConfig? WorkloadEndpoint { get; init; }
    public ReconcilerConfig? ServiceAccount { get; init; }
    public ReconcilerConfig? Namespace { get; init; }
    public LoadBalancerControllerConfig? LoadBalancer { get; init; }
    public MigrationControllerConfig? Migration { get; init; }
}

public sealed record ReconcilerConfig : ModelObject
{
    /// <summary>Absent is 5 minutes.</summary>
    public GoDuration? ReconcilerPeriod { get; init; }
}

public sealed record NodeControllerConfig : ModelObject
{
    public GoDuration? ReconcilerPeriod { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? SyncLabels { get; init; }

    public AutoHostEndpointConfig? HostEndpoint { get; init; }

    /// <summary>How long an address may be without its pod before it is taken back; absent is 15 minutes, 0 is never.</summary>
    public GoDuration? LeakGracePeriod { get; init; }
}

public sealed record AutoHostEndpointConfig : ModelObject
{
    [OneOf("Enabled", "Disabled")]
    public string? AutoCreate { get; init; }

    [OneOf("Enabled", "Disabled")]
    public string? CreateDefaultHostEndpoint { get; init; }

    public ValueList<HostEndpointTemplate> Templates { get; init; }
}

/// <summary>Host endpoints to create for interfaces by address or name.</summary>
public sealed record HostEndpointTemplate : ModelObject
{
    /// <summary>The middle part of the endpoint's name.</summary>
    [MaxLength(253)]
    [Format(FieldFormat.Name)]
    public string? GenerateName { get; init; }

    [Items(int.MaxValue, Unique = true, TakesDuplicates = true)]
    [Format(FieldFormat.Cidr)]
    public ValueList<string> InterfaceCIDRs { get; init; }

    [Format(FieldFormat.Regex)]
    public string? InterfacePattern { get; init; }

    public StringMap Labels { get; init; }
    public StringMap Annotations { get; init; }

    [Format(FieldFormat.Selector)]
    public string? NodeSelector { get; init; }
}

public sealed record LoadBalancerControllerConfig : ModelObject
{
    [OneOf("AllServices", "RequestedServicesOnly")]
    public string? AssignIPs { get; init; }
}

public sealed record MigrationControllerConfig : ModelObject
{
    [OneOf("Disabled", "Enabled")]
    public string? PolicyNameMigrator { get; init; }
}

/// <summary>What the controllers run with.</summary>
public sealed record KubeControllersConfigurationStatus : ModelObject
{
    public KubeControllersConfigurationSpec? RunningConfig { get; init; }
    public StringMap EnvironmentVars { get; init; }
}
