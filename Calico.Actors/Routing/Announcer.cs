using System.Collections.Immutable;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// Has the speaker announce what is ours, telling it differences. Our routes carry the cluster's normal priority as
/// LOCAL_PREF. Not thread-safe.
/// </summary>
internal sealed class Announcer(OwnPrefixes own, RoutingIntroductions introduced)
{
    // Announced by this incarnation, which repeats what an earlier one has announced.
    private ImmutableHashSet<Cidr> _told = [];
    private (uint V4, uint V6) _priorities = (RoutePriority.Normal, RoutePriority.Normal);
    private bool _isComplete;

    /// <summary>Tells a speaker that knows nothing.</summary>
    public void Introduce()
    {
        Repeat();
        if (_isComplete)
            introduced.Tell(new BgpProtocol.OriginationComplete());
    }

    /// <summary>From now on our routes have these priorities.</summary>
    public void SetPriorities(uint v4, uint v6)
    {
        if (_priorities == (v4, v6))
            return;
        _priorities = (v4, v6);
        Repeat();
    }

    /// <summary>
    /// Tells what has changed of everything that is ours; nothing before the blocks are known. What an earlier incarnation has
    /// announced is only taken back by those who can know that it is gone.
    /// </summary>
    /// <param name="lostBlocks">Blocks that are certainly not ours any more.</param>
    public void Update(ImmutableArray<Cidr> lostBlocks = default)
    {
        if (own.Blocks is null)
            return;
        var wanted = own.All.ToHashSet();
        var gone = introduced.Announced.Where(a => !wanted.Contains(a));
        if (!own.KnowsResources)
            gone = gone.Where(a => _told.Contains(a) || (!lostBlocks.IsDefault && lostBlocks.Contains(a)));
        Update([.. wanted.Where(w => !_told.Contains(w))], [.. gone]);
    }

    /// <summary>The same where it is known what has changed.</summary>
    public void Update(ImmutableArray<Cidr> gained, ImmutableArray<Cidr> lost)
    {
        if (!gained.IsEmpty || !lost.IsEmpty)
            introduced.Tell(new BgpProtocol.OriginateRoutes([.. gained.Select(RouteTo)], lost));
        _told = _told.Union(gained).Except(lost);
        introduced.Announced = introduced.Announced.Union(gained).Except(lost);
        if (_isComplete || !own.IsComplete)
            return;
        _isComplete = true;
        introduced.Tell(new BgpProtocol.OriginationComplete());
    }

    private void Repeat()
    {
        if (!_told.IsEmpty)
            introduced.Tell(new BgpProtocol.OriginateRoutes([.. _told.Order().Select(RouteTo)], []));
    }

    private OriginatedRoute RouteTo(Cidr prefix) =>
        new(prefix, PathAttributes.Local with { LocalPref = RoutePriority.ToLocalPref(prefix.IsV4 ? _priorities.V4 : _priorities.V6) });
}
