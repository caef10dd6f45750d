using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>What a rule or the end of a tier does with a packet.</summary>
public static class RuleAction
{
    public const string Allow = nameof(Allow);
    public const string Deny = nameof(Deny);
    public const string Log = nameof(Log);
    public const string Pass = nameof(Pass);
}

/// <summary>One rule of a policy or profile: every field that is there must match.</summary>
public sealed record Rule : ModelObject
{
    [RequiredField]
    [OneOf(RuleAction.Allow, RuleAction.Deny, RuleAction.Log, RuleAction.Pass)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Action { get; init; }

    [OneOfNumbers(4, 6)]
    public int? IpVersion { get; init; }

    public Protocol? Protocol { get; init; }
    public IcmpFields? Icmp { get; init; }
    public Protocol? NotProtocol { get; init; }
    public IcmpFields? NotICMP { get; init; }
    public EntityRule? Source { get; init; }
    public EntityRule? Destination { get; init; }
    public HttpMatch? Http { get; init; }
    public RuleMetadata? Metadata { get; init; }
}

/// <summary>One end of the traffic that a rule matches.</summary>
public sealed record EntityRule : ModelObject
{
    [Items(256)]
    [Format(FieldFormat.Net)]
    public ValueList<string> Nets { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? Selector { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.NamespaceSelector)]
    public string? NamespaceSelector { get; init; }

    public ServiceMatch? Services { get; init; }

    [Items(50)]
    public ValueList<Port> Ports { get; init; }

    [Items(256)]
    [Format(FieldFormat.Net)]
    public ValueList<string> NotNets { get; init; }

    [MaxLength(1024)]
    [Format(FieldFormat.Selector)]
    public string? NotSelector { get; init; }

    [Items(50)]
    public ValueList<Port> NotPorts { get; init; }

    public ServiceAccountMatch? ServiceAccounts { get; init; }
}

public sealed record IcmpFields : ModelObject
{
    [Between(0, 254)]
    public int? Type { get; init; }

    /// <summary>Only with a type.</summary>
    [Between(0, 255)]
    public int? Code { get; init; }
}

/// <summary>Names a Kubernetes service whose endpoints are the match.</summary>
public sealed record ServiceMatch : ModelObject
{
    [MaxLength(253)]
    [Format(FieldFormat.Name)]
    public string? Name { get; init; }

    [MaxLength(253)]
    [Format(FieldFormat.Name)]
    public string? Namespace { get; init; }
}

/// <summary>Pods by their service account: any of the names, and matching labels of the account.</summary>
public sealed record ServiceAccountMatch : ModelObject
{
    public ValueList<string> Names { get; init; }

    [Format(FieldFormat.Selector)]
    public string? Selector { get; init; }
}

/// <summary>An HTTP match, which only an application-layer proxy can decide.</summary>
public sealed record HttpMatch : ModelObject
{
    [Items(20, Unique = true)]
    public ValueList<string> Methods { get; init; }

    [Items(20)]
    public ValueList<HttpPath> Paths { get; init; }
}

/// <summary>Exactly one of both is set.</summary>
public sealed record HttpPath : ModelObject
{
    [MaxLength(1024)]
    public string? Exact { get; init; }

    [MaxLength(1024)]
    public string? Prefix { get; init; }
}

public sealed record RuleMetadata : ModelObject
{
    public StringMap Annotations { get; init; }
}
