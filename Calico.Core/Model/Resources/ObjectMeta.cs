using System.Text.Json;
using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;

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
    [RequiredField]
    [MaxLength(316)]
    [Pattern(@"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])",
        "a name such as Ready or example.com/Ready")]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Type { get; init; }

    [RequiredField]
    [OneOf("True", "False", "Unknown")]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Status { get; init; }

    [Between(0, long.MaxValue)]
    public long ObservedGeneration { get; init; }

    [RequiredField]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public DateTimeOffset? LastTransitionTime { get; init; }

    [RequiredField]
    [MaxLength(1024)]
    [Pattern("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", "one word of letters, digits and '_', such as AllReady")]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Reason { get; init; }

    [MaxLength(32768)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Message { get; init; }
}
