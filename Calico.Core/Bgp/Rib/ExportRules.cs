using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// Which best routes a peer is told, and how they look to it (RFC 4271 section 9.1.3 and 5.1, RFC 1997, 9234).
/// <code>
///   source \ target    internal                           external
///   ours               next hop own address               next hop own address, path = own AS
///   external           next hop unchanged, LOCAL_PREF     next hop own address, own AS in front, no MED
///   internal           reflected (below), or never        own AS in front, MED <see cref="TransitMed"/>; next hop
///                                                         unchanged if on the link shared with the peer, else own;
///                                                         never what we forward through the peer itself
/// </code>
/// Reflection is RFC 4456: from a client to everybody inside, from others to clients. A reflected route stays as it is,
/// next hop, LOCAL_PREF and MED included; it gets the router it came from as ORIGINATOR_ID if it has none, and our
/// cluster in front of its CLUSTER_LIST. The router that is its originator is not bothered with it.
///
/// Every node of a mesh tells an external router about every block. The MED makes the router choose the node that
/// originates a block as long as that node tells it, and the last rule keeps a node from attracting what it would send
/// straight back.
/// </summary>
internal static class ExportRules
{
    /// <summary>Of routes that were learned from our own AS: worse than none, which counts as 0.</summary>
    public const uint TransitMed = 1;

    /// <summary>Whether a route may go to the peer at all; the policy is asked afterwards.</summary>
    public static bool Allows(in AttributeFacts facts, RibPeer source, RibPeer target)
    {
        if (source.Index == target.Index && !source.IsLocal)
            return false;
        if (source.IsInternal && target.IsInternal && !MayReflect(facts, source, target))
            return false;
        if (facts.Has(AttributeTraits.NoAdvertise) || (facts.Has(AttributeTraits.LlgrStale) && !target.KnowsLongLived))
            return false;
        if (target is { IsExternal: true, Role: { } role } && role.IsFedFromAbove() && facts.Has(AttributeTraits.OnlyToCustomer))
            return false;
        return !(target.IsExternal && facts.Has(AttributeTraits.NoExport | AttributeTraits.NoExportSubconfed));
    }

    /// <summary>False if there is no next hop that the peer could use.</summary>
    /// <param name="hop">The route's next hop.</param>
    /// <param name="link">How the peer itself is reached.</param>
    /// <param name="transit">Learned from our own AS, for another.</param>
    public static bool TryNextHop(Families family, NextHopEntry hop, RibPeer target, NextHopResolution link, bool transit,
        out IpAddr told)
    {
        var automatic = target.NextHopMode == NextHopMode.Auto;
        var self = hop.IsSelf || target.NextHopMode == NextHopMode.Self
            || (automatic && target.IsExternal && !(transit && SharesLink(hop.Resolution, link)));
        told = hop.Address;
        if (self)
        {
            if (target.OwnNextHop(family) is not { } own)
                return false;
            told = own;
        }
        // RFC 8950 section 4: a next hop of the other family goes only to who can read it.
        if (!told.IsV4 && family == Families.Ipv4Unicast && !target.Context.ExtendedNextHop)
            return false;
        // RFC 4271 section 5.1.3: nobody is told that it is itself the next hop; nor is it a detour over us.
        return told != target.Address && !(transit && hop.Resolution.Gateway == target.Address);
    }

    public static AttributeEdits Edits(IpAddr told, RibPeer source, RibPeer target,
        RouterId clusterId) => new()
        {
            FourOctetAs = target.Context.FourOctetAs,
            NextHop = told.IsV4 ? told : null,
            Prepend = target.IsExternal ? target.LocalAs : null,
            DropInternal = target.IsExternal,
            DropMed = target.IsExternal && !source.IsLocal,
            Med = IsTransit(source, target) ? TransitMed : null,
            DefaultLocalPref = target.IsInternal ? AttributeFacts.DefaultLocalPref : null,
            DefaultOriginator = IsReflected(source, target) ? source.RouterId : null,
            Cluster = IsReflected(source, target) ? clusterId : null,
            DefaultOnlyTo = target is { IsExternal: true, Role: { } role } && role.FeedsBelow() ? target.LocalAs : null,
        };

    public static bool IsReflected(RibPeer source, RibPeer target) => source.IsInternal && target.IsInternal;

    /// <summary>Whether an internal peer can be told what this source says, whatever the route.</summary>
    public static bool CanReflect(RibPeer source, RibPeer target) => source.IsClient || target.IsClient;

    public static bool IsTransit(RibPeer source, RibPeer target) => source.IsInternal && target.IsExternal;

    private static bool MayReflect(in AttributeFacts facts, RibPeer source, RibPeer target) =>
        CanReflect(source, target) && target.RouterId
            != (facts.Has(AttributeTraits.HasOriginatorId) ? facts.OriginatorId : source.RouterId);

    // The third-party next hop of RFC 4271 section 5.1.3.
    private static bool SharesLink(NextHopResolution hop, NextHopResolution peer) =>
        hop is { Reachable: true, Gateway: null, LinkIndex: not 0 }
        && peer is { Reachable: true, Gateway: null } && hop.LinkIndex == peer.LinkIndex;
}
