using Calico.Core.Net;
using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Routes;

/// <summary>The routes of a <see cref="FakeNetworkNamespace"/>.</summary>
public sealed class FakeRouteTable : IRouteTable
{
    private readonly FakeNamespaceState _state;

    internal FakeRouteTable(FakeNamespaceState state) => _state = state;

    public long WriteCount { get; private set; }

    public IReadOnlyList<Route> Dump(RouteFilter filter)
    {
        lock (_state.Kernel.Gate)
        {
            return [.. _state.Routes.All.Where(r => (filter.Family is not { } family || r.Key.Destination.Version == family)
                && (filter.Table is not { } table || r.Key.Table == table)
                && (filter.Protocol is not { } protocol || r.Protocol == protocol))];
        }
    }

    public void Apply(ReadOnlySpan<RouteChange> changes, Span<Errno> results)
    {
        if (results.Length < changes.Length)
            throw new ArgumentException("one result a change", nameof(results));
        for (var i = 0; i < changes.Length; i++)
        {
            lock (_state.Kernel.Gate)
                results[i] = Apply(changes[i]);
        }
    }

    public Route? Lookup(IpAddr destination)
    {
        lock (_state.Kernel.Gate)
            return _state.Routes.Lookup(destination);
    }

    public void Dispose()
    {
    }

    private Errno Apply(in RouteChange change)
    {
        var route = change.Route;
        var answer = _state.Kernel.TryAdmit(change.Delete ? "delete route" : "add route", route.Key.Destination.ToString());
        if (answer == Errno.None)
            answer = change.Delete ? _state.Routes.Delete(route.Key, route.Protocol, this) : _state.Routes.Replace(route, this, change.Yields);
        if (answer == Errno.None)
            WriteCount++;
        return change.Delete && answer == Errno.ESRCH ? Errno.None : answer;
    }
}
