using System.Buffers;
using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Core.Bgp.Mrt;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Node.Http;

/// <summary>
/// The speaker's routes as an MRT file, a page of the table at a time: what changes while it is written may be in it or not, as in
/// every dump of a living table. Its peers are those of the beginning; the first stands for the speaker itself.
/// </summary>
internal static class MrtDump
{
    /// <exception cref="AskTimeoutException">The speaker does not answer.</exception>
    public static async Task<OctetStream> BeginAsync(IActorRef speaker, TimeProvider time)
    {
        var status = await speaker.Ask<BgpProtocol.BgpStatus>(new BgpProtocol.GetBgpStatus(), BgpPages.Patience);
        return (to, cancellation) => WriteAsync(speaker, status, time.GetUtcNow(), to, cancellation);
    }

    private static async Task WriteAsync(IActorRef speaker, BgpProtocol.BgpStatus status, DateTimeOffset now, Stream to, CancellationToken cancellation)
    {
        var peers = status.Peers.DistinctBy(p => p.Address).ToImmutableArray();
        var places = peers.Select((p, i) => (p.Address, Place: (Index: (ushort)(i + 1), p.Since))).ToDictionary(p => p.Address, p => p.Place);
        var writer = new MrtWriter(now);
        var buffer = new ArrayBufferWriter<byte>();
        writer.WritePeers(buffer, status.RouterId, "", [new MrtPeer(IpAddr.Parse("0.0.0.0"), status.LocalAs) { Id = status.RouterId },
            .. peers.Select(p => new MrtPeer(p.Address, p.PeerAs) { Id = p.RouterId })]);
        foreach (var family in (Families[])[Families.Ipv4Unicast, Families.Ipv6Unicast])
        {
            for (int? after = 0; after is { } from;)
            {
                var page = (await speaker.Ask<BgpProtocol.BgpRoutes>(
                    new BgpProtocol.GetBgpRoutes(new RibQuery(family) { After = from, Limit = BgpPages.MaxPage }), BgpPages.Patience, cancellation)).Page;
                Write(writer, buffer, page.Routes, places, now);
                await to.WriteAsync(buffer.WrittenMemory, cancellation);
                buffer.ResetWrittenCount();
                after = page.Next;
            }
        }
    }

    // The routes of a prefix stand together.
    private static void Write(MrtWriter writer, ArrayBufferWriter<byte> buffer, ImmutableArray<RibRoute> routes,
        Dictionary<IpAddr, (ushort Index, DateTimeOffset Since)> places, DateTimeOffset now)
    {
        var ofPrefix = new List<MrtWriter.Route>();
        for (var i = 0; i < routes.Length; i++)
        {
            var route = routes[i];
            // A peer that was not there at the beginning is not in the list.
            if (route.Source.IsLocal)
                ofPrefix.Add(new(0, now, 0, route.NextHop, route.Attributes.Encode()));
            else if (places.TryGetValue(route.Source.Address, out var place))
                ofPrefix.Add(new(place.Index, place.Since, route.PathId, route.NextHop, route.Attributes.Encode()));
            if (i + 1 < routes.Length && routes[i + 1].Prefix == route.Prefix)
                continue;
            if (ofPrefix.Count > 0)
                writer.WriteRoutes(buffer, route.Prefix, ofPrefix);
            ofPrefix.Clear();
        }
    }
}
