using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>Addresses in other nodes' blocks: who has some, and which of this node's others may have.</summary>
internal sealed partial class LeaseLedger
{
    /// <summary>The blocks of other nodes that have to be read with the own ones.</summary>
    public IEnumerable<Cidr> Guests => _held.Guests.Union(_lateGuests);

    /// <summary>Who is given nothing before it is known what it has in other nodes' blocks.</summary>
    public IEnumerable<LeaseRequest.Allocate> MustLookUp => [.. _queue.All.OfType<LeaseRequest.Allocate>().Where(a => a is { MustLookUp: true, AwaitsLoan: false })];

    /// <summary>Releases of which it is not known whether they have addresses elsewhere; those that own blocks tell of are settled here.</summary>
    /// <param name="isAllHere">Whether a handle is known to have addresses in this node's blocks alone.</param>
    public IEnumerable<LeaseRequest.Release> ToLookUp(Func<string, bool> isAllHere)
    {
        if (!IsLoaded || IsUncertain)
            yield break;
        var earlier = Sent.Select(r => r.Handle).ToHashSet(StringComparer.Ordinal);
        foreach (var request in _queue.All)
        {
            if (request is LeaseRequest.Release { Elsewhere: null } release)
            {
                if (!release.Message.Addresses.IsEmpty && (earlier.Contains(release.Handle) ? release.Message.Addresses.All(_held.Covers)
                    : isAllHere(release.Handle) && release.Message.Addresses.All(a => _held.GivesHere(a, release.Handle))))
                    release.IsHere();
                // What is still to be allocated is not in the datastore yet.
                else if (!earlier.Contains(release.Handle))
                    yield return release;
            }
            earlier.Add(request.Handle);
        }
    }

    /// <summary>
    /// What the datastore says of the addresses that the handle has somewhere: guests are followed from now on, and the
    /// request knows what is there.
    /// </summary>
    /// <returns>Blocks of this node that are not held yet, or no more: nothing is learned as long as there are any.</returns>
    public ImmutableArray<Cidr> Found(LeaseRequest request, LeaseStore.Places places)
    {
        ImmutableArray<Cidr> unknown = [.. places.Own.Where(b => !_held.Holds(b))];
        if (!unknown.IsEmpty)
            return unknown;
        var guests = places.Guests.Where(TryAdd).ToList();
        switch (request)
        {
            case LeaseRequest.Release release:
                release.Found([.. guests.Select(g => g.Block.Cidr)], places.Handle?.ModRevision ?? 0);
                break;
            case LeaseRequest.Allocate { IsAnswered: false } borrower:
                (borrower.IsLookedUp, borrower.MustLookUp) = (true, false);
                foreach (var guest in guests)
                {
                    if (guest.Block.AddressOf(borrower.Handle) is { } had)
                        borrower.Borrow(new(had, guest.Block.AffineHost, null));
                }
                break;
        }
        return [];
    }

    /// <summary>
    /// An address of this node's blocks that another one may have, the last to be handed out here; null for none.
    /// </summary>
    public IpAddr? Spare(LendProtocol.Borrow borrow, LeaseRules rules)
    {
        foreach (var held in _held.Own.Where(h => borrow.Pools.Any(p => p.Contains(h.Block.Cidr))).OrderBy(h => h.Block.Cidr))
        {
            var block = _sent?.Batch.Changed.GetValueOrDefault(held.Block.Cidr) ?? held.Block;
            bool IsFree(IpAddr a) => block.OwnerOf(a) is null && held.Block.OwnerOf(a) is null && !inUse.Contains(a) && !rules.IsLent(a);
            if (borrow.Wanted is { } wanted)
            {
                if (block.Cidr.Contains(wanted))
                    return IsFree(wanted) || block.OwnerOf(wanted)?.HandleId == borrow.Handle ? wanted : null;
            }
            else if (block.Unallocated.Reverse().Select(o => (IpAddr?)block.AddressAt(o)).FirstOrDefault(a => IsFree(a!.Value) && !rules.IsReserved(a.Value)) is { } spare)
            {
                return spare;
            }
        }
        return null;
    }

    public bool Gives(LeaseProtocol.Tenant tenant) => _held.Gives(tenant)
        || All.OfType<LeaseRequest.Allocate>().Any(a => a.IsPromise && a.Handle == tenant.HandleId && tenant.Addresses.All(a.Demand.Wanted.Contains));

    /// <summary>Whether the tenant's addresses in this node's own blocks are its own.</summary>
    public bool GivesHere(LeaseProtocol.Tenant tenant) => _held.Gives(tenant with { Addresses = [.. tenant.Addresses.Where(_held.Covers)] });
}
