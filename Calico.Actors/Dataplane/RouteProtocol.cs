using System.Collections.Immutable;
using Calico.Actors.Protocol;
using Calico.Kernel.Routes;

namespace Calico.Actors.Dataplane;

/// <summary>Who wants a route. Where two want the same destination the first in this order has it.</summary>
public enum RouteSource : byte
{
    /// <summary>The /32 and /128 routes to this node's pods.</summary>
    Workloads = 0,

    /// <summary>Blackholes for this node's own blocks: an address nobody has must not leave the node.</summary>
    Blocks = 1,

    /// <summary>To BGP peers that are reached by a gateway of their own.</summary>
    Peers = 2,

    /// <summary>Learned by BGP.</summary>
    Bgp = 3,
}

/// <summary>What is said to the writer of routes. Local.</summary>
public static class RouteProtocol
{
    /// <summary>These routes are wanted now, those keys no longer. Answered with <see cref="RoutesCommitted"/> if an id is given.</summary>
    public sealed record ChangeRoutes(RouteSource Source, ImmutableArray<Route> Wanted, ImmutableArray<RouteKey> Unwanted,
        long? RequestId = null) : ILocalMessage;

    /// <summary>
    /// The source has said everything that it knows: routes of ours that nobody wants may now be removed, if all
    /// sources have said so. Before that a restarted agent leaves alone what it finds.
    /// </summary>
    public sealed record SourceComplete(RouteSource Source) : ILocalMessage;

    /// <summary>The kernel has the routes of that request; <paramref name="Failed"/> are those it refused, with the reason.</summary>
    public sealed record RoutesCommitted(long RequestId, ImmutableArray<(RouteKey Key, string Reason)> Failed) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    public sealed record Status(int Wanted, int Present, int Failed, long Writes, bool Complete) : ILocalMessage;
}
