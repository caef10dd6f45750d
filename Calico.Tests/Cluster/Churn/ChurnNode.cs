using System.Collections.Concurrent;
using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Akka.Remote;
using Akka.Remote.Transport;
using Calico.Actors.Cluster;
using Calico.Actors.Cluster.Owners;
using Calico.Actors.Cni;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Kernel.Namespaces;
using static Akka.Remote.Transport.ThrottleTransportAdapter;

namespace Calico.Tests.Cluster.Churn;

/// <summary>
/// A node as far as addresses are concerned: its mesh, and of its forwarding half the real upstream, lease, registry,
/// facts and reconciler over a kernel in memory and a journal on disk. Its process can be killed, its machine can die, its
/// cables can be pulled, and its way to the datastore can fail.
/// </summary>
internal sealed class ChurnNode : IAsyncDisposable
{
    private static readonly TimeSpan ShutdownTime = TimeSpan.FromSeconds(30);

    private readonly ChurnBed _bed;
    private readonly MeshOptions _options;
    private readonly Lock _gate = new();
    private readonly List<string> _wrecks = [];
    private readonly ConcurrentQueue<string> _log = new();
    private string _journal = Directory.CreateTempSubdirectory("calico-churn-").FullName;
    private FakeNetworkNamespace _host;
    private Life? _life;
    private ActorSystem? _mesh;
    private bool _isolated;

    /// <summary>One process: what ends with it.</summary>
    private sealed record Life(MeshLink Link, UnreliableStore Store, CancellationTokenSource Ended, ImmutableArray<IActorRef> Actors,
        IActorRef Lease, IActorRef Registry, IActorRef Reconciler);

    public ChurnNode(ChurnBed bed, MeshOptions options)
    {
        _bed = bed;
        _options = options;
        _host = new FakeKernel().CreateNamespace("host");
    }

    public string Name => _options.Node;
    public IpAddr Address => _options.Address;
    public bool IsUp => _life is not null;

    /// <summary>Bound to the process: calls under way end with it.</summary>
    public CancellationToken Ended => _life?.Ended.Token ?? new CancellationToken(canceled: true);

    /// <summary>Pods that have to be removed once the process is there: their calls failed.</summary>
    public ConcurrentQueue<ChurnPod> Orphans { get; } = new();

    // For whoever has to find out why it has no mesh.
    private volatile string _stage = "was never started";

    /// <summary>The others may take it for gone, or it has not found out yet that they did.</summary>
    public volatile bool MayBeGone;

    public string MeshAddress => $"akka.trttl.tcp://{MeshOptions.SystemName}@{_options.Address}:{_options.Port}";

    // ---- life --------------------------------------------------------------------------------------------------------

    public void Start()
    {
        var link = new MeshLink();
        var store = new UnreliableStore(_bed.Datastore, _bed.Random(Name));
        var system = _bed.Nodes;
        var upstream = system.ActorOf(UpstreamActor.Props(link, Name));
        var lease = system.ActorOf(LeaseActor.Props(store, Name, upstream, TimeProvider.System, new LeaseOptions
        {
            RequestTimeout = TimeSpan.FromSeconds(6),
            PromiseAfter = TimeSpan.FromMilliseconds(300),
            AloneLimit = _options.NodeGoneAfter / 2,
            SurplusEvery = TimeSpan.FromMilliseconds(200),
        }));
        var silent = system.ActorOf(Props.Create(() => new Silent()));
        var registry = system.ActorOf(RegistryActor.Props(_journal, "cali", _host, silent, lease));
        var facts = system.ActorOf(FactsActor.Props(Name, upstream));
        var reconciler = system.ActorOf(ReconcilerActor.Props(new ReconcilerServices(Name, store, lease, registry, silent, facts, TimeProvider.System,
            _ => RegisterAsync(store)), upstream));
        var life = new Life(link, store, new CancellationTokenSource(), [upstream, lease, silent, registry, facts, reconciler], lease, registry, reconciler);
        _life = life;
        _ = LiveAsync(life);
    }

    // The agent's supervisor: a membership that has ended, or did not begin, is followed by another.
    private async Task LiveAsync(Life life)
    {
        while (!life.Ended.IsCancellationRequested)
        {
            _stage = "is being started";
            if (TryStartMesh(life) is { } mesh)
            {
                _stage = "runs";
                var keeper = _bed.Nodes.ActorOf(Props.Create(() => new LogKeeper(_log)));
                foreach (var level in new[] { typeof(Info), typeof(Warning), typeof(Error) })
                    mesh.EventStream.Subscribe(keeper, level);
                try
                {
                    await ThrottleAsync(mesh);
                }
                catch (Exception e)
                {
                    _bed.Tell($"{Name}: its cables cannot be pulled: {e}");
                }
                await mesh.WhenTerminated;
            }
            _stage = "has ended";
            await Task.Delay(TimeSpan.FromMilliseconds(300));
        }
    }

    private ActorSystem? TryStartMesh(Life life)
    {
        lock (_gate)
        {
            if (life.Ended.IsCancellationRequested)
                return null;
            try
            {
                return _mesh = MeshSystem.Start(_options, new MeshPorts(life.Store, life.Link, TimeProvider.System, _bed));
            }
            catch (Exception e)
            {
                _bed.Tell($"{Name}: its mesh did not start: {e.GetBaseException().Message}");
                return null;
            }
        }
    }

    /// <summary>kill -9: nothing of its end is said to anybody. Pods, journal and kernel stay.</summary>
    public async Task KillAsync()
    {
        if (Interlocked.Exchange(ref _life, null) is not { } life)
            return;
        life.Store.Cut();
        ActorSystem? mesh;
        lock (_gate)
        {
            life.Ended.Cancel();
            mesh = _mesh;
        }
        foreach (var actor in life.Actors)
            _bed.Nodes.Stop(actor);
        if (mesh is not null && !mesh.WhenTerminated.IsCompleted)
        {
            await ((IRemoteActorRefProvider)((ExtendedActorSystem)mesh).Provider).Transport.Shutdown().WaitAsync(ShutdownTime);
            ((ExtendedActorSystem)mesh).Abort();
            await mesh.WhenTerminated.WaitAsync(ShutdownTime);
        }
    }

    /// <summary>The machine is gone, with its pods and everything on it.</summary>
    public async Task DieAsync()
    {
        MayBeGone = true;
        _bed.Silence(Address, true);
        await KillAsync();
        Orphans.Clear();
        // What is left of its process may still write there.
        _wrecks.Add(_journal);
        _journal = Directory.CreateTempSubdirectory("calico-churn-").FullName;
        _host = new FakeKernel().CreateNamespace("host");
    }

    /// <summary>Pulls its cables or plugs them in: neither members, nor the datastore, nor probes get through.</summary>
    public async Task IsolateAsync(bool isolated, bool andDatastore)
    {
        _isolated = isolated;
        if (isolated && andDatastore)
            MayBeGone = true;
        _bed.Silence(Address, isolated && andDatastore);
        DatastoreIsAway(isolated && andDatastore);
        if (_mesh is { } mesh && !mesh.WhenTerminated.IsCompleted)
            await ThrottleAsync(mesh);
    }

    public void DatastoreIsAway(bool isAway)
    {
        if (_life is { } life)
            life.Store.IsAway = isAway;
    }

    public void LeaseFails() => _life?.Lease.Tell(Kill.Instance);

    private async Task ThrottleAsync(ActorSystem mesh)
    {
        try
        {
            var transport = ((IRemoteActorRefProvider)((ExtendedActorSystem)mesh).Provider).Transport;
            foreach (var other in _bed.All.Where(n => n != this))
            {
                ThrottleMode mode = _isolated ? Blackhole.Instance : Unthrottled.Instance;
                await transport.ManagementCommand(new SetThrottle(Akka.Actor.Address.Parse(other.MeshAddress), ThrottleTransportAdapter.Direction.Both, mode)).WaitAsync(ShutdownTime);
            }
        }
        catch (Exception e) when (e is RemoteTransportException or TimeoutException or AskTimeoutException or NullReferenceException)
        {
            // It ended meanwhile; the next one is asked at its start.
        }
    }

    private async Task RegisterAsync(IDatastore store)
    {
        var node = new NodeResource { Metadata = new ObjectMeta { Name = Name }, Spec = new NodeSpec { Bgp = new NodeBGPSpec { Ipv4Address = Address + "/24" } } };
        await store.CommitAsync(new Transaction([], [Write.Put(new ResourceKey(ResourceKind.Node, null, Name).Path, ResourceCodec.Encode(node))]));
    }

    public Task RegisterAsync() => RegisterAsync(_bed.Datastore);

    // ---- pods --------------------------------------------------------------------------------------------------------

    /// <summary>What an ADD does. The addresses, or null if it failed and has to be removed.</summary>
    public async Task<ImmutableArray<IpAddr>?> AddAsync(ChurnPod pod, ImmutableArray<PoolRef> pools, Action<ImmutableArray<IpAddr>> given)
    {
        if (_life is not { } life)
            return null;
        var ended = life.Ended.Token;
        var admitted = await AskAsync<RegistryProtocol.Admitted>(life.Registry, new RegistryProtocol.Admit(pod.ToWorkload()), ended);
        var workload = admitted.Workload;
        var families = pools.Select(p => p.Cidr.Version).Distinct().ToImmutableArray();
        var answer = await AskAsync<object>(life.Lease, new LeaseProtocol.Allocate(_bed.NextId(), new(workload.HandleId,
            workload.AllocationAttributes(Name, TimeProvider.System.GetUtcNow()), families, [.. pools.Select(p => p.Cidr)], []), pools,
            a => [Write.Put(workload.EndpointKey(Name).Path, ResourceCodec.Encode((workload with { Addresses = [.. a.Select(x => x.ToString())] })
                .ToResource(Name, TimeProvider.System.GetUtcNow())))]), ended);
        if (answer is not LeaseProtocol.Allocated allocated)
        {
            var refused = (LeaseProtocol.NotAllocated)answer;
            _bed.Note(pod, refused.Reason);
            _bed.Count(refused.Retryable ? "refused for now" : "refused");
            return null;
        }
        _bed.Note(pod, $"given {string.Join(' ', allocated.Addresses)}");
        given(allocated.Addresses);
        workload = workload with { Addresses = [.. allocated.Addresses.Select(a => a.ToString())] };
        using (var links = _host.OpenLinks())
        {
            if (links.Find(workload.HostInterface) is null)
                links.CreateBridge(workload.HostInterface);
        }
        var recorded = await AskAsync<RegistryProtocol.Recorded>(life.Registry, new RegistryProtocol.Record(workload), ended);
        return recorded.Fault is null && !ended.IsCancellationRequested ? allocated.Addresses : null;
    }

    /// <summary>What a DEL does; false if it has to be repeated.</summary>
    public async Task<bool> RemoveAsync(ChurnPod pod)
    {
        if (_life is not { } life)
            return false;
        var ended = life.Ended.Token;
        var found = await AskAsync<RegistryProtocol.Found>(life.Registry, new RegistryProtocol.Find(pod.Id, "eth0"), ended);
        var workload = found.Workload ?? pod.ToWorkload();
        using (var links = _host.OpenLinks())
            links.Delete(workload.HostInterface);
        var released = await AskAsync<object>(life.Lease, new LeaseProtocol.Release(_bed.NextId(), workload.HandleId, [.. workload.ParsedAddresses],
            found.Workload is null ? [] : [Write.Delete(workload.EndpointKey(Name).Path)]), ended);
        _bed.Note(pod, released is LeaseProtocol.Released r ? $"released {string.Join(' ', r.Addresses)}" : released.ToString()!);
        if (released is not LeaseProtocol.Released)
            return false;
        await AskAsync<RegistryProtocol.Recorded>(life.Registry, new RegistryProtocol.Forget(workload), ended);
        return !ended.IsCancellationRequested;
    }

    private static Task<T> AskAsync<T>(IActorRef actor, object message, CancellationToken cancellation) =>
        actor.Ask<T>(message, TimeSpan.FromSeconds(12), cancellation);

    // ---- what it says ------------------------------------------------------------------------------------------------

    public async Task<ImmutableArray<Workload>> WorkloadsAsync() =>
        (await AskAsync<RegistryProtocol.All>(_life!.Registry, new RegistryProtocol.GetAll(), Ended)).Workloads;

    /// <summary>Why the others do not take it for alive, as far as the owner of its facts can be asked from here; null if they do.</summary>
    public async Task<string?> AbsenceAsync()
    {
        if (_mesh is not { } mesh || mesh.WhenTerminated.IsCompleted)
            return $"it has no mesh: that {_stage}";
        try
        {
            var status = await mesh.ActorSelection("/user/node").Ask<NodeProtocol.NodeStatus>(new NodeProtocol.GetNode(Name), TimeSpan.FromSeconds(2), Ended);
            return status.Phase is NodeProtocol.Phase.Alive ? null : $"it is taken for {status.Phase}";
        }
        catch (Exception e) when (e is AskTimeoutException or InvalidOperationException or ArgumentException)
        {
            var cluster = Akka.Cluster.Cluster.Get(mesh);
            return $"{e.Message}; it is {cluster.SelfMember.Status} among {string.Join(", ", cluster.State.Members)}, not reached: {string.Join(", ", cluster.State.Unreachable)}";
        }
    }

    /// <summary>What it knows of itself and of the others, for whoever has to find out why something never happened.</summary>
    public async Task<string> DescribeAsync()
    {
        try
        {
            var lease = _life is { } life ? await AskAsync<LeaseProtocol.Status>(life.Lease, new LeaseProtocol.GetStatus(), life.Ended.Token) : null;
            return $"{Name}: {await AbsenceAsync() ?? "alive"}; {await MembershipAsync()}; holds {string.Join(" ", lease?.Blocks.Select(b => $"{b.Block}@{b.Epoch}") ?? [])}; "
                + $"gives back {string.Join(" ", lease?.Leaving ?? [])} ({lease?.NothingLeaves ?? "at any time"}); {_life?.Link.Dropped} messages dropped\n  {string.Join("\n  ", _log)}";
        }
        catch (Exception e) when (e is AskTimeoutException or OperationCanceledException)
        {
            return $"{Name}: {e.Message}";
        }
    }

    private async Task<string> MembershipAsync()
    {
        if (_mesh is not { } mesh || mesh.WhenTerminated.IsCompleted)
            return "no mesh";
        var cluster = Akka.Cluster.Cluster.Get(mesh);
        var feed = await IdentifyAsync(mesh, "/user/feed/singleton");
        return $"leader {cluster.State.Leader}, members {string.Join(" ", cluster.State.Members)}, not reached {string.Join(" ", cluster.State.Unreachable)}, feed here {feed}, "
            + $"{await OwnersAsync(mesh, "block")}, {await OwnersAsync(mesh, "node")}";
    }

    private static async Task<string> OwnersAsync(ActorSystem mesh, string kind) => $"{kind} owners here "
        + string.Join(' ', (await mesh.ActorSelection("/user/" + kind).Ask<OwnerProtocol.Awake>(OwnerProtocol.GetAwake.Instance, TimeSpan.FromSeconds(5))).Owners);

    private static async Task<bool> IdentifyAsync(ActorSystem mesh, string path) =>
        (await mesh.ActorSelection(path).Ask<ActorIdentity>(new Identify(path), TimeSpan.FromSeconds(3))).Subject is not null;

    /// <summary>What is not settled yet; null when everything is.</summary>
    public async Task<string?> UnsettledAsync()
    {
        var lease = await AskAsync<LeaseProtocol.Status>(_life!.Lease, new LeaseProtocol.GetStatus(), Ended);
        if (!lease.Loaded || lease.Promises > 0 || lease.Waiting > 0 || lease.Trouble is not null)
            return $"{Name}: {lease}";
        // It may not have heard yet what was taken from it.
        foreach (var workload in (await WorkloadsAsync()).Where(w => !w.IsFenced))
        {
            foreach (var address in workload.ParsedAddresses)
            {
                if (await _bed.OwnerOfAsync(address) != workload.HandleId)
                    return $"{Name}: {workload.Id} uses {address}, which is not its own by what is stored";
            }
        }
        var report = (await AskAsync<ReconcilerProtocol.Status>(_life!.Reconciler, new ReconcilerProtocol.GetStatus(), Ended)).Report;
        return report is null or { Pending.Length: > 0 } ? $"{Name}: {string.Join("; ", report?.Pending ?? ["not reconciled"])}" : null;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        foreach (var folder in _wrecks.Append(_journal).Where(Directory.Exists))
            Directory.Delete(folder, recursive: true);
    }

    /// <summary>Keeps the last lines of its mesh.</summary>
    private sealed class LogKeeper : ReceiveActor
    {
        private const int Lines = 60;

        public LogKeeper(ConcurrentQueue<string> log) => Receive<LogEvent>(e =>
        {
            // What remoting says of others that are gone would fill it.
            if (!e.LogSource.Contains("/user/", StringComparison.Ordinal))
                return;
            log.Enqueue(e.ToString());
            while (log.Count > Lines)
                log.TryDequeue(out _);
        });
    }

    /// <summary>Stands for the writers of routes and rules, which have no say in addresses.</summary>
    private sealed class Silent : ReceiveActor
    {
        public Silent()
        {
            Receive<EnforcerProtocol.SetEndpoint>(s => Sender.Tell(new EnforcerProtocol.Enforced(s.RequestId)));
            Receive<EnforcerProtocol.RemoveEndpoint>(_ => { });
            Receive<RouteProtocol.ChangeRoutes>(_ => { });
            Receive<RouteProtocol.SourceComplete>(_ => { });
        }
    }
}

/// <summary>A pod of the runtime: one container, never used again.</summary>
internal sealed record ChurnPod(string Id, ChurnNode Node)
{
    public Workload ToWorkload() => new()
    {
        ContainerId = Id,
        Network = "k8s-pod-network",
        Orchestrator = Workload.KubernetesOrchestrator,
        Namespace = "default",
        Name = Id,
        PodInterface = "eth0",
        HostInterface = "cali" + Id,
    };
}
