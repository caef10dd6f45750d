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

    /// <summary>A network that covers all of the block, so that nothing of it can be handed out; null if none does.</summary>
    public Cidr? CoverOf(Cidr block) =>
        _byName.Values.SelectMany(cidrs => cidrs).Where(c => c.Contains(block)).Select(c => (Cidr?)c).FirstOrDefault();
}
