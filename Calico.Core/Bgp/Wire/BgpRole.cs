namespace Calico.Core.Bgp.Wire;

/// <summary>What a speaker is to its external peer (RFC 9234 section 4.1), with the numbers of the capability.</summary>
public enum BgpRole : byte
{
    Provider = 0,
    RouteServer = 1,
    RouteServerClient = 2,
    Customer = 3,
    Peer = 4,
}

/// <summary>What a role means for routes (RFC 9234 section 5). Every role here is our own.</summary>
public static class BgpRoles
{
    /// <summary>The role that the other end must have.</summary>
    public static BgpRole Counterpart(this BgpRole ours) => ours switch
    {
        BgpRole.Provider => BgpRole.Customer,
        BgpRole.Customer => BgpRole.Provider,
        BgpRole.RouteServer => BgpRole.RouteServerClient,
        BgpRole.RouteServerClient => BgpRole.RouteServer,
        _ => BgpRole.Peer,
    };

    /// <summary>What the peer tells us may go on to customers only.</summary>
    public static bool IsFedFromAbove(this BgpRole ours) => ours is BgpRole.Customer or BgpRole.Peer or BgpRole.RouteServerClient;

    /// <summary>What we tell the peer may go on to its customers only.</summary>
    public static bool FeedsBelow(this BgpRole ours) => ours is BgpRole.Provider or BgpRole.Peer or BgpRole.RouteServer;

    /// <summary>As the RFC writes it, in lower case and with hyphens.</summary>
    public static string Text(this BgpRole role) => role switch
    {
        BgpRole.Provider => "provider",
        BgpRole.RouteServer => "rs",
        BgpRole.RouteServerClient => "rs-client",
        BgpRole.Customer => "customer",
        BgpRole.Peer => "peer",
        _ => $"role {(byte)role}",
    };

    public static bool TryParse(string text, out BgpRole role)
    {
        foreach (var known in Enum.GetValues<BgpRole>())
        {
            role = known;
            if (text.Equals(known.Text(), StringComparison.OrdinalIgnoreCase))
                return true;
        }
        role = default;
        return false;
    }
}
