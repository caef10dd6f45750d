using Calico.Core.Net;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Routes;

/// <summary>
/// The kernel's routes over rtnetlink. A change costs no allocation: requests are packed into one reused buffer, sent
/// together, and only refusals are answered.
/// </summary>
internal sealed class RouteTable(NetlinkSocket socket) : NetlinkTable(socket), IRouteTable
{
    // Beyond this a larger send gains nothing and falls out of the processor's caches.
    internal const int BatchBytes = 64 * 1024;

    public IReadOnlyList<Route> Dump(RouteFilter filter)
    {
        var routes = new List<Route>();
        if (filter.Family is null or IpVersion.V4)
            DumpFamily(IpVersion.V4, filter, routes);
        if (filter.Family is null or IpVersion.V6)
            DumpFamily(IpVersion.V6, filter, routes);
        return routes;
    }

    public void Apply(ReadOnlySpan<RouteChange> changes, Span<Errno> results)
    {
        if (results.Length < changes.Length)
            throw new ArgumentException("one result a change", nameof(results));
        var done = 0;
        while (done < changes.Length)
        {
            var taken = Pack(changes[done..]);
            var part = results.Slice(done, taken);
            Socket.Exchange(Batch, part);
            Account(changes.Slice(done, taken), part);
            done += taken;
        }
    }

    public Route? Lookup(IpAddr destination)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        RouteMessage.WriteLookup(ref w, destination);
        var sink = new FirstRoute();
        var answer = Socket.Request(Batch, ref sink, out var detail);
        return answer switch
        {
            Errno.None => sink.Route,
            // No route, and then the answers of unreachable, prohibit and blackhole routes. A wrong request is EINVAL, too,
            // but with the reason.
            Errno.ENETUNREACH or Errno.EHOSTUNREACH or Errno.EACCES => null,
            Errno.EINVAL when detail is null => null,
            _ => throw new KernelException(answer, "look up route", destination.ToString(), detail),
        };
    }

    private int Pack(ReadOnlySpan<RouteChange> changes)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        var most = Math.Min(changes.Length, Socket.MaxPipelined);
        var count = 0;
        while (count < most && w.Position < BatchBytes)
        {
            ref readonly var change = ref changes[count++];
            if (change.Delete)
                RouteMessage.WriteDelete(ref w, change.Route.Key, change.Route.Protocol);
            else
                RouteMessage.WriteNew(ref w, change.Route, change.Yields ? NetlinkFlags.Exclusive : NetlinkFlags.Replace);
        }
        Batch.AcknowledgeLast();
        return count;
    }

    private void Account(ReadOnlySpan<RouteChange> changes, Span<Errno> results)
    {
        for (var i = 0; i < results.Length; i++)
        {
            if (results[i] == Errno.None)
                WriteCount++;
            else if (changes[i].Delete && results[i] is Errno.ESRCH)
                results[i] = Errno.None;
        }
    }

    private void DumpFamily(IpVersion family, RouteFilter filter, List<Route> routes)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        RouteMessage.WriteDump(ref w, family, filter);
        var sink = new RouteList(routes, routes.Count, filter);
        // ENOENT: a table without any route does not exist.
        Dump(ref sink, "dump routes", family == IpVersion.V4 ? "IPv4" : "IPv6", orEmpty: Errno.ENOENT);
    }

    private readonly struct RouteList(List<Route> routes, int start, RouteFilter filter) : INetlinkSink
    {
        public void Restart() => routes.RemoveRange(start, routes.Count - start);

        public void Message(in NetlinkMessage message)
        {
            // Kernels before 4.20 ignore the filter of the request.
            if (RouteMessage.Read(message.Payload) is { } route
                && (filter.Table is not { } table || route.Key.Table == table)
                && (filter.Protocol is not { } protocol || route.Protocol == protocol))
                routes.Add(route);
        }
    }

    private struct FirstRoute : INetlinkSink
    {
        public Route? Route { get; private set; }

        public void Restart() => Route = null;
        public void Message(in NetlinkMessage message) => Route ??= RouteMessage.Read(message.Payload, cloned: true);
    }
}
