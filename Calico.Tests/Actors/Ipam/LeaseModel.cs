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
internal sealed class LeaseModel
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
        }
    }

    /// <param name="name">Its name.</param>
    public sealed class Node
    {
        public Node(string name)
        {
            Name = name;
            Ledger = new LeaseLedger(name, new LeaseOptions(), InUse);
            Departures = new Departures(name);
        }

        public string Name { get; }
        public AddressesInUse InUse { get; private set; } = new();
        public LeaseLedger Ledger { get; private set; }
        public KnownHandles Handles { get; } = new();

        /// <summary>Pods that run here, with their address.</summary>
        public SortedDictionary<string, IpAddr> Pods { get; } = new(StringComparer.Ordinal);

        /// <summary>A transaction that was sent and has not arrived.</summary>
        public (LeaseCommit Commit, Transaction Transaction)? Sent { get; set; }

        /// <summary>Transactions that the node has given up and that may arrive yet.</summary>
        public List<Transaction> Late { get; } = [];

        /// <summary>The blocks that it gives back; outlives the lease.</summary>
        public Departures Departures { get; private set; }

        /// <summary>First steps of giving a block back that have not arrived.</summary>
        public List<HeldBlock> Leaves { get; } = [];

        /// <summary>What the owners of blocks have been asked and have not done yet, and what they answered.</summary>
        public List<BlockProtocol.ReleaseBlock> Orders { get; } = [];
        public List<object> Answers { get; } = [];

        /// <summary>Addresses that are kept for borrowers.</summary>
        public Lending Lending { get; private set; } = new();

        /// <summary>Its process is another; what pods use is all that is left.</summary>
        public void BeginAgain()
        {
            InUse = new AddressesInUse();
            Ledger = new LeaseLedger(Name, new LeaseOptions(), InUse);
            Departures = new Departures(Name);
            Lending = new Lending();
            Handles.Forget();
        }

        /// <summary>Its lease is another, in the same process.</summary>
        public void Succeed()
        {
            var from = Ledger.Resign("the lease starts again");
            Ledger = new LeaseLedger(Name, new LeaseOptions(), InUse);
            Ledger.Inherit(from);
            Lending = new Lending();
            Handles.Forget();
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
        if (node.Sent is not null || node.Ledger.Next(Rules(node, isPromise: false), reason => Fence(node, reason)) is not { } commit)
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
        if (node == from || from.Ledger.IsUncertain || node.Ledger.InNeed.FirstOrDefault(r => r.Loans.IsEmpty) is not { } request
            || from.Ledger.Spare(new LendProtocol.Borrow(from.Name, node.Name, 1, request.Handle, [Pool.Cidr], null), Rules(from, isPromise: true)) is not { } address
            || !from.Lending.TryLend(address, node.Name, request.Handle, _now))
            return;
        if (LeaseStore.FetchGuestAsync(_store, node.Name, BlockCandidates.Containing(address, Pool.BlockSize), default).GetAwaiter().GetResult() is { } guest
            && node.Ledger.TryAdd(guest))
        {
            Tell($"{request.Handle} borrows {address} of {from.Name}");
            request.Borrow(new(address, from.Name, from.Ledger.Held.All[guest.Block.Cidr].Epoch));
        }
    }

    /// <summary>The node becomes the holder of a block that nobody holds, if it needs one.</summary>
    public void Claim(Node node, int which)
    {
        if (node.Ledger.InNeed.FirstOrDefault() is not { } request)
            return;
        var candidates = request.Message.IsReclaim ? [BlockCandidates.Containing(request.Message.Request.Wanted[0], Pool.BlockSize)]
            : BlockCandidates.Of(Pool.Cidr, Pool.BlockSize, node.Name);
        var free = candidates.Where(b => HolderOf(b) is null).ToList();
        if (free.Count == 0)
        {
            if (request.Message.IsReclaim && HolderOf(candidates.First()) != node.Name)
                node.Ledger.Refuse(request, "its block is held by another", isTaken: true, isRetryable: false);
            return;
        }
        var cidr = free[which % free.Count];
        var result = _store.CommitAsync(BlockTransactions.Claim(cidr, node.Name, Get(IpamKeys.Block(cidr)), Get(IpamKeys.Affinity(node.Name, cidr)), DateTimeOffset.UnixEpoch + _now)).GetAwaiter().GetResult();
        Assert.True(result.Succeeded);
        Tell($"{node.Name} claims {cidr} at {result.Revision}");
        Hold(node, new HeldBlock(IpamJson.ParseBlock(Get(IpamKeys.Block(cidr))!.Value), result.Revision, result.Revision));
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
        foreach (var (handle, address) in node.Pods.Where(p => !node.Ledger.Gives(new LeaseProtocol.Tenant(p.Key, [p.Value]))).ToList())
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
    public void Decide(Node node)
    {
        LookUp(node);
        // A node that the others may have taken over answers only when it is durable.
        if (!node.Ledger.IsUncertain && node.Ledger.Held.Own.All(b => HolderOf(b.Block.Cidr) == node.Name && Get(IpamKeys.Affinity(node.Name, b.Block.Cidr))?.ModRevision == b.Epoch))
        {
            Tell($"{node.Name} decides");
            node.Ledger.Promise(Rules(node, isPromise: true), r => (r is LeaseRequest.Allocate { Loans.IsEmpty: true }) || r is LeaseRequest.Release { Elsewhere.IsEmpty: true }, isAway: false);
        }
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

    // ---- blocks that go back -----------------------------------------------------------------------------------------

    private void Hold(Node node, HeldBlock block)
    {
        if (node.Departures.Admits(block))
            node.Ledger.TryAdd(block);
    }

    /// <summary>The node looks for a block that it can do without, and goes on with those that are on their way out.</summary>
    public void Shrink(Node node, int which)
    {
        if (!node.Ledger.IsLoaded || node.Ledger.IsUncertain || !node.InUse.IsComplete)
            return;
        var empty = node.Ledger.Held.Own.Where(h => h.Block.IsEmpty && !node.Lending.HasLoansIn(h.Block.Cidr, _now)).Select(h => h.Block.Cidr).Order().ToList();
        if (empty.Count > 0 && node.Ledger.Withdraw(empty[which % empty.Count]) is { } withdrawn)
            node.Departures.Withdraw(withdrawn);
        foreach (var block in node.Departures.Send())
        {
            Tell($"{node.Name} wants to leave {block.Block.Cidr}@{block.Epoch}/{block.BlockRevision}");
            node.Leaves.Add(block);
        }
        node.Orders.AddRange(node.Departures.Leaving.Select(l => new BlockProtocol.ReleaseBlock(l.Key, node.Name, l.Value)));
    }

    /// <param name="node">Whose step arrives.</param>
    /// <param name="isHeard">Whether the node learns what came of it; it may come to pass later then.</param>
    public void Leave(Node node, bool isHeard, bool isLate)
    {
        if (node.Leaves.Count == 0)
            return;
        var block = node.Leaves[0];
        node.Leaves.RemoveAt(0);
        var transaction = BlockTransactions.Leave(node.Name, block);
        if (isLate)
        {
            Tell($"{node.Name} gives up leaving {block.Block.Cidr}");
            node.Late.Add(transaction);
            node.Departures.NotKnown(block);
            return;
        }
        var result = _store.CommitAsync(transaction).GetAwaiter().GetResult();
        Tell($"{node.Name} leaves {block.Block.Cidr}: {(result.Succeeded ? $"at {result.Revision}" : "fails")}{(isHeard ? "" : ", unheard")}");
        if (!isHeard)
            node.Departures.NotKnown(block);
        else if (result.Succeeded)
            node.Departures.Left(block.Block.Cidr, result.Revision);
        else
            NotLeft(node, block);
    }

    private void NotLeft(Node node, HeldBlock block)
    {
        node.Departures.NotLeft(block);
        Load(node);
    }

    /// <summary>The owner of a block does what it was asked, perhaps once more.</summary>
    public void Obey(Node node, int which)
    {
        if (node.Orders.Count == 0)
            return;
        var order = node.Orders[which % node.Orders.Count];
        if (which % 3 != 0)
            node.Orders.Remove(order);
        var answer = new BlockDecisions(_store, TimeProvider.System, NoLogger.Instance).ReleaseAsync(order, default).GetAwaiter().GetResult();
        Tell($"{order}: {answer ?? "nothing"}");
        if (answer is not null)
            node.Answers.Add(answer);
    }

    /// <summary>An answer reaches the node, or is lost.</summary>
    public void Hear(Node node, int which)
    {
        if (node.Answers.Count == 0)
            return;
        var answer = node.Answers[which % node.Answers.Count];
        node.Answers.Remove(answer);
        if (which % 5 == 0)
            return;
        Tell($"{node.Name} hears {answer}");
        if (answer is BlockProtocol.HolderRetired retired && node.Departures.Gone(retired.Block))
            Load(node);
        else if (answer is BlockProtocol.BlockGranted granted && !node.Ledger.Held.Holds(granted.Block)
            && LeaseStore.FetchAsync(_store, granted, default).GetAwaiter().GetResult() is { } held)
            Hold(node, held);
    }

    // ---- what must hold ----------------------------------------------------------------------------------------------

    public void Check()
    {
        foreach (var key in Keys(IpamKeys.BlockPrefix))
        {
            var block = IpamJson.ParseBlock(Get(key)!.Value);
            Assert.Equal(block.Capacity, block.AllocatedCount + block.FreeCount);
            Assert.Equal(block.FreeCount, block.Unallocated.Distinct().Count());
            var holders = Nodes.Where(n => Get(IpamKeys.Affinity(n.Name, block.Cidr)) is not null).Select(n => n.Name);
            Assert.Equal(block.AffineHost is { } holder ? [holder] : [], holders);
        }
    }

    public void CheckEverythingIsAccountedFor()
    {
        foreach (var key in Keys(IpamKeys.HostPrefix))
        {
            Assert.Equal("confirmed", IpamJson.ParseAffinityState(Get(key)!.Value));
            Assert.True(IpamKeys.TryParseAffinity(key, out var host, out var cidr));
            Assert.True(Nodes.Single(n => n.Name == host).Ledger.Held.Holds(cidr), $"{host} does not know that it holds {cidr}");
        }
        var assigned = Keys(IpamKeys.BlockPrefix).SelectMany(k => IpamJson.ParseBlock(Get(k)!.Value).Assigned())
            .Where(a => a.Owner.ReleasedAt is null).Select(a => (a.Address, a.Owner.HandleId!)).Order().ToList();
        var running = Nodes.SelectMany(n => n.Pods).Select(p => (p.Value, p.Key)).Order().ToList();
        Assert.Equal(running, assigned);
        Assert.Equal(running.Select(r => IpamKeys.Handle(r.Key)).Order(StringComparer.Ordinal), Keys(IpamKeys.HandlePrefix));
        Assert.Equal(running.Select(r => EndpointPrefix + r.Key).Order(StringComparer.Ordinal), Keys(EndpointPrefix).Order(StringComparer.Ordinal));
        foreach (var (address, handle) in running)
            Assert.Equal([new KeyValuePair<string, int>(BlockCandidates.Containing(address, Pool.BlockSize).ToString(), 1)], IpamJson.ParseHandle(Get(IpamKeys.Handle(handle))!.Value));
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
        var view = LeaseStore.LoadAsync(_store, node.Name, [.. node.Ledger.Guests], default).GetAwaiter().GetResult();
        node.Departures.Load(view.Leaving);
        var held = view.Held.Where(node.Departures.Admits).ToList();
        node.Ledger.Load(held);
        node.Lending.Learn(held.Where(h => !h.IsGuest).Select(h => h.Block), isOwnWrite: false, _now);
        Tell($"{node.Name} reads: holds {string.Join(' ', node.Ledger.Held.Own.Select(h => $"{h.Block.Cidr}@{h.Epoch}/{h.BlockRevision}"))}, guests {string.Join(' ', node.Ledger.Held.Guests)}, unfenced {string.Join(' ', node.Ledger.Held.Unfenced)}");
    }

    private void LookUp(Node node)
    {
        foreach (var request in node.Ledger.MustLookUp)
        {
            var places = LeaseStore.FindAsync(_store, node.Name, request.Handle, default).GetAwaiter().GetResult();
            if (!places.Own.All(node.Ledger.Held.Holds))
            {
                Load(node);
                continue;
            }
            (request.IsLookedUp, request.MustLookUp) = (true, false);
            foreach (var guest in places.Guests)
            {
                if (node.Ledger.TryAdd(guest) && guest.Block.AddressOf(request.Handle) is { } had)
                    request.Borrow(new(had, guest.Block.AffineHost, null));
            }
        }
        foreach (var release in node.Ledger.ToLookUp(h => node.Handles.Among([h]).GetValueOrDefault(h) is { } known
            && BlockTransactions.CountsOf(known).Keys.All(b => node.Ledger.Held.Holds(Cidr.Parse(b)))).ToList())
        {
            var places = LeaseStore.FindAsync(_store, node.Name, release.Handle, default).GetAwaiter().GetResult();
            if (places.Own.All(node.Ledger.Held.Holds))
                release.Found([.. places.Guests.Where(node.Ledger.TryAdd).Select(g => g.Block.Cidr)], places.Handle?.ModRevision ?? 0);
            else
                Load(node);
        }
    }

    private string? HolderOf(Cidr block) => Get(IpamKeys.Block(block)) is { } stored ? IpamJson.ParseBlock(stored.Value).AffineHost : null;

    private KeyValue? Get(string key) => _store.GetAsync(key).GetAwaiter().GetResult();

    private List<string> Keys(string prefix) => [.. _store.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal))];
}
