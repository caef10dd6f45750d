using System.Text.Json;

namespace Calico.Core.Model.Resources;

/// <summary>Kubernetes' object metadata, in the field order of its encoder.</summary>
public sealed record ObjectMeta : ModelObject
{
    public string? Name { get; init; }
    public string? GenerateName { get; init; }
    public string? Namespace { get; init; }
    public string? SelfLink { get; init; }
    public string? Uid { get; init; }

    /// <summary>In etcd the ModRevision as a decimal number; never part of the stored value.</summary>
    public string? ResourceVersion { get; init; }

    public long Generation { get; init; }
    public DateTimeOffset? CreationTimestamp { get; init; }
    public DateTimeOffset? DeletionTimestamp { get; init; }
    public long? DeletionGracePeriodSeconds { get; init; }
    public StringMap Labels { get; init; }
    public StringMap Annotations { get; init; }
    public ValueList<OwnerReference> OwnerReferences { get; init; }
    public ValueList<string> Finalizers { get; init; }
    public JsonElement? ManagedFields { get; init; }
}

public sealed record OwnerReference : ModelObject
{
    public string? ApiVersion { get; init; }
    public string? Kind { get; init; }
    public string? Name { get; init; }
    public string? Uid { get; init; }
    public bool? Controller { get; init; }
    public bool? BlockOwnerDeletion { get; init; }
}

/// <summary>One entry of a status' standard condition list.</summary>
public sealed record Condition : ModelObject
{
    public string? Type { get; init; }
    public string? Status { get; init; }
    public long ObservedGeneration { get; init; }
    public DateTimeOffset? LastTransitionTime { get; init; }
    public string? Reason { get; init; }
    public string? Message { get; init; }
}
