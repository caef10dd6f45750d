using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Resources;

/// <summary>Labelled networks that policies of any namespace can select.</summary>
public sealed record GlobalNetworkSet() : Resource(ResourceKind.GlobalNetworkSet)
{
    public NetworkSetSpec Spec { get; init => field = value ?? new(); } = new();
}

/// <summary>Labelled networks that belong to a namespace.</summary>
public sealed record NetworkSet() : Resource(ResourceKind.NetworkSet)
{
    public NetworkSetSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record NetworkSetSpec : ModelObject
{
    /// <summary>CIDRs and single addresses of both families.</summary>
    [Items(int.MaxValue, Unique = true, TakesDuplicates = true)]
    [Format(FieldFormat.Cidr)]
    public ValueList<string> Nets { get; init; }
}
