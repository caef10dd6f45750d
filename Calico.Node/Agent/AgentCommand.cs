using System.CommandLine;
using Calico.Actors;
using Calico.Actors.Audit;
using Calico.Actors.Cluster;
using Calico.Actors.Cni;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Routing;
using Calico.Core.Cni;
using Calico.Core.Policy.Render;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;
using Calico.Datastore.Kubernetes;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Nft;
using Calico.Node.Cni;
using Calico.Node.Http;
using Calico.Node.Logging;
using Prometheus;
using Serilog;

namespace Calico.Node.Agent;

/// <summary><c>calico-node run</c>: the agent of one node.</summary>
internal static class AgentCommand
{
    public static Command Create()
    {
        var command = new Command("run", "Run the node agent; it is configured by the environment variables of calico/node.");
        command.SetAction((_, cancellation) => RunAsync(cancellation));
        return command;
    }

    public static async Task<int> RunAsync(CancellationToken cancellation)
    {
        var options = AgentOptions.Read(EnvironmentReader.Process(), out var problems);
        Logs.Open(options.LogSeverity);
        if (problems.Count > 0)
        {
            foreach (var problem in problems)
                Log.Fatal("configuration: {Problem}", problem);
            return 1;
        }
        try
        {
            await RunAsync(options, cancellation);
            return 0;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return 0;
        }
        catch (Exception e)
        {
            Log.Fatal(e, "the agent has to give up");
            return 1;
        }
        finally
        {
            await Log.CloseAndFlushAsync();
        }
    }

    // Start order is dependency order; the CNI socket opens last and closes first. The kernel keeps what it has.
    private static async Task RunAsync(AgentOptions options, CancellationToken cancellation)
    {
        Directory.CreateDirectory(options.RunDirectory);
        Directory.CreateDirectory(options.LibDirectory);
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await using var datastore = Open(options);
        using var host = NetworkNamespace.OpenCurrent();
        var link = new MeshLink();
        var startup = new NodeStartup(datastore, options, TimeProvider.System);
        var nodeRefs = NodeSystem.Start(
            new NodeOptions(options.Node, Path.Combine(options.LibDirectory, "workloads"))
            {
                Loggers = SerilogLogger.Hocon,
                Rules = new RenderOptions { EndpointToHost = options.EndpointToHost },
                Routing = new RoutingOptions
                {
                    RouterId = options.RouterId,
                    SecretsDirectory = options.BgpSecretsDirectory,
                    LongLivedTime = options.LongLivedTime,
                    Bfd = options.Bfd,
                    ServiceRanges = options.AdvertisedClusterIps,
                    Services = datastore as IPlainObjects,
                    SecretsNamespace = options.SecretsNamespace,
                    KubernetesName = options.KubernetesName,
                },
                // Well before the others take the node for gone.
                Lease = new LeaseOptions
                {
                    Answer = options.IpamAnswer,
                    AloneLimit = options.NodeGoneAfter > TimeSpan.Zero ? options.NodeGoneAfter / 2 : null,
                },
            },
            new NodePorts(datastore, link, host, table => NetlinkNftTable.Open(table, host.Fd), TimeProvider.System,
                startup.RegisterAsync));
        var audit = new IpamBoard();
        var agent = new AgentState(options, nodeRefs, link, audit);
        await using var http = await NodeHttpServer.StartAsync(options, agent);
        await using var status = await StatusServer.StartAsync(options, agent);

        // Whatever the rest waits for: without its forwarding half the process has nothing to do.
        nodeRefs.System.RegisterOnTermination(stopping.Cancel);
        var meshTask = Task.CompletedTask;
        try
        {
            await startup.RunAsync(stopping.Token);
            var ports = new MeshPorts(datastore, link, TimeProvider.System, new TcpHostProbe(179, TimeSpan.FromSeconds(1))) { Audit = audit };
            meshTask = new MeshSupervisor(MeshOptionsOf(options), ports).RunAsync(stopping.Token);
            _ = meshTask.ContinueWith(_ => stopping.Cancel(), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
            await ServeRuntimeAsync(agent, nodeRefs, datastore, host, stopping.Token);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
        if (meshTask.IsFaulted)
            await meshTask;
        if (!cancellation.IsCancellationRequested)
            throw new InvalidOperationException("the forwarding half of the agent has ended; the kernel keeps what it has");
        await meshTask;
        await nodeRefs.System.Terminate();
    }

    private static async Task ServeRuntimeAsync(AgentState agent, NodeRefs refs, IDatastore datastore, NetworkNamespace host, CancellationToken cancellation)
    {
        var options = agent.Options;
        var pending = CniPendingDelete.FolderOf(options.CniSocket);
        using var kubernetes = PodAccess.Open(options);
        await using var log = new CniLog(TimeProvider.System, (what, cause) => Log.Warning(cause, "cni: {What}", what));
        var handler = new CniHandler(new CniServices(options.Node, refs.Lease, refs.Links, refs.Routes,
            refs.Enforcer, refs.Registry, refs.Facts, TimeProvider.System)
        {
            MtuFile = Path.Combine(options.LibDirectory, "mtu"),
            Datastore = options.Kubernetes is null ? datastore : null,
            Pods = kubernetes is null ? null : new KubernetesPods(kubernetes),
            Host = host,
            PendingDeletes = pending,
            Report = what => Log.Information("cni: {What}", what),
        }, new CniMetrics(Metrics.DefaultFactory), log);
        await using var listener = CniListener.Start(new CniListenerOptions(options.CniSocket), handler.HandleAsync,
            (what, cause) => Log.Warning(cause, "cni: {What}", what));
        await using var leftovers = CniPending.Start(pending, handler.HandleAsync, (what, cause) => Log.Information(cause, "cni: {What}", what));
        await using var vanished = CniVanished.Start(host, handler, TimeProvider.System, (what, cause) => Log.Warning(cause, "cni: {What}", what));
        NodeNameFile.TryWrite(Path.Combine(options.LibDirectory, "nodename"), options.Node);
        agent.Started = true;
        Log.Information("node {Node} serves the runtime on {Socket}", options.Node, options.CniSocket);
        await Task.Delay(Timeout.Infinite, cancellation);
    }

    private static IDatastore Open(AgentOptions options) =>
        options.Etcd is { } etcd ? new EtcdDatastore(etcd)
        : options.Kubernetes is { } kubernetes ? new KubernetesDatastore(kubernetes)
        : EmbeddedDatastore.Open(new EmbeddedOptions { Directory = options.EmbeddedDirectory! });

    private static MeshOptions MeshOptionsOf(AgentOptions options) => new(options.Node, options.AddressV4.Address)
    {
        Port = options.MeshPort,
        Certificate = options.MeshCertificate,
        TrustedRoots = options.MeshRoots,
        NodeGoneAfter = options.NodeGoneAfter,
        Loggers = SerilogLogger.Hocon,
    };
}
