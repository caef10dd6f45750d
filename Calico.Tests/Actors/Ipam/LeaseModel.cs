using System.Collections.Immutable;
using Akka.Event;
using Calico.Actors.Cluster;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Tests.Datastore;

namespace Calico.Tests.Actors.Ipam;

/// <summary>
/// The world of <see cref="LeaseModelTests"/>: the real ledgers and transactions, a datastore in memory, and who runs with
/// which address as the model knows it.
/// </summary>
internal sealed partial class LeaseModel
{
    private const string EndpointPrefix = "/calico/resources/v3/projectcalico.org/workloadendpoints/default/";

    private static readonly PoolRef Pool = new("pool", Cidr.Parse("10.65.0.0/27"), 30);

    private readonly InMemoryDatastore _store = new();
    private readonly TimeSpan _cooldown;
    private readonly Dictionary<IpAddr, string> _users = [];
    private TimeSpan _now;
    private readonly Dictionary<string, Node> _waiting = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, (Node Node, ImmutableArray<IpAddr> Addresses, bool IsAsked)> _removals = new(StringComparer.Ordinal);
    private long _last;

    public LeaseModel(int nodes, TimeSpan cooldown)
    {
        _cooldown = cooldown;
        Nodes = [.. Enumerable.Range(1, nodes).Select(n => new Node("node" + n))];
        foreach (var node in Nodes)
        {
            node.Ledger.Add(new LeaseProtocol.ReleaseAllBut([], ImmutableDictionary<IpAddr, string?>.Empty));
            Load(node);
            Read(node);
        }
    }

    public ImmutableArray<Node> Nodes { get; }

    /// <summary>What has happened, for whoever has to find out why something is wrong.</summary>
    public List<string> Story { get; } = [];

    private void Tell(string what) => Story.Add(what);

    private LeaseRules Rules(Node node, bool isPromise) => new()
    {
        Cooldown = _cooldown,
        Now = DateTimeOffset.UnixEpoch + _now,
        IsLent = isPromise ? node.Lending.MayBeWritten : a => node.Lending.IsLent(a, _now),
    };

    // ---- steps -------------------------------------------------------------------------------------------------------

    public void Add(Node node)
    {
        var handle = $"{node.Name}.{++_last}";
        var message = new LeaseProtocol.Allocate(_last, Request(node, handle), [Pool], addresses => [Endpoint(node, handle, addresses)]);
        _waiting.Add(handle, node);
        Tell($"{handle} asks");
        node.Ledger.Add(new LeaseRequest.Allocate(message, answer =>
        {
            _waiting.Remove(handle);
            Tell($"  {handle}: {(answer is LeaseProtocol.Allocated a ? string.Join(' ', a.Addresses) : answer)}");
            if (answer is LeaseProtocol.NotAllocated { Retryable: true })
                Release(node, handle, []);
            if (answer is LeaseProtocol.Allocated { Addresses: [var address] })
            {
                Assert.True(_users.TryAdd(address, handle), $"{address} is given to {handle} while {_users.GetValueOrDefault(address)} uses it");
                node.Pods[handle] = address;
            }
        }, _now + new LeaseOptions().RequestTimeout));
    }

    public void Remove(Node node, int which)
    {
        if (node.Pods.Count == 0)
            return;
        var (handle, address) = node.Pods.ElementAt(which % node.Pods.Count);
        Leave(node, handle, address);
    }

    /// <summary>The ledger's next transaction is on its way.</summary>
    public void Prepare(Node node)
    {
        LookUp(node);
        if (node.Sent is not null || !node.KnowsItsBlocks || node.Ledger.Next(Rules(node, isPromise: false), reason => Fence(node, reason)) is not { } commit)
            return;
        var handles = node.Handles.Among(commit.Batch.HandleDeltas.Keys);
        var transaction = LeaseStore.PrepareAsync(_store, node.Name, commit, node.Ledger.Held.All, handles, default).GetAwaiter().GetResult();
        if (LeaseStore.MustLookUp(commit, node.Ledger.Held.All, handles))
        {
            Fail(node, commit, isKnown: true);
            return;
        }
        node.Sent = (commit, transaction);
        Tell($"{node.Name} sends {Describe(commit)}");
    }

    /// <param name="node">Whose transaction arrives.</param>
    /// <param name="isHeard">Whether the node learns what came of it.</param>
    public void CarryOut(Node node, bool isHeard)
    {
        if (node.Sent is not { } sent)
            return;
        node.Sent = null;
        Tell($"{node.Name}'s transaction arrives{(isHeard ? "" : ", unheard")}");
        var result = _store.CommitAsync(sent.Transaction).GetAwaiter().GetResult();
        Tell(result.Succeeded ? $"  succeeds at {result.Revision}" : "  fails");
        if (isHeard && result.Succeeded)
        {
            node.Ledger.Succeeded(sent.Commit, result.Revision);
            node.Handles.Written(sent.Transaction.Writes, result.Revision);
            node.Lending.Learn(sent.Commit.Batch.Changed.Values, isOwnWrite: true, _now);
            if (node.Reading is not null)
                Load(node);
        }
        else
        {
            Fail(node, sent.Commit, isKnown: isHeard);
        }
    }

    /// <summary>The node waits no longer for its transaction.</summary>
    public void GiveUp(Node node)
    {
        if (node.Sent is not { } sent)
            return;
        node.Sent = null;
        Tell($"{node.Name} gives its transaction up");
        node.Late.Add(sent.Transaction);
        Fail(node, sent.Commit, isKnown: false);
    }

    /// <summary>A transaction that was given up arrives after all.</summary>
    public void ArriveLate(Node node, int which)
    {
        if (node.Late.Count == 0)
            return;
        var late = node.Late[which % node.Late.Count];
        node.Late.Remove(late);
        var result = _store.CommitAsync(late).GetAwaiter().GetResult();
        Tell($"a transaction that {node.Name} gave up {(result.Succeeded ? $"succeeds at {result.Revision}" : "fails")}: {string.Join(", ", late.Writes.Select(w => w.Key))}");
    }

    /// <summary>The node borrows an address of another one, if it needs one.</summary>
    public void Borrow(Node node, Node from)
    {
        if (node == from || node.Ledger.InNeed.FirstOrDefault(r => r.Loans.IsEmpty) is not { } request)
            return;
        if (!request.IsLookedUp)
        {
            LookUp(node, request);
            return;
        }
        if (!from.KnowsItsBlocks || from.Ledger.IsUncertain
            || from.Ledger.Spare(new LendProtocol.Borrow(from.Name, node.Name, 1, request.Handle, [Pool.Cidr], null), Rules(from, isPromise: true)) is not { } address
            || !from.Lending.TryLend(address, node.Name, request.Handle, _now))
            return;
        var cidr = BlockCandidates.Containing(address, Pool.BlockSize);
        var loan = new LeaseRequest.Loan(address, from.Name, from.Ledger.Held.All[cidr].Epoch);
        var guest = LeaseStore.FetchGuestAsync(_store, node.Name, cidr, default).GetAwaiter().GetResult();
        request.AwaitsLoan = true;
        node.Mail.Add(() => TakeLoan(node, request, loan, guest));
    }

    private bool TakeLoan(Node node, LeaseRequest.Allocate request, LeaseRequest.Loan loan, HeldBlock? guest)
    {
        if (node.Reading is not null)
            return false;
        request.AwaitsLoan = false;
        if (!request.IsAnswered && guest is not null && node.Ledger.TryAdd(guest))
        {
            Tell($"{request.Handle} borrows {loan.Address} of {loan.Holder}");
            request.Borrow(loan);
        }
        return true;
    }

    /// <summary>The node asks the owner of a block that nobody holds for it, if it needs one.</summary>
    public void Claim(Node node, int which)
    {
        if (node.Ledger.InNeed.FirstOrDefault() is not { } request)
            return;
        var candidates = request.Message.IsReclaim ? [BlockCandidates.Containing(request.Message.Request.Wanted[0], Pool.BlockSize)]
            : BlockCandidates.Of(Pool.Cidr, Pool.BlockSize, node.Name);
        var free = candidates.Where(b => !node.Ledger.Held.Holds(b) && !node.Departures.Undecided.Contains(b) && HolderOf(b) is var holder && (holder is null || holder == node.Name)).ToList();
        if (free.Count > 0)
            AskFor(node, free[which % free.Count]);
        else if (request.Message.IsReclaim && HolderOf(candidates.First()) != node.Name)
            node.Ledger.Refuse(request, "its block is held by another", isTaken: true, isRetryable: false);
    }

    private void AskFor(Node node, Cidr block)
    {
        var answer = new BlockDecisions(_store, TimeProvider.System, NoLogger.Instance).ClaimAsync(new(block, node.Name, 0), default).GetAwaiter().GetResult();
        Tell($"{node.Name} asks for {block}: {answer}");
        node.Answers.Add(answer!);
    }

    /// <summary>The others take the node for gone, as far as this block goes; the node does not know.</summary>
    public void TakeOver(Node node, int which)
    {
        var held = node.Ledger.Held.Own.Select(b => b.Block.Cidr).Order().ToList();
        if (held.Count == 0)
            return;
        var cidr = held[which % held.Count];
        KeyValue? block = Get(IpamKeys.Block(cidr)), affinity = Get(IpamKeys.Affinity(node.Name, cidr));
        if (affinity is null)
            return;
        var handles = block is null ? [] : LeaseStore.ReadHandlesAsync(_store, IpamJson.ParseBlock(block.Value).Assigned().Select(a => a.Owner.HandleId), default).GetAwaiter().GetResult();
        var (transaction, _, isLast) = BlockTransactions.Retire(node.Name, block, affinity, handles);
        Assert.True(isLast);
        Assert.True(_store.CommitAsync(transaction).GetAwaiter().GetResult().Succeeded);
        Tell($"{node.Name} loses {cidr}, as if it were gone");
        // Whoever takes a node for gone knows that its pods are; when it is back it finds out itself, and the runtime removes them.
        foreach (var (handle, address) in node.Pods.Where(p => cidr.Contains(p.Value)).ToList())
            Leave(node, handle, address);
    }

    /// <summary>
    /// The process is killed and starts again. Whose ADD was under way is removed by the runtime; a removal that was answered
    /// is not asked for again.
    /// </summary>
    public void Restart(Node node)
    {
        Tell($"{node.Name} is killed");
        if (node.Sent is { } sent)
            node.Late.Add(sent.Transaction);
        node.Sent = null;
        node.Late.AddRange(node.Leaves.Select(b => BlockTransactions.Leave(node.Name, b)));
        node.Leaves.Clear();
        node.Answers.Clear();
        node.BeginAgain();
        node.Ledger.Add(new LeaseProtocol.ReleaseAllBut([.. node.Pods.Keys], node.Pods.ToImmutableDictionary(p => p.Value, p => (string?)p.Key)));
        foreach (var (handle, _) in _waiting.Where(w => w.Value == node).ToList())
        {
            _waiting.Remove(handle);
            Release(node, handle, []);
        }
        foreach (var (handle, removal) in _removals.Where(r => r.Value.Node == node).ToList())
            Release(node, handle, removal.Addresses);
        Load(node);
    }

    /// <summary>Pods whose address IPAM has not as theirs take it back, or are cut off and removed, as the reconciler has it.</summary>
    private void Reclaim(Node node)
    {
        foreach (var (handle, address) in node.Pods.Where(p => node.KnowsItsBlocks && !node.Ledger.Gives(new LeaseProtocol.Tenant(p.Key, [p.Value]))).ToList())
        {
            if (_waiting.ContainsKey(handle))
                continue;
            Tell($"{handle} wants {address} back");
            _waiting.Add(handle, node);
            var message = new LeaseProtocol.Allocate(++_last, Request(node, handle, address), [Pool], _ => []) { IsReclaim = true };
            node.Ledger.Add(new LeaseRequest.Allocate(message, answer =>
            {
                _waiting.Remove(handle);
                Tell($"  {handle}: {(answer is LeaseProtocol.NotAllocated no ? no.Reason : "has it")}");
                if (answer is LeaseProtocol.NotAllocated && node.Pods.ContainsKey(handle))
                    Leave(node, handle, address);
            }, TimeSpan.MaxValue));
        }
    }

    private static AllocationRequest Request(Node node, string handle, params ImmutableArray<IpAddr> wanted) => new(handle,
        ImmutableSortedDictionary<string, string>.Empty.Add("node", node.Name).Add("pod", handle), [IpVersion.V4], [Pool.Cidr], wanted);

    // Written with the addresses, in the same transaction.
    private static Write Endpoint(Node node, string handle, ImmutableArray<IpAddr> addresses) => Write.Put(EndpointPrefix + handle, ResourceCodec.Encode(new WorkloadEndpoint
    {
        Metadata = new ObjectMeta { Name = handle, Namespace = "default" },
        Spec = new WorkloadEndpointSpec { Node = node.Name, ContainerID = handle.Split('.')[1], IpNetworks = [.. addresses.Select(a => Cidr.Host(a).ToString())] },
    }));

    /// <summary>
    /// Endpoints of containers that are not on the node go, and what they had with them; those that are missing are written:
    /// as the reconciler has it.
    /// </summary>
    public void Reconcile(Node node)
    {
        foreach (var (handle, address) in node.Pods.Where(p => node.Ledger.Gives(new LeaseProtocol.Tenant(p.Key, [p.Value]))))
            _ = _store.CommitAsync(new Transaction([Compare.Absent(EndpointPrefix + handle)], [Endpoint(node, handle, [address])])).GetAwaiter().GetResult();
        foreach (var key in Keys(EndpointPrefix + node.Name + "."))
        {
            var handle = key[EndpointPrefix.Length..];
            if (node.Pods.ContainsKey(handle) || _waiting.ContainsKey(handle) || Get(key) is not { } stored)
                continue;
            foreach (var address in EndpointAddresses.Of(stored.Value))
            {
                var freed = BorrowedAddresses.FreeAsync(_store, node.Name, new NodeProtocol.Borrowing(key, stored.ModRevision, BlockCandidates.Containing(address, Pool.BlockSize)), alsoOwn: true, default);
                Tell($"{node.Name} finds the endpoint of {handle}, which is not there: {freed.GetAwaiter().GetResult()} addresses free");
            }
            _ = _store.CommitAsync(new Transaction([Compare.At(key, stored.ModRevision)], [Write.Delete(key)])).GetAwaiter().GetResult();
        }
    }

    /// <summary>The lease fails and is started again by its supervisor; it hears what becomes of what was sent before.</summary>
    public void Fail(Node node)
    {
        Tell($"the lease of {node.Name} fails");
        node.Succeed();
        Load(node);
    }

    /// <summary>Who can be answered before the datastore has it is.</summary>
    /// <param name="node">Where.</param>
    /// <param name="isAway">The datastore does not answer this node.</param>
    public void Decide(Node node, bool isAway)
    {
        LookUp(node);
        // A node that the others may have taken over answers only when it is durable.
        if ((node.Reading is not null && !isAway)
            || node.Ledger.Held.Own.Any(b => HolderOf(b.Block.Cidr) != node.Name || Get(IpamKeys.Affinity(node.Name, b.Block.Cidr))?.ModRevision != b.Epoch))
            return;
        Tell($"{node.Name} decides{(isAway ? " alone" : "")}");
        node.Ledger.Promise(Rules(node, isPromise: true), mayAllocate: true, isAway);
    }

    /// <summary>Time passes; who has waited too long for an address is refused, and the runtime removes the pod.</summary>
    public void Wait(TimeSpan span)
    {
        _now += span;
        foreach (var node in Nodes)
            node.Ledger.Expire(_now, _ => "too late");
    }

    /// <summary>Nothing fails any more, until nothing is left to do.</summary>
    public void Drain()
    {
        Settle();
        Wait(Lending.Term);
        Settle();
        // Whoever still waits lacks an address, and there is none: the runtime gives up and removes the pod.
        foreach (var (handle, node) in _waiting.ToList())
            Release(node, handle, []);
        Settle();
        Assert.All(Nodes, n => Assert.True(n.Ledger.IsIdle));
    }

    private void Settle()
    {
        for (var round = 0; round < 60; round++)
        {
            foreach (var node in Nodes)
            {
                CarryOut(node, isHeard: true);
                Leave(node, isHeard: true, isLate: false);
                Obey(node, 1);
                Hear(node, 1);
                Read(node);
                Receive(node, 0);
                if (round % 5 == 0 && node.Departures.Leaving.Any())
                    Load(node);
                Shrink(node, round);
                RepeatRemovals(node);
                if (node.Ledger.IsIdle)
                    Reclaim(node);
                if (node.Ledger.IsIdle)
                    Reconcile(node);
                Claim(node, round);
                Prepare(node);
            }
        }
    }

    // ---- the rest ----------------------------------------------------------------------------------------------------

    private void Leave(Node node, string handle, IpAddr address)
    {
        Tell($"{handle} leaves {address}");
        node.Pods.Remove(handle);
        Assert.True(_users.Remove(address));
        Release(node, handle, [address]);
    }

    // The runtime asks until it is told that it is done.
    private void Release(Node node, string handle, ImmutableArray<IpAddr> addresses)
    {
        _removals[handle] = (node, addresses, IsAsked: true);
        node.Ledger.Add(new LeaseRequest.Release(new LeaseProtocol.Release(++_last, handle, addresses, [Write.Delete(EndpointPrefix + handle)]), answer =>
        {
            if (answer is LeaseProtocol.Released)
                _removals.Remove(handle);
            else
                _removals[handle] = (node, addresses, IsAsked: false);
        }, TimeSpan.MaxValue));
    }

    private void RepeatRemovals(Node node)
    {
        foreach (var (handle, removal) in _removals.Where(r => r.Value.Node == node && !r.Value.IsAsked).ToList())
            Release(node, handle, removal.Addresses);
    }

    // A promise that cannot be kept: the reconciler cuts the pod off, if it is still there.
    private void Fence(Node node, string reason)
    {
        var handle = reason.Split(' ')[0];
        if (node.Pods.TryGetValue(handle, out var address))
            Leave(node, handle, address);
    }

    private static string Describe(LeaseCommit commit) => commit.Fenced.IsEmpty
        ? string.Join(", ", commit.Entries.Select(e => $"{e.Request.GetType().Name} {e.Request.Handle} {string.Join(' ', e.Addresses)}")) + $" in {string.Join(' ', commit.Batch.Changed.Keys)}"
        : $"fences of {string.Join(' ', commit.Fenced.Select(f => f.Block.Cidr))}";

    private void Fail(Node node, LeaseCommit commit, bool isKnown)
    {
        node.Ledger.Failed(commit, isKnown, hopeless: null, reason => Fence(node, reason));
        node.Handles.Forget();
        Load(node);
    }

    private void Load(Node node)
    {
        node.ReadsAgain = false;
        node.Reading = LeaseStore.LoadAsync(_store, node.Name, [.. node.Ledger.Guests], default).GetAwaiter().GetResult();
    }

    private void LoadAgain(Node node)
    {
        if (node.Reading is null)
            Load(node);
        else
            node.ReadsAgain = true;
    }

    /// <summary>What the node reads arrives, as it was when it began to.</summary>
    public void Read(Node node)
    {
        if (node.Reading is not { } view)
            return;
        node.Reading = null;
        node.Departures.Load(view.Leaving);
        var held = view.Held.Where(node.Departures.Admits).ToList();
        node.Ledger.Load(held);
        node.Lending.Learn(held.Where(h => !h.IsGuest).Select(h => h.Block), isOwnWrite: false, _now);
        Tell($"{node.Name} reads: holds {string.Join(' ', node.Ledger.Held.Own.Select(h => $"{h.Block.Cidr}@{h.Epoch}/{h.BlockRevision}"))}, guests {string.Join(' ', node.Ledger.Held.Guests)}, unfenced {string.Join(' ', node.Ledger.Held.Unfenced)}");
        if (node.ReadsAgain)
            Load(node);
    }

    /// <summary>Something that the node asked for reaches its lease.</summary>
    public void Receive(Node node, int which)
    {
        if (node.Mail.Count == 0)
            return;
        var letter = node.Mail[which % node.Mail.Count];
        if (letter())
            node.Mail.Remove(letter);
    }

    private void LookUp(Node node)
    {
        foreach (var request in node.Ledger.MustLookUp)
            LookUp(node, request);
        foreach (var release in node.Ledger.ToLookUp(h => node.Handles.AreAllIn(h, node.Ledger.Held.Holds)).Where(node.LookingUp.Add).ToList())
        {
            var places = PlacesOf(node, release.Handle);
            node.Mail.Add(() =>
            {
                node.LookingUp.Remove(release);
                if (node.Reading is null)
                    Learn(node, release, places);
                return true;
            });
        }
    }

    private void LookUp(Node node, LeaseRequest.Allocate request)
    {
        request.AwaitsLoan = true;
        var places = PlacesOf(node, request.Handle);
        node.Mail.Add(() =>
        {
            if (node.Reading is not null)
                return false;
            request.AwaitsLoan = false;
            Learn(node, request, places);
            return true;
        });
    }

    private void Learn(Node node, LeaseRequest request, LeaseStore.Places places)
    {
        var unknown = node.Ledger.Found(request, places);
        foreach (var block in unknown)
            AskFor(node, block);
        if (unknown.IsEmpty)
            node.Handles.Read(places.Handle);
        Tell($"  {request.Handle} is in {string.Join(' ', places.Own.Concat(places.Guests.Select(g => g.Block.Cidr)))}{(unknown.IsEmpty ? "" : ", which is not held")}");
    }

    private LeaseStore.Places PlacesOf(Node node, string handle) => LeaseStore.FindAsync(_store, node.Name, handle, default).GetAwaiter().GetResult();

    private string? HolderOf(Cidr block) => Get(IpamKeys.Block(block)) is { } stored ? IpamJson.ParseBlock(stored.Value).AffineHost : null;

    private KeyValue? Get(string key) => _store.GetAsync(key).GetAwaiter().GetResult();

    private List<string> Keys(string prefix) => [.. _store.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal))];
}
