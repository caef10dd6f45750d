using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;
using Akka.Actor;
using Calico.Actors;
using Calico.Actors.Cluster;
using Calico.Actors.Cni;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Cni;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Nft;
using Calico.Kernel.Routes;
using Calico.Tests.Datastore;
using Calico.Tests.Datastore.Etcd;
using Calico.Tests.Kernel;
using Prometheus;

namespace Calico.Tests.Cni;

/// <summary>
/// A whole node in this process, as the agent builds it: actors of both halves, the shim's socket, a network namespace in
/// the place of the machine's, a datastore in memory. The plugins are the real ones. The node can be stopped and started.
/// </summary>
internal sealed class NodeBed : IAsyncDisposable
{
    public const string Node = "node-1";

    private static int _lastHost = Environment.ProcessId;

    private readonly string _folder = Directory.CreateTempSubdirectory("calico-node-").FullName;
    private readonly TestNamespaces _world = new();
    private readonly IPodReader? _pods;
    private readonly IpAddr _meshAddress = IpAddr.Parse(string.Create(CultureInfo.InvariantCulture,
        $"127.{1 + (Interlocked.Increment(ref _lastHost) % 250)}.{Random.Shared.Next(1, 250)}.9"));
    private readonly int _meshPort = EtcdProcess.FreePort();
    private int _lastPool;
    private NodeRefs? _refs;
    private ActorSystem? _mesh;
    private CniListener? _listener;
    private CniPending? _pending;
    private CniVanished? _vanished;
    private CniLog? _log;

    private NodeBed(IPodReader? pods, IDatastore? store)
    {
        _pods = pods;
        Store = store ?? new InMemoryDatastore();
        Host = _world.Create();
        ConnectHost();
        foreach (var name in (string[])["calico", "calico-ipam"])
            File.CreateSymbolicLink(Path.Combine(_folder, name), Artifacts.Shim());
        Resources = new ResourceStore(Store, TimeProvider.System);
    }

    /// <summary>What the agent is called; it answers for no other node.</summary>
    public string Name { get; private set; } = Node;

    public NetworkNamespace Host { get; }
    public IDatastore Store { get; }
    public ResourceStore Resources { get; }
    public string Folder => _folder;
    public string Socket => Path.Combine(_folder, "cni.sock");
    public string MtuFile => Path.Combine(_folder, "mtu");
    public string Pending => CniPendingDelete.FolderOf(Socket);

    /// <summary>What the node reported.</summary>
    public List<string> Reports { get; } = [];

    public static Task<NodeBed> StartAsync(IPodReader? pods = null, params IPPoolSpec[] pools) => StartOnAsync(null, pods, pools);

    /// <summary>One on this datastore; null: one in memory. Kubernetes' has the node already.</summary>
    public static async Task<NodeBed> StartOnAsync(IDatastore? store, IPodReader? pods, params IPPoolSpec[] pools)
    {
        var bed = new NodeBed(pods, store);
        try
        {
            await bed.Resources.EnsureInitializedAsync();
            if (store is null)
                await bed.Resources.CreateAsync(new NodeResource { Metadata = new ObjectMeta { Name = Node } });
            foreach (var pool in pools)
                await bed.AddPoolAsync(pool);
            await bed.StartNodeAsync();
            return bed;
        }
        catch
        {
            await bed.DisposeAsync();
            throw;
        }
    }

    /// <summary>One with a pool of either family.</summary>
    public static Task<NodeBed> StartDualAsync(IPodReader? pods = null) => StartAsync(pods,
        new IPPoolSpec { Cidr = "10.65.0.0/16" }, new IPPoolSpec { Cidr = "fd00:65::/48" });

    // Proxy ARP answers for addresses that the machine has a route to: every machine has a default route.
    private void ConnectHost()
    {
        using var links = Host.OpenLinks();
        links.Change(new LinkChange(links.Find("lo")!.Index) { Up = true });
        var uplink = links.CreateBridge("uplink").Index;
        links.Change(new LinkChange(uplink) { Up = true });
        links.AddAddress(new LinkAddress(uplink, Cidr.Parse("192.0.2.1/24")));
        using var routes = Host.OpenRoutes();
        var results = new Calico.Kernel.Errno[1];
        routes.Apply([new RouteChange(new Route(new RouteKey(Cidr.Parse("0.0.0.0/0"), 0), RouteKind.Unicast, 4, [new NextHop(IpAddr.Parse("192.0.2.254"), uplink)]), false)], results);
        Assert.Equal(Calico.Kernel.Errno.None, results[0]);
    }

    /// <summary>Creates a pool; a node that runs knows it then.</summary>
    public async Task AddPoolAsync(IPPoolSpec spec)
    {
        await Resources.CreateAsync(new IPPool
        {
            Metadata = new ObjectMeta { Name = string.Create(CultureInfo.InvariantCulture, $"pool-{++_lastPool}") },
            Spec = spec,
        });
        await PoolsAreKnownAsync();
    }

    private async Task PoolsAreKnownAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (_refs is { } refs
            && (await refs.Facts.Ask<FactsProtocol.Pools>(new FactsProtocol.GetPools("default"), TimeSpan.FromSeconds(10))).All.Length < _lastPool)
            await Task.Delay(20, limit.Token);
    }

    public async Task StartNodeAsync()
    {
        var link = new MeshLink();
        _refs = NodeSystem.Start(new NodeOptions(Name, Path.Combine(_folder, "workloads")) { Loggers = "loggers = [], stdout-loglevel = OFF" },
            new NodePorts(Store, link, Host, table => NetlinkNftTable.Open(table, Host.Fd), TimeProvider.System, _ => Task.CompletedTask));
        _mesh = await MeshSystem.StartAsync(new MeshOptions(Name, _meshAddress)
        {
            Port = _meshPort,
            GossipInterval = TimeSpan.FromMilliseconds(200),
            Pace = TimeSpan.FromMilliseconds(200),
            StableAfter = TimeSpan.FromSeconds(1.5),
            BootstrapStaleAfter = TimeSpan.FromSeconds(1),
            Loggers = "loggers = [], stdout-loglevel = OFF",
        }, new MeshPorts(Store, link, TimeProvider.System, new Silence()));
        _log = new CniLog(TimeProvider.System, Report);
        var handler = new CniHandler(new CniServices(Name, _refs.Lease, _refs.Links, _refs.Routes, _refs.Enforcer, _refs.Registry, _refs.Facts, TimeProvider.System)
        {
            Datastore = Store is Calico.Datastore.Kubernetes.KubernetesDatastore ? null : Store,
            Host = Host,
            Pods = _pods,
            MtuFile = MtuFile,
            PendingDeletes = Pending,
            Report = what => Report(what, null),
        }, new CniMetrics(Metrics.WithCustomRegistry(Metrics.NewCustomRegistry())), _log);
        _listener = CniListener.Start(new CniListenerOptions(Socket), handler.HandleAsync, Report);
        _pending = CniPending.Start(Pending, handler.HandleAsync, Report);
        _vanished = CniVanished.Start(Host, handler, TimeProvider.System, Report);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while ((await RunAsync("STATUS", null, Config("net", version: "1.1.0"))).ExitCode != 0)
            await Task.Delay(100, limit.Token);
        await PoolsAreKnownAsync();
    }

    /// <summary>Another agent takes the place of the one that runs, under another name.</summary>
    public async Task BecomeAsync(string name)
    {
        await StopNodeAsync();
        Name = name;
        await Resources.CreateAsync(new NodeResource { Metadata = new ObjectMeta { Name = name } });
        await StartNodeAsync();
    }

    /// <summary>Stops the agent; the kernel and the runtime's pods stay.</summary>
    public async Task StopNodeAsync()
    {
        if (_vanished is not null)
            await _vanished.DisposeAsync();
        if (_pending is not null)
            await _pending.DisposeAsync();
        if (_listener is not null)
            await _listener.DisposeAsync();
        if (_log is not null)
            await _log.DisposeAsync();
        if (_mesh is not null)
            await _mesh.Terminate();
        if (_refs is not null)
            await _refs.System.Terminate();
        (_vanished, _pending, _listener, _log, _mesh, _refs) = (null, null, null, null, null, null);
    }

    public async ValueTask DisposeAsync()
    {
        await StopNodeAsync();
        await Store.DisposeAsync();
        _world.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    public NetworkNamespace CreatePod() => _world.Create();

    public void DeletePod(NetworkNamespace pod) => _world.Delete(pod);

    // ---- calls -------------------------------------------------------------------------------------------------------

    /// <summary>A network configuration; <paramref name="more"/> are further members, as JSON without braces.</summary>
    public static string Config(string network, string ipam = "{\"type\": \"calico-ipam\"}", string more = "", string version = "1.0.0") =>
        $$"""{"cniVersion": "{{version}}", "name": "{{network}}", "type": "calico", "ipam": {{ipam}}{{(more.Length > 0 ? ", " + more : "")}}}""";

    public Task<ShimRun> RunAsync(string command, NetworkNamespace? pod, string config, string container = "cid-1", string program = "calico",
        string args = "", string interfaceName = "eth0", string? netns = null)
    {
        var environment = new Dictionary<string, string>
        {
            ["CNI_COMMAND"] = command,
            ["CNI_CONTAINERID"] = container,
            ["CNI_NETNS"] = netns ?? pod?.Path ?? "",
            ["CNI_IFNAME"] = interfaceName,
            ["CNI_PATH"] = $"{_folder}:/usr/lib/cni:/opt/cni/bin",
            ["CNI_ARGS"] = args,
            ["CALICO_CNI_SOCKET"] = Socket,
            ["CALICO_CNI_TIMEOUT"] = "60",
            ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin",
        };
        return program.Contains('/', StringComparison.Ordinal)
            ? Host.RunPlugin(program, environment, config)
            : ShimRun.OfAsync(Path.Combine(_folder, program), environment, config);
    }

    public async Task<ShimRun> AddAsync(NetworkNamespace pod, string config, string container = "cid-1", string args = "")
    {
        var run = await RunAsync("ADD", pod, config, container, args: args);
        Assert.True(run.ExitCode == 0, $"ADD: {run.Output} {run.Errors}; {string.Join("; ", Reports)}");
        return run;
    }

    public async Task DelAsync(NetworkNamespace? pod, string config, string container = "cid-1")
    {
        var run = await RunAsync("DEL", pod, config, container);
        Assert.True(run.ExitCode == 0, $"DEL: {run.Output} {run.Errors}");
    }

    // ---- what there is -----------------------------------------------------------------------------------------------

    public static ImmutableArray<IpAddr> AddressesOf(ShimRun add) =>
        [.. add.Json["ips"]!.AsArray().Select(i => Cidr.Parse(i!["address"]!.GetValue<string>()).Address)];

    public async Task<ImmutableArray<WorkloadEndpoint>> EndpointsAsync()
    {
        await LeaseAsync();
        return [.. (await Resources.ListAsync(ResourceKind.WorkloadEndpoint)).Items.Cast<WorkloadEndpoint>()];
    }

    public async Task<ImmutableArray<Workload>> WorkloadsAsync() =>
        (await _refs!.Registry.Ask<RegistryProtocol.All>(new RegistryProtocol.GetAll(), TimeSpan.FromSeconds(10))).Workloads;

    /// <summary>Addresses that IPAM has given out.</summary>
    public async Task<int> AllocatedAsync() => (await LeaseAsync()).Blocks.Sum(b => b.Allocated);

    // Answers come before what was decided is written.
    private async Task<LeaseProtocol.Status> LeaseAsync()
    {
        if (_refs is null)
            return new LeaseProtocol.Status(false, [], 0, 0, null);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            var status = await _refs.Lease.Ask<LeaseProtocol.Status>(new LeaseProtocol.GetStatus(), TimeSpan.FromSeconds(10));
            if (status.Promises == 0)
                return status;
            await Task.Delay(20, limit.Token);
        }
    }

    public bool HasHostLink(string name)
    {
        using var links = Host.OpenLinks();
        return links.Find(name) is not null;
    }

    public int HostLinks()
    {
        using var links = Host.OpenLinks();
        return links.Dump().Count(l => l.Name.StartsWith("cali", StringComparison.Ordinal));
    }

    /// <summary>One echo and its answer, three tries.</summary>
    public static async Task<bool> PingAsync(NetworkNamespace from, IpAddr to) =>
        await TestPrograms.RunAsync("ip", "netns", "exec", Path.GetFileName(from.Path), "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", to.ToString()) == 0;

    public static async Task AssertPingAsync(NodeBed bed, NetworkNamespace from, IpAddr to)
    {
        if (!await PingAsync(from, to))
            Assert.Fail($"{to} does not answer\n{(await ShimRun.OfAsync("/bin/sh", new Dictionary<string, string> { ["PATH"] = "/usr/sbin:/sbin:/usr/bin:/bin" }, "",
                "-c", $"ip netns exec {Path.GetFileName(bed.Host.Path)} sh -c 'nft list ruleset; ip route; ip -6 route; ip addr; ip neigh; sysctl net.ipv4.ip_forward'")).Output}");
    }

    private void Report(string what, Exception? cause)
    {
        lock (Reports)
            Reports.Add(cause is null ? what : $"{what}: {cause.Message}");
    }

    private sealed class Silence : IHostProbe
    {
        public Task<bool> AnswersAsync(IpAddr address, CancellationToken cancellation) => Task.FromResult(true);
    }
}

/// <summary>Programs that a test runs beside the plugins.</summary>
internal static class TestPrograms
{
    public static async Task<int> RunAsync(string program, params string[] arguments)
    {
        using var process = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        await Task.WhenAll(output, errors);
        return process.ExitCode;
    }

    /// <summary>A plugin that works on the node's side itself, so it has to be in the node's namespace.</summary>
    public static Task<ShimRun> RunPlugin(this NetworkNamespace host, string program, Dictionary<string, string> environment, string config) =>
        ShimRun.OfAsync("/sbin/ip", environment, config, "netns", "exec", Path.GetFileName(host.Path), program);
}
