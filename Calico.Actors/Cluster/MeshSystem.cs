using System.Security.Cryptography;
using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Cluster.Tools.Singleton;
using Akka.Remote.Transport.DotNetty;
using Calico.Actors.Audit;
using Calico.Actors.Cluster.Owners;
using Calico.Actors.Feed;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Datastore;

namespace Calico.Actors.Cluster;

/// <summary>What the mesh needs from outside.</summary>
public sealed record MeshPorts(IDatastore Datastore, MeshLink Link, TimeProvider Time, IHostProbe Probe)
{
    /// <summary>Where the one member that audits the cluster's IPAM puts its figures.</summary>
    public IpamBoard Audit { get; init; } = new();
}

/// <summary>
/// One life of this node's membership: the actor system <c>calico-mesh</c> with everything global in it.
/// <code>
///   /user
///     bootstrap      joins the cluster, renews its record in the datastore
///     replica        this member's copy of the resource feed       ◄── pulls ── feed (singleton, one watcher)
///     index          labels and addresses of all endpoints, members of selectors
///     policies       the log of what this member's policy owners compiled
///     gateway        the link to this node's forwarding half
///     sentinel       ends this life when one of these has stopped for good
///     block node policy   regions: the owners of these, each on one member, found by hash (Owners)
///   singletons       feed, with its warden that wakes the owners; audit of IPAM, which nothing depends on
/// </code>
/// The split brain resolver may end it at any time. Nothing in it forwards packets, so its actors are not restarted one
/// by one, which would leave their readers with half of what they knew: the first of those above that fails ends this
/// life, and the next begins a second later. Owners are made anew by their next touch.
/// </summary>
public static class MeshSystem
{
    internal const string MachineId = "io.netty.machineId";

    /// <summary>The same from a thread of its own: remoting blocks its starter until actors of the thread pool have answered.</summary>
    public static Task<ActorSystem> StartAsync(MeshOptions options, MeshPorts ports) =>
        Task.Factory.StartNew(() => Start(options, ports), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public static ActorSystem Start(MeshOptions options, MeshPorts ports)
    {
        NameChannels();
        var setup = ActorSystemSetup.Create(BootstrapSetup.Create().WithConfig(MeshConfig.Of(options)));
        if (options.Certificate is { } certificate)
            setup = setup.And(MeshTls.Setup(certificate, options.TrustedRoots));
        var system = ActorSystem.Create(MeshOptions.SystemName, setup);
        try
        {
            Populate(system, options, ports);
            return system;
        }
        catch
        {
            _ = system.Terminate();
            throw;
        }
    }

    // Akka's transport (DotNetty) names its channels after the machine, and looks through all network interfaces for a hardware
    // address to do so, once in the life of a process. On a node whose pods come and go an interface may vanish meanwhile, the
    // look fails, and no mesh can ever start in this process. Given a name, of eight hexadecimal digits, it does not look.
    private static void NameChannels()
    {
        if (Environment.GetEnvironmentVariable(MachineId) is null)
            Environment.SetEnvironmentVariable(MachineId, RandomNumberGenerator.GetHexString(8));
    }

    private static void Populate(ActorSystem system, MeshOptions options, MeshPorts ports)
    {
        IActorRef Region(string kind, Func<string, Props> owner) => system.ActorOf(OwnerRegionActor.Props(owner, ports.Time), kind);

        var blocks = Region("block", _ => BlockActor.Props(ports.Datastore, ports.Time));
        var nodes = Region("node", _ => NodeActor.Props(options, ports.Datastore, ports.Probe, ports.Time, blocks));

        var feed = system.ActorOf(ClusterSingletonProxy.Props("/user/feed", ClusterSingletonProxySettings.Create(system)), "feed-proxy");
        var replica = system.ActorOf(ReplicaActor.Props(feed, options.Node, ports.Time), "replica");
        var policyLog = system.ActorOf(PolicyLogActor.Props(ports.Time), "policies");
        var index = system.ActorOf(IndexActor.Props(replica, policyLog), "index");
        var policies = Region("policy", key => PolicyActor.Props(key, replica, index, policyLog));

        var warden = WardenActor.Props(nodes, policies, options.Pace * 2);
        var feedManager = system.ActorOf(ClusterSingletonManager.Props(FeedActor.Props(ports.Datastore, warden, ports.Time), PoisonPill.Instance,
            ClusterSingletonManagerSettings.Create(system)), "feed");
        system.ActorOf(ClusterSingletonManager.Props(IpamAuditActor.Props(ports.Datastore, replica, ports.Audit, ports.Time), PoisonPill.Instance,
            ClusterSingletonManagerSettings.Create(system)), "audit");
        var gateway = system.ActorOf(GatewayActor.Props(ports.Link, replica, blocks), "gateway");
        var bootstrap = system.ActorOf(BootstrapActor.Props(ports.Datastore, options, ports.Time), "bootstrap");
        system.ActorOf(SentinelActor.Props(blocks, nodes, policies, feedManager, replica, policyLog, index, gateway, bootstrap), "sentinel");
    }
}
