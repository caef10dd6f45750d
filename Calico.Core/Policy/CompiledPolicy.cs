using System.Collections.Immutable;

namespace Calico.Core.Policy;

/// <summary>The directions a policy governs, as its <c>types</c> list says.</summary>
[Flags]
public enum PolicyTypes : byte
{
    None = 0,
    Ingress = 1,
    Egress = 2,
    Both = Ingress | Egress,
}

/// <summary>What a set holds and how its members are found.</summary>
public enum SetKind : byte
{
    /// <summary>Addresses of the endpoints and networks of the network sets that a selector selects.</summary>
    Selector = 0,

    /// <summary>Address, protocol and port of every endpoint the selector selects that names the port.</summary>
    NamedPort = 1,

    /// <summary>Address, protocol and port of every endpoint of a service.</summary>
    Service = 2,

    /// <summary>Addresses of every endpoint of a service.</summary>
    ServiceAddresses = 3,
}

/// <summary>
/// A set that a compiled rule refers to by <see cref="Id"/>. The id is a hash over the rest, so two policies that mean
/// the same members share one set on the whole cluster.
/// </summary>
public sealed record SetDefinition(string Id, SetKind Kind)
{
    /// <summary>The canonical selector text of a selector or named port set, else empty.</summary>
    public string Selector { get; init; } = "";

    /// <summary>The port's name in a named port set, else empty.</summary>
    public string PortName { get; init; } = "";

    /// <summary>The protocol a named port must have; 0 takes TCP, UDP and SCTP.</summary>
    public byte Protocol { get; init; }

    /// <summary><c>namespace/name</c> of the service, else empty.</summary>
    public string Service { get; init; } = "";

    /// <summary>True when members carry protocol and port.</summary>
    public bool HasPorts => Kind is SetKind.NamedPort or SetKind.Service;
}

/// <summary>
/// A policy as nodes receive it. It is complete but for the members of its <see cref="Sets"/>, which travel as their
/// own stream. A later compilation of the same key has a higher <see cref="Revision"/>.
/// </summary>
public sealed record CompiledPolicy
{
    public required PolicyKey Key { get; init; }

    /// <summary>The datastore revision of the resource this was compiled from.</summary>
    public required long Revision { get; init; }

    public string Tier { get; init; } = "default";

    /// <summary>Ascending order inside the tier; null sorts last.</summary>
    public double? Order { get; init; }

    /// <summary>Canonical text of the selector of the endpoints the policy applies to.</summary>
    public required string Selector { get; init; }

    /// <summary>Id of the set that <see cref="Selector"/> would be.</summary>
    public required string SelectorId { get; init; }

    public PolicyTypes Types { get; init; } = PolicyTypes.Both;
    public bool DoNotTrack { get; init; }
    public bool PreDnat { get; init; }
    public bool ApplyOnForward { get; init; }

    /// <summary>The performance hint that keeps the policy's sets and chains ready on nodes it selects nothing on.</summary>
    public bool AssumeNeededOnEveryNode { get; init; }

    public ImmutableArray<CompiledRule> Ingress { get; init; } = [];
    public ImmutableArray<CompiledRule> Egress { get; init; } = [];

    /// <summary>The sets the rules refer to, sorted by id, each once.</summary>
    public ImmutableArray<SetDefinition> Sets { get; init; } = [];

    public bool Governs(Direction direction) =>
        (Types & (direction == Direction.Ingress ? PolicyTypes.Ingress : PolicyTypes.Egress)) != 0;

    public ImmutableArray<CompiledRule> Rules(Direction direction) =>
        direction == Direction.Ingress ? Ingress : Egress;

    public bool Equals(CompiledPolicy? other) => other is not null
        && Revision == other.Revision && SameMeaning(other);

    public override int GetHashCode() => HashCode.Combine(Key, Revision);

    /// <summary>True when the two differ at most in their revision.</summary>
    public bool SameMeaning(CompiledPolicy other) => Key == other.Key && Tier == other.Tier && Order == other.Order
        && Selector == other.Selector && SelectorId == other.SelectorId && Types == other.Types
        && DoNotTrack == other.DoNotTrack && PreDnat == other.PreDnat && ApplyOnForward == other.ApplyOnForward
        && AssumeNeededOnEveryNode == other.AssumeNeededOnEveryNode
        && Ingress.AsSpan().SequenceEqual(other.Ingress.AsSpan())
        && Egress.AsSpan().SequenceEqual(other.Egress.AsSpan()) && Sets.AsSpan().SequenceEqual(other.Sets.AsSpan());
}

/// <summary>A profile as nodes receive it: rules tried after every tier, and labels its endpoints inherit.</summary>
public sealed record CompiledProfile
{
    public required string Name { get; init; }

    /// <summary>The datastore revision of the resource this was compiled from.</summary>
    public required long Revision { get; init; }

    public ImmutableArray<CompiledRule> Ingress { get; init; } = [];
    public ImmutableArray<CompiledRule> Egress { get; init; } = [];
    public ImmutableArray<SetDefinition> Sets { get; init; } = [];

    /// <summary>Labels that endpoints of the profile inherit unless they, or an earlier profile, have the key.</summary>
    public ImmutableArray<KeyValuePair<string, string>> LabelsToApply { get; init; } = [];

    public ImmutableArray<CompiledRule> Rules(Direction direction) =>
        direction == Direction.Ingress ? Ingress : Egress;

    public bool Equals(CompiledProfile? other) =>
        other is not null && Revision == other.Revision && SameMeaning(other);

    public override int GetHashCode() => HashCode.Combine(Name, Revision);

    /// <summary>True when the two differ at most in their revision.</summary>
    public bool SameMeaning(CompiledProfile other) => Name == other.Name && SameRules(other)
        && LabelsToApply.AsSpan().SequenceEqual(other.LabelsToApply.AsSpan());

    /// <summary>True when the rules are the same; labels alone do not reach the kernel.</summary>
    public bool SameRules(CompiledProfile other) => Ingress.AsSpan().SequenceEqual(other.Ingress.AsSpan())
        && Egress.AsSpan().SequenceEqual(other.Egress.AsSpan());
}

/// <summary>A tier as the ordering needs it.</summary>
public sealed record TierState(string Name, double? Order, bool DefaultPass)
{
    /// <summary>The tier that policies without one belong to.</summary>
    public const string Default = "default";
}
