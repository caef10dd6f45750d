using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Services;

/// <summary>The Services of a cluster and their EndpointSlices, as far as routes depend on them. Not thread-safe.</summary>
/// <param name="node">This node by the name that Kubernetes has for it.</param>
public sealed class ServiceTable(string node)
{
    private const string ServiceLabel = "kubernetes.io/service-name";

    private readonly Dictionary<(string Namespace, string Name), ServiceFacts> _services = [];
    private readonly Dictionary<(string Namespace, string Name), (string Service, SliceFacts Facts)> _slices = [];

    /// <summary>Both kinds have been told completely: before that nothing is known to be gone.</summary>
    public bool IsComplete { get; private set; }

    private bool _knowsServices;
    private bool _knowsSlices;

    /// <param name="objects">Services by namespace and name; null for one that is gone.</param>
    /// <param name="isAll">There are no others.</param>
    public void TakeServices(IEnumerable<(string Namespace, string Name, JsonElement? Json)> objects, bool isAll)
    {
        if (isAll)
            _services.Clear();
        foreach (var (ns, name, json) in objects)
        {
            if (json is { } service)
                _services[(ns, name)] = ServiceFacts.Read(service);
            else
                _services.Remove((ns, name));
        }
        _knowsServices |= isAll;
        IsComplete = _knowsServices && _knowsSlices;
    }

    /// <inheritdoc cref="TakeServices"/>
    public void TakeSlices(IEnumerable<(string Namespace, string Name, JsonElement? Json)> objects, bool isAll)
    {
        if (isAll)
            _slices.Clear();
        foreach (var (ns, name, json) in objects)
        {
            if (json is { } slice && ServiceFacts.Text(ServiceFacts.Child(ServiceFacts.Child(slice, "metadata"), "labels"), ServiceLabel) is { } service)
                _slices[(ns, name)] = (service, SliceFacts.Read(slice));
            else
                _slices.Remove((ns, name));
        }
        _knowsSlices |= isAll;
        IsComplete = _knowsServices && _knowsSlices;
    }

    /// <summary>The host routes that this node announces for services.</summary>
    public ImmutableSortedSet<Cidr> Routes(ServiceRanges ranges)
    {
        var slices = _slices.ToLookup(s => (s.Key.Namespace, s.Value.Service), s => s.Value.Facts);
        return [.. _services.SelectMany(s => ServiceRoutes.Of(s.Value, [.. slices[s.Key]], ranges, node))];
    }
}
