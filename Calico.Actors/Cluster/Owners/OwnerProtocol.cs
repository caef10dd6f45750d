using System.Collections.Immutable;
using Calico.Actors.Protocol;

namespace Calico.Actors.Cluster.Owners;

/// <summary>Addressed to the owner of one fact: of a block, a node, a policy. Told to the region of its kind, on any member.</summary>
public interface IWithOwner : IWireMessage
{
    /// <summary>What the owner is called, the same on every member: a CIDR, a node's name, a datastore key.</summary>
    string Owner { get; }
}

/// <summary>What owners, their host and their region say to each other. Nothing of it leaves the member.</summary>
internal static class OwnerProtocol
{
    /// <summary>Said by an owner to its parent: nobody needs it for now. What arrives until it has stopped is for its successor.</summary>
    public sealed class Passivate : ITick
    {
        public static readonly Passivate Instance = new();
    }

    /// <summary>Who owns what from now on.</summary>
    public sealed record Members(OwnerTable Table) : ITick;

    /// <summary>Which owners are awake on this member?</summary>
    public sealed class GetAwake : ITick
    {
        public static readonly GetAwake Instance = new();
    }

    public sealed record Awake(ImmutableArray<string> Owners) : ITick;
}
