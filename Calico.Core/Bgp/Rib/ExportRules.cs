using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// Which best routes a peer is told, and how they look to it (RFC 4271 section 9.1.3 and 5.1, RFC 1997).
/// <code>
///   source \ target    internal                           external
///   ours               next hop own address               next hop own address, path = own AS
///   external           next hop unchanged, LOCAL_PREF     next hop own address, own AS in front, no MED
///   internal           never                              next hop own address, own AS in front, no MED
/// </code>
/// </summary>
internal static class ExportRules
{
    /// <summary>Whether a route may go to the peer at all; the policy is asked afterwards.</summary>
    public static bool Allows(in AttributeFacts facts, RibPeer source, RibPeer target)
    {
        if (source.Index == target.Index && !source.IsLocal)
            return false;
        if (source.IsInternal && target.IsInternal)
            return false;
        if (facts.Has(AttributeTraits.NoAdvertise))
            return false;
        return !(target.IsExternal && facts.Has(AttributeTraits.NoExport | AttributeTraits.NoExportSubconfed));
    }

    /// <summary>False if there is no next hop that the peer could use.</summary>
    public static bool TryNextHop(Families family, IpAddr nextHop, RibPeer target, out IpAddr told)
    {
        var self = nextHop.IsUnspecified || target.NextHopMode switch
        {
            NextHopMode.Self => true,
            NextHopMode.Keep => false,
            _ => target.IsExternal,
        };
        told = nextHop;
        if (self)
        {
            if (target.OwnNextHop(family) is not { } own)
                return false;
            told = own;
        }
        // RFC 4271 section 5.1.3: nobody is told that it is itself the next hop.
        return told != target.Address;
    }

    public static AttributeEdits Edits(Families family, IpAddr told, bool learned, RibPeer target) => new()
    {
        FourOctetAs = target.Context.FourOctetAs,
        NextHop = family == Families.Ipv4Unicast ? told : null,
        Prepend = target.IsExternal ? target.LocalAs : null,
        DropInternal = target.IsExternal,
        DropMed = target.IsExternal && learned,
        DefaultLocalPref = target.IsInternal ? AttributeFacts.DefaultLocalPref : null,
    };
}
