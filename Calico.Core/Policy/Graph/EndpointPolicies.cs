using System.Collections.Immutable;

namespace Calico.Core.Policy.Graph;

/// <summary>
/// Consecutive policies of a tier with one selector: whatever endpoint one of them selects, all of them do, so several
/// endpoints can share one chain for the whole group. Staged policies are members but have no effect.
/// </summary>
public sealed record PolicyGroup(Direction Direction, string Selector, ImmutableArray<PolicyKey> Policies)
{
    public IEnumerable<PolicyKey> Enforced => Policies.Where(p => !p.IsStaged);

    public bool Equals(PolicyGroup? other) => other is not null && Direction == other.Direction
        && Selector == other.Selector && Policies.AsSpan().SequenceEqual(other.Policies.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Direction, Selector, Policies.Length);
}

/// <summary>The policies of one tier that select an endpoint, in evaluation order, for each direction.</summary>
public sealed record EndpointTier(string Name, bool DefaultPass, ImmutableArray<PolicyGroup> Ingress,
    ImmutableArray<PolicyGroup> Egress)
{
    public ImmutableArray<PolicyGroup> Groups(Direction direction) =>
        direction == Direction.Ingress ? Ingress : Egress;

    /// <summary>The policies of the direction in order, staged ones included.</summary>
    public IEnumerable<PolicyKey> Policies(Direction direction) => Groups(direction).SelectMany(g => g.Policies);

    /// <summary>
    /// True when a packet that no policy of the tier decides is dropped at its end: at least one policy is enforced in
    /// this direction and the tier does not pass by default.
    /// </summary>
    public bool DropsAtEnd(Direction direction) => !DefaultPass && Policies(direction).Any(p => !p.IsStaged);

    public bool Equals(EndpointTier? other) => other is not null && Name == other.Name
        && DefaultPass == other.DefaultPass && Ingress.AsSpan().SequenceEqual(other.Ingress.AsSpan())
        && Egress.AsSpan().SequenceEqual(other.Egress.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Name, DefaultPass, Ingress.Length, Egress.Length);
}

/// <summary>The four places a policy can be evaluated; workloads only know the normal one.</summary>
public enum PolicyStage : byte
{
    Normal = 0,
    Untracked = 1,
    PreDnat = 2,
    Forward = 3,
}

/// <summary>A local endpoint with everything that decides about its packets.</summary>
public sealed record EndpointPolicies
{
    public required LocalEndpoint Endpoint { get; init; }
    public ImmutableArray<EndpointTier> Normal { get; init; } = [];
    public ImmutableArray<EndpointTier> Untracked { get; init; } = [];
    public ImmutableArray<EndpointTier> PreDnat { get; init; } = [];
    public ImmutableArray<EndpointTier> Forward { get; init; } = [];

    public ImmutableArray<EndpointTier> Tiers(PolicyStage stage) => stage switch
    {
        PolicyStage.Untracked => Untracked,
        PolicyStage.PreDnat => PreDnat,
        PolicyStage.Forward => Forward,
        _ => Normal,
    };

    public bool Equals(EndpointPolicies? other) => other is not null && Endpoint.Equals(other.Endpoint)
        && Normal.AsSpan().SequenceEqual(other.Normal.AsSpan())
        && Untracked.AsSpan().SequenceEqual(other.Untracked.AsSpan())
        && PreDnat.AsSpan().SequenceEqual(other.PreDnat.AsSpan())
        && Forward.AsSpan().SequenceEqual(other.Forward.AsSpan());

    public override int GetHashCode() => HashCode.Combine(Endpoint, Normal.Length);
}
