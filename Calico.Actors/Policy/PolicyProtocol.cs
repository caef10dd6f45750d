using Calico.Actors.Cluster.Owners;

namespace Calico.Actors.Policy;

/// <summary>Addressed to the owner of a policy, by its datastore key.</summary>
public interface IWithPolicy : IWithOwner
{
    string PolicyKey { get; }

    string IWithOwner.Owner => PolicyKey;
}

/// <summary>
/// What wakes the owner of a policy. What the owner has to say is not a message: it publishes the compiled policy and
/// its sets into the policy log of its member, from which every node pulls.
/// </summary>
public static class PolicyProtocol
{
    /// <summary>The policy exists at this revision (or, with 0, exists no longer): be there.</summary>
    public sealed record TouchPolicy(string PolicyKey, long Revision) : IWithPolicy;
}
