using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Routes;

namespace Calico.Actors.Dataplane;

/// <summary>
/// The node's address on links of workloads that speak BGP with it: a host address of link scope, as Felix puts it there. Such links
/// have no other host addresses, so one that is not wanted is an earlier one's. Outlives the writer of links. Not thread-safe.
/// </summary>
public sealed class PeeringAddresses
{
    private ImmutableSortedSet<(string Link, IpAddr Address)>? _wanted;

    /// <summary>Brings all links to what is wanted now; the first time those of an earlier agent too.</summary>
    public void Assign(ILinkTable links, LinkProtocol.AssignPeering assign, Action<KernelException> failed)
    {
        var names = assign.Wanted.Select(w => w.Link);
        names = _wanted is { } before ? names.Concat(before.Select(w => w.Link)) : names.Concat(Addressed(links, assign.Prefix));
        _wanted = assign.Wanted;
        foreach (var name in names.Distinct(StringComparer.Ordinal))
        {
            try
            {
                Apply(links, name);
            }
            catch (KernelException e)
            {
                failed(e);
            }
        }
    }

    /// <summary>Brings one link to what is wanted; nothing if it is not there.</summary>
    /// <exception cref="KernelException">The kernel refused.</exception>
    public void Apply(ILinkTable links, string name)
    {
        var wanted = (_wanted ?? []).Where(w => w.Link == name).Select(w => Cidr.Host(w.Address)).ToHashSet();
        if (links.Find(name) is not { } link)
            return;
        foreach (var address in links.DumpAddresses(link.Index).Where(a => a.Address.IsHost && !wanted.Remove(a.Address)))
            links.DeleteAddress(address);
        foreach (var address in wanted)
            links.AddAddress(new LinkAddress(link.Index, address) { Scope = RouteScope.Link });
    }

    /// <summary>Whether the link is to have an address.</summary>
    public bool Concerns(string name) => (_wanted ?? []).Any(w => w.Link == name);

    private static IEnumerable<string> Addressed(ILinkTable links, string prefix)
    {
        var addressed = links.DumpAddresses().Where(a => a.Address.IsHost).Select(a => a.LinkIndex).ToHashSet();
        return links.Dump().Where(l => addressed.Contains(l.Index) && l.Name.StartsWith(prefix, StringComparison.Ordinal)).Select(l => l.Name);
    }
}
