using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>What requests get of the blocks held, one after the other. Planning touches nothing.</summary>
internal class LeasePlan(IReadOnlyDictionary<Cidr, HeldBlock> held, AddressesInUse inUse, LeaseRules rules)
{
    /// <param name="Request">What was asked.</param>
    /// <param name="Addresses">What it gains, or gives up.</param>
    public readonly record struct Entry(LeaseRequest Request, ImmutableArray<IpAddr> Addresses);

    /// <param name="Reason">Why the request gets nothing, whoever asks again.</param>
    /// <param name="IsTaken">The address wanted is somebody else's.</param>
    public sealed record Refusal(string Reason, bool IsTaken);

    private readonly List<Entry> _entries = [];

    public LeaseBatch Batch { get; } = new(held, rules with { IsReserved = a => inUse.Contains(a) || rules.IsReserved(a) });
    public IReadOnlyList<Entry> Entries => _entries;

    /// <summary>What the requests want written with it.</summary>
    public ImmutableArray<Write> Alongside => [.. _entries.SelectMany(e => e.Request.Alongside(e.Addresses))];

    /// <summary>
    /// That there is still nothing of those handles for whose release nothing is given back: else a transaction that was given
    /// up would put an address there, and what tells of it would be deleted.
    /// </summary>
    private IEnumerable<Compare> StillNothing => _entries.Where(e => e.Addresses.IsEmpty && !Batch.HandleDeltas.ContainsKey(e.Request.Handle))
        .Select(e => e.Request).OfType<LeaseRequest.Release>().Where(r => r.HandleRevision is not null).DistinctBy(r => r.Handle)
        .Select(r => r.HandleRevision is 0 ? Compare.Absent(IpamKeys.Handle(r.Handle)) : Compare.At(IpamKeys.Handle(r.Handle), r.HandleRevision!.Value));

    // That those who lent still remember.
    private IEnumerable<Compare> StillLent => _entries.Select(e => e.Request).OfType<LeaseRequest.Allocate>().SelectMany(r => r.Loans)
        .Where(l => l is { Epoch: not null, Holder: not null }).SelectMany(l => held.Values.Where(h => h.IsGuest && h.Block.Cidr.Contains(l.Address))
            .Select(h => Compare.At(IpamKeys.Affinity(l.Holder!, h.Block.Cidr), l.Epoch!.Value))).Distinct();

    /// <summary>What must be as it was when it was read, beside what is written.</summary>
    public IEnumerable<Compare> Also => StillNothing.Concat(StillLent);

    /// <summary>Whether a workload of this node uses the address under this handle.</summary>
    protected bool IsUsed(string handle, IpAddr address) => inUse.IsUsedBy(handle, [address]);

    /// <summary>Takes the request in. False: refused, or without a refusal, no block held has room.</summary>
    public bool TryAdd(LeaseRequest request, out Refusal? refusal)
    {
        refusal = null;
        return request switch
        {
            LeaseRequest.Allocate allocate => TryAdd(allocate, out refusal),
            LeaseRequest.Release release => Add(release),
            _ => throw new ArgumentException($"{request} is no request", nameof(request)),
        };
    }

    private bool TryAdd(LeaseRequest.Allocate allocate, out Refusal? refusal)
    {
        refusal = null;
        allocate.Lacks = null;
        if (allocate.MustLookUp)
            return false;
        if (inUse.UsedByAnother(allocate.Demand) is { } used)
        {
            refusal = new Refusal($"address {used.Address} cannot be assigned: it is in use on this node by {used.Handle ?? "a pod that is not known"}", IsTaken: true);
            return false;
        }
        if (allocate.Loans.Where(l => !IsWorth(l, allocate.Handle)).Select(l => (IpAddr?)l.Address).FirstOrDefault() is { } worthless)
        {
            allocate.Forfeit(worthless);
            allocate.Lacks = worthless.Version;
            return false;
        }
        switch (Batch.Allocate(allocate.Demand))
        {
            case AllocationOutcome.Granted granted:
                _entries.Add(new Entry(allocate, granted.Addresses));
                return true;
            case AllocationOutcome.Refused no when allocate.Loans.Any(l => l.Address == no.Address):
                allocate.Forfeit(no.Address);
                allocate.Lacks = no.Address.Version;
                return false;
            case AllocationOutcome.Refused { Reason: AllocationRefusal.NotInBlock } no:
                allocate.Lacks = no.Address.Version;
                return false;
            case AllocationOutcome.NeedsBlock needs:
                allocate.Lacks = needs.Family;
                return false;
            case AllocationOutcome.Refused { Reason: AllocationRefusal.CoolingDown } no:
                refusal = new Refusal($"address {no.Address} cannot be assigned: it was released a moment ago and cools down", IsTaken: false);
                return false;
            case AllocationOutcome.Refused { Reason: AllocationRefusal.Lent } no:
                refusal = new Refusal($"address {no.Address} cannot be assigned: it is kept for another node that borrows it", IsTaken: false);
                return false;
            case AllocationOutcome.Refused no:
                refusal = new Refusal($"address {no.Address} cannot be assigned: {no.Reason}, it belongs to {no.Owner ?? "nobody"}", IsTaken: true);
                return false;
            case var other:
                throw new InvalidOperationException($"{other} is no outcome");
        }
    }

    // Who holds the block since knows nothing of what another has lent before, and may have given it to somebody.
    private bool IsWorth(LeaseRequest.Loan loan, string handle) =>
        held.Values.FirstOrDefault(h => h.Block.Cidr.Contains(loan.Address)) is not { IsGuest: true } guest
        || guest.Block.OwnerOf(loan.Address)?.HandleId == handle || (guest.Block.AffineHost == loan.Holder && guest.Epoch == loan.Epoch);

    private bool Add(LeaseRequest.Release release)
    {
        var addresses = Batch.ReleaseHandle(release.Handle);
        if (addresses.IsEmpty && release is { Elsewhere: not null, HandleRevision: null })
        {
            // They were thought to be here.
            release.LookAgain();
            return false;
        }
        _entries.Add(new Entry(release, addresses));
        return true;
    }
}
