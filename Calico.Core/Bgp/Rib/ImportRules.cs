using System.Buffers.Binary;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// Which routes of a peer are usable at all (RFC 4271 section 9 and 9.1.2, RFC 4456 section 8): not those that have
/// been here before, by our AS, identifier or cluster, not those whose next hop is ourselves, and not those that leaked by
/// the roles of RFC 9234. The session minds none of it.
/// </summary>
internal static class ImportRules
{
    /// <summary>The interned set, or <see cref="AttributeTable.None"/> if the routes cannot be used.</summary>
    public static int Admit(RibPeer source, IpAddr nextHop, ReadOnlySpan<byte> canonical, in ImportContext context,
        AttributeTable table)
    {
        if (CountOwnAs(source, CanonicalAttributes.AsPathOf(canonical), context.Config) > source.AllowedOwnAs)
            return AttributeTable.None;
        if (context.IsOwnAddress(nextHop))
            return AttributeTable.None;
        if (source.IsInternal && HasBeenReflectedHere(canonical, context.Config))
            return AttributeTable.None;
        if (source is not { IsExternal: true, Role: { } role })
            return table.Intern(canonical, nextHop);
        if (!CanonicalAttributes.TryFind(canonical, AttributeType.OnlyToCustomer, out var by))
            return role.IsFedFromAbove() ? InternMarked(source, canonical, nextHop, table) : table.Intern(canonical, nextHop);
        return IsLeak(source, role, BinaryPrimitives.ReadUInt32BigEndian(by)) ? AttributeTable.None : table.Intern(canonical, nextHop);
    }

    // RFC 9234 section 5: what has been told downwards or across must not come up again, nor from across but by who told it.
    private static bool IsLeak(RibPeer source, BgpRole role, uint by) => role switch
    {
        BgpRole.Provider or BgpRole.RouteServer => true,
        BgpRole.Peer => by != source.As.Value,
        _ => false,
    };

    // As the sender should have.
    private static int InternMarked(RibPeer source, ReadOnlySpan<byte> canonical, IpAddr nextHop, AttributeTable table)
    {
        var bound = AttributeEdits.Bound(canonical.Length);
        var w = new WireWriter(bound <= 1024 ? stackalloc byte[bound] : new byte[bound]);
        new AttributeEdits { FourOctetAs = true, DefaultOnlyTo = source.As }.Write(ref w, canonical);
        return table.Intern(w.Written, nextHop);
    }

    // Both the AS that we show to the peer and the speaker's are our own, unless the peer itself is in the latter.
    private static int CountOwnAs(RibPeer source, ReadOnlySpan<byte> path, RibConfig self)
    {
        var speakers = self.LocalAs == source.As ? source.LocalAs : self.LocalAs;
        return AsPath.CountAs(path, source.LocalAs.Value, speakers.Value);
    }

    private static bool HasBeenReflectedHere(ReadOnlySpan<byte> canonical, RibConfig self)
    {
        if (CanonicalAttributes.TryFind(canonical, AttributeType.OriginatorId, out var originator)
            && BinaryPrimitives.ReadUInt32BigEndian(originator) == self.RouterId.Value)
            return true;
        if (!CanonicalAttributes.TryFind(canonical, AttributeType.ClusterList, out var clusters))
            return false;
        for (var i = 0; i < clusters.Length; i += 4)
        {
            if (BinaryPrimitives.ReadUInt32BigEndian(clusters[i..]) == self.ClusterId.Value)
                return true;
        }
        return false;
    }
}
