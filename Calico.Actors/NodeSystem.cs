using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;
using Calico.Actors.Bfd;
using Calico.Actors.Bgp;
using Calico.Actors.Cni;
using Calico.Actors.Dataplane;
using Calico.Actors.Dispatch;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Actors.Routing;
using Calico.Actors.Tunnels;
using Calico.Core.Nft;
using Calico.Core.Policy.Render;
using Calico.Datastore;
using Calico.Kernel.Bfd;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Nft;

namespace Calico.Actors;

/// <summary>What the forwarding half of a node is made of.</summary>
/// <param name="Node">The node's Calico name.</param>
/// <param name="JournalDirectory">Where the workloads of this node are remembered.</param>
public sealed record NodeOptions(string Node, string JournalDirectory)
{
    public RenderOptions Rules { get; init; } = new();
    public LeaseOptions Lease { get; init; } = new();
    public RouteWriterOptions Routes { get; init; } = new();
    public RoutingOptions Routing { get; init; } = new();

    /// <summary>A HOCON line that names the logger; empty keeps Akka's own.</summary>
    public string Loggers { get; init; } = "";
}

/// <summary>What the node needs from outside.</summary>
/// <param name="RegisterNode">Writes this node's Node resource if it is missing.</param>
public sealed record NodePorts(IDatastore Datastore, MeshLink Link, INetworkNamespace Host, Func<NftTable, INftTable> OpenNft, TimeProvider Time,
    Func<CancellationToken, Task> RegisterNode);

/// <summary>The actors of a node that its edges (CNI, HTTP, status) speak to.</summary>
public sealed record NodeRefs(ActorSystem System, IActorRef Upstream, IActorRef Lease, IActorRef Routes, IActorRef Links,
    IActorRef Registry, IActorRef Enforcer, IActorRef Speaker, IActorRef Bfd, IActorRef Routing, IActorRef Facts, IActorRef Reconciler);

/// <summary>
/// The forwarding half of a node: the actor system <c>calico-node</c>, which knows no cluster and which no split brain
/// resolver can end. Everything that touches packets of this node is in it.
/// <code>
///   /user
///     upstream     the link to the mesh: resources and compiled policies in, claims for blocks out
///     lease        blocks of this node and the addresses in them
///     routes       the one writer of routes                       (own thread)
///     links        the one writer of workload links and sysctls   (own thread)
///     registry     the workloads of this node and their journal
///     enforcer     policy of this node
///       nft        the one writer of nftables                     (own thread)
///     bgp          sessions, RIB
///     routing      resources and blocks to BGP, BGP to routes
///       services   Services of Kubernetes, for their routes
///     bfd          watches the paths to peers                     (own thread, from the first one on)
///     facts        pools and labels for the calls of the runtime
///     reconciler   keeps what the datastore says of this node's workloads true
///     tunnels      this node's addresses for IPIP, VXLAN and WireGuard
///     reporter     tells those who wait that a change is in force
///     sentinel     ends the system when one of these has stopped for good
/// </code>
/// Start order is dependency order. Every child is restarted at most ten times a minute; beyond that it is stopped, the
/// sentinel ends the system and with it the process, which leaves the kernel as it is.
/// </summary>
public static class NodeSystem
{
    public static NodeRefs Start(NodeOptions options, NodePorts ports)
    {
        var system = ActorSystem.Create("calico-node", Config(options.Loggers));
        var upstream = system.ActorOf(UpstreamActor.Props(ports.Link, options.Node), "upstream");
        var lease = system.ActorOf(LeaseActor.Props(ports.Datastore, options.Node, upstream, ports.Time, options.Lease), "lease");
        var routes = system.ActorOf(RouteWriterActor.Props(ports.Host, options.Routes).WithDispatcher(DispatcherNames.KernelWriter), "routes");
        var links = system.ActorOf(LinkWriterActor.Props(ports.Host).WithDispatcher(DispatcherNames.KernelWriter), "links");
        var registry = system.ActorOf(RegistryActor.Props(options.JournalDirectory, options.Routes.InterfacePrefix, ports.Host, routes, lease), "registry");
        var enforcer = system.ActorOf(EnforcerActor.Props(upstream, registry, ports.OpenNft, options.Rules), "enforcer");
        var routing = system.ActorOf(RoutingActor.Props(options.Node, options.Routes.InterfacePrefix, ports.Host, upstream, lease, registry, routes, options.Routing, links), "routing");
        var bfd = system.ActorOf(BfdActor.Props(() => BfdThread.Start(ports.Host), ports.Time), "bfd");
        var speaker = system.ActorOf(BgpSpeakerActor.Props(routing, ports.Time, bfd), "bgp");
        var facts = system.ActorOf(FactsActor.Props(options.Node, upstream), "facts");
        var reconciler = system.ActorOf(ReconcilerActor.Props(new ReconcilerServices(options.Node, ports.Datastore, lease, registry, enforcer, facts,
            ports.Time, ports.RegisterNode), upstream), "reconciler");
        var tunnels = system.ActorOf(TunnelActor.Props(new TunnelServices(options.Node, ports.Datastore, lease, ports.Time), upstream), "tunnels");
        var reporter = system.ActorOf(EnforcementReporterActor.Props(options.Node, ports.Datastore, upstream, enforcer), "reporter");
        system.ActorOf(SentinelActor.Props(upstream, lease, routes, links, registry, enforcer, routing, bfd, speaker, facts, reconciler, tunnels, reporter), "sentinel");
        return new NodeRefs(system, upstream, lease, routes, links, registry, enforcer, speaker, bfd, routing, facts, reconciler);
    }

    /// <summary>
    /// To be given to a system as it is: with an <c>ActorSystemSetup</c> Akka first looks for an application configuration, even if
    /// it is not used, and has XML and TLS libraries loaded for that.
    /// </summary>
    internal static Config Config(string loggers) => ConfigurationFactory.ParseString($$"""
        {{StartedTimers.Hocon}}
        akka {
          loglevel = INFO
          {{loggers}}
          log-dead-letters = 10
          log-dead-letters-during-shutdown = off
          scheduler.tick-duration = 50ms
          actor.provider = local
          actor.ask-timeout = 5s
          actor.guardian-supervisor-strategy = "Calico.Actors.NodeSupervisorStrategy, Calico.Actors"
          coordinated-shutdown {
            run-by-clr-shutdown-hook = off
            exit-clr = off
          }
        }
        {{DispatcherNames.Hocon}}
        """);
}

/// <summary>Restart what failed, ten times a minute at most; then stop it, which the sentinel sees.</summary>
public sealed class NodeSupervisorStrategy : SupervisorStrategyConfigurator
{
    public override SupervisorStrategy Create() =>
        new OneForOneStrategy(maxNrOfRetries: 10, withinTimeRange: TimeSpan.FromMinutes(1), _ => Directive.Restart);
}
