using System.Collections.Immutable;
using Calico.Actors.Protocol;
using Calico.Core.Policy;

namespace Calico.Actors.Policy;

/// <summary>What owners of policies say to the index of their member. Local.</summary>
public static class IndexProtocol
{
    /// <summary>
    /// The sender's policy refers to exactly these sets now; what it held before and does not name is let go. When the
    /// sender stops, all of them are.
    /// </summary>
    public sealed record HoldSets(ImmutableArray<SetDefinition> Sets) : ILocalMessage;
}
