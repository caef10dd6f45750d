using System.Collections.Immutable;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Graph;

/// <summary>What came of telling the graph about a set's members.</summary>
public enum SetUpdateResult : byte
{
    Applied = 0,

    /// <summary>The graph was already at this revision or a later one.</summary>
    AlreadyKnown = 1,

    /// <summary>The delta builds on a revision the graph does not have; it needs a snapshot.</summary>
    Gap = 2,
}

/// <summary>A set that local rules refer to, with what is known of its members.</summary>
/// <param name="IsKnown">False until the first snapshot arrived; the set is empty then.</param>
public sealed record ActiveSet(SetDefinition Definition, bool IsKnown, ImmutableArray<SetMember> Members);

/// <summary>Rules as they are to be enforced: as compiled, or fail-closed while members of a set are missing.</summary>
public sealed record ActivePolicy(CompiledPolicy Compiled, ImmutableArray<CompiledRule> Ingress,
    ImmutableArray<CompiledRule> Egress)
{
    public ImmutableArray<CompiledRule> Rules(Direction direction) =>
        direction == Direction.Ingress ? Ingress : Egress;
}

/// <summary>Profile rules as they are to be enforced; a profile nobody knows denies.</summary>
public sealed record ActiveProfile(string Name, long Revision, ImmutableArray<CompiledRule> Ingress,
    ImmutableArray<CompiledRule> Egress)
{
    public ImmutableArray<CompiledRule> Rules(Direction direction) =>
        direction == Direction.Ingress ? Ingress : Egress;
}

/// <summary>Why an endpoint's policy is not complete yet; empty lists and in sync mean that it is.</summary>
public sealed record EndpointReadiness(string EndpointId, bool InSync, ImmutableArray<string> MissingSets,
    ImmutableArray<string> MissingProfiles)
{
    /// <summary>
    /// True when all that selects the endpoint is known and complete. A missing profile does not hold it up: its rules
    /// deny, which is also the final answer for a profile that does not exist.
    /// </summary>
    public bool IsReady => InSync && MissingSets.IsEmpty;
}

/// <summary>
/// The difference between what the graph wanted at the last flush and what it wants now. Every list is sorted by key;
/// an object is in at most one list of its kind. Applied from nothing, the first changes are the whole state.
/// </summary>
public sealed record GraphChanges
{
    public ImmutableArray<ActiveSet> SetsAdded { get; init; } = [];
    public ImmutableArray<SetDelta> SetsChanged { get; init; } = [];
    public ImmutableArray<string> SetsRemoved { get; init; } = [];
    public ImmutableArray<ActivePolicy> PoliciesChanged { get; init; } = [];
    public ImmutableArray<PolicyKey> PoliciesRemoved { get; init; } = [];
    public ImmutableArray<ActiveProfile> ProfilesChanged { get; init; } = [];
    public ImmutableArray<string> ProfilesRemoved { get; init; } = [];
    public ImmutableArray<EndpointPolicies> EndpointsChanged { get; init; } = [];

    /// <summary>Endpoints that are gone, as they were last rendered.</summary>
    public ImmutableArray<EndpointPolicies> EndpointsRemoved { get; init; } = [];

    public bool IsEmpty => SetsAdded.IsEmpty && SetsChanged.IsEmpty && SetsRemoved.IsEmpty
        && PoliciesChanged.IsEmpty && PoliciesRemoved.IsEmpty && ProfilesChanged.IsEmpty && ProfilesRemoved.IsEmpty
        && EndpointsChanged.IsEmpty && EndpointsRemoved.IsEmpty;
}
