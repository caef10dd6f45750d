using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>
/// The addresses that IPReservations keep from being handed out by themselves; who asks for one by name may have it
/// (Calico's IPReservation).
/// </summary>
public sealed class Reservations
{
    private readonly Dictionary<string, ImmutableArray<Cidr>> _byName = [];

    /// <summary>The reservation of this name is now this; empty removes it.</summary>
    public void Set(string name, IEnumerable<string> cidrs)
    {
        _byName[name] = [.. cidrs.Select(c => Cidr.TryParseOrHost(c, out var cidr) ? cidr.Network : (Cidr?)null).OfType<Cidr>()];
        if (_byName[name].IsEmpty)
            _byName.Remove(name);
    }

    public bool Contains(IpAddr address)
    {
        foreach (var cidrs in _byName.Values)
        {
            foreach (var cidr in cidrs)
            {
                if (cidr.Contains(address))
                    return true;
            }
        }
        return false;
    }

    /// <summary>Nothing of the block can be handed out, because one network covers all of it.</summary>
    public bool Covers(Cidr block) => _byName.Values.Any(cidrs => cidrs.Any(c => c.Contains(block)));
}
