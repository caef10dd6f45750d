using System.Collections.Immutable;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using Calico.Core.Policy.Render;

namespace Calico.Actors.Policy;

/// <summary>
/// What resources other than policies have to say about the rules: pools (which are masqueraded, which exist) and the
/// addresses of hosts. Collects, and hands over only what changed.
/// </summary>
internal sealed class RenderInputs(RenderOptions options)
{
    private readonly SortedDictionary<string, IPPoolSpec> _pools = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, ImmutableArray<Cidr>> _hosts = new(StringComparer.Ordinal);
    private RenderOptions _options = options;
    private bool _changed;

    /// <summary>Takes a resource, or with null its absence; kinds that do not matter are ignored.</summary>
    public void Take(ResourceKey key, ReadOnlyMemory<byte>? value)
    {
        if (key.Kind == ResourceKind.IPPool)
            Take(_pools, key, value, r => ((IPPool)r).Spec);
        else if (key.Kind == ResourceKind.Node)
            Take(_hosts, key, value, r => AddressesOf((NodeResource)r));
    }

    public void Flush(PolicyRenderer renderer)
    {
        if (!_changed)
            return;
        _changed = false;
        renderer.SetAddresses(AddressSet.AllPools, Nets(_ => true));
        renderer.SetAddresses(AddressSet.MasqueradePools, Nets(p => p.NatOutgoing));
        renderer.SetAddresses(AddressSet.AllHosts, _hosts.Values.SelectMany(h => h));
        var now = _options with
        {
            NatOutgoingV4 = Nets(p => p.NatOutgoing).Any(n => n.IsV4),
            NatOutgoingV6 = Nets(p => p.NatOutgoing).Any(n => !n.IsV4),
        };
        if (now != _options)
            renderer.SetOptions(_options = now);
    }

    private List<Cidr> Nets(Func<IPPoolSpec, bool> which) =>
        [.. _pools.Values.Where(which).Select(p => Cidr.TryParse(p.Cidr, out var c) ? c : (Cidr?)null).OfType<Cidr>()];

    private static ImmutableArray<Cidr> AddressesOf(NodeResource node) =>
        [.. new[] { node.Spec.Bgp?.Ipv4Address, node.Spec.Bgp?.Ipv6Address }
            .Select(a => Cidr.TryParseOrHost(a, out var c) ? Cidr.Host(c.Address) : (Cidr?)null).OfType<Cidr>()];

    private void Take<T>(SortedDictionary<string, T> into, ResourceKey key, ReadOnlyMemory<byte>? value, Func<Resource, T> read)
    {
        try
        {
            if (value is { } json)
                into[key.Name] = read(ResourceCodec.Decode(key.Kind, json.Span));
            else
                into.Remove(key.Name);
            _changed = true;
        }
        catch (InvalidResourceException)
        {
            // What cannot be read stays as it was: a pool must not vanish from the rules because of a bad edit.
        }
    }
}
