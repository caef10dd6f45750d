using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Actors.Bgp;

/// <summary>
/// How far the start of the speaker is: which peers' routes are still awaited, and what follows for our own End-of-RIB
/// (RFC 4724 section 4.1) and for deleting what an earlier life left in the kernel.
/// </summary>
internal sealed record ConvergenceState
{
    public static ConvergenceState NotStarted { get; } = new();

    public bool Started { get; init; }
    public bool Restarting { get; init; }
    public bool OriginationComplete { get; init; }
    public bool TimeIsOver { get; init; }
    public bool Announced { get; init; }

    /// <summary>Names of the peers whose End-of-RIB has not come.</summary>
    public ImmutableHashSet<string> Expected { get; init; } = [];

    private ImmutableDictionary<ushort, (string Name, Families Open)> Open { get; init; } =
        ImmutableDictionary<ushort, (string Name, Families Open)>.Empty;

    public ImmutableArray<string> Missing => [.. Expected.Order(StringComparer.Ordinal)];

    public bool IsConverged => Started && (TimeIsOver || Expected.IsEmpty);

    public bool MayAnnounce => IsConverged && !Announced;

    /// <summary>A speaker that restarted tells its peers everything before it says that this was everything.</summary>
    public bool EndOfRibAllowed => TimeIsOver || (OriginationComplete && (!Restarting || IsConverged));

    /// <summary>A session with an expected peer is up; it will say when its families are complete.</summary>
    public ConvergenceState Await(ushort index, string name, Families families) =>
        Expected.Contains(name) ? this with { Open = Open.SetItem(index, (name, families)) } : this;

    /// <summary>The peer has said that families are complete.</summary>
    public ConvergenceState Ended(ushort index, Families families)
    {
        if (!Open.TryGetValue(index, out var peer))
            return this;
        var left = peer.Open & ~families;
        return left == Families.None
            ? With(peer.Name) with { Open = Open.Remove(index) }
            : this with { Open = Open.SetItem(index, (peer.Name, left)) };
    }

    /// <summary>The peer need not be waited for any more.</summary>
    public ConvergenceState With(string name) => this with { Expected = Expected.Remove(name) };
}
