using Akka.Actor;
using Calico.Actors.Bfd;
using Calico.Actors.Bgp;
using Calico.Actors.Dataplane;
using Calico.Actors.Dispatch;
using Calico.Core.Net;
using Calico.Kernel.Bfd;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Routing;

/// <summary>What a speaker outside a cluster is made of.</summary>
/// <param name="Host">Where its routes go; null: into no kernel.</param>
/// <param name="Paths">Where paths to peers are watched.</param>
/// <param name="Loggers">A HOCON line that names the logger; empty keeps Akka's own.</param>
public sealed record SpeakerOptions(INetworkNamespace? Host, INetworkNamespace Paths, TimeProvider Time, string Loggers = "");

/// <summary>The actors that its edges speak to.</summary>
/// <param name="Router">Takes <see cref="BgpProtocol.ConfigureSpeaker"/>.</param>
public sealed record SpeakerRefs(ActorSystem System, IActorRef Speaker, IActorRef Bfd, IActorRef Router);

/// <summary>
/// A BGP speaker alone: a route reflector or a router on a machine outside the cluster.
/// <code>
///   /user
///     routes     the one writer of routes, if they go into a kernel   (own thread)
///     router     configuration to the speaker, its best routes to the writer
///     bfd        watches the paths to peers                           (own thread, from the first one on)
///     bgp        sessions, RIB
///     sentinel   ends the system when one of these has stopped for good
/// </code>
/// </summary>
public static class SpeakerSystem
{
    /// <summary>
    /// The addresses that somebody listens on already. A second speaker there would get no connection and yet take the
    /// first one's sessions: its peers take what it dials for a restart.
    /// </summary>
    public static IEnumerable<IpAddr> TakenBy(SpeakerConfig config) => config.ListenAddresses.Where(a => BgpSockets.IsTaken(a, config.ListenPort));

    public static SpeakerRefs Start(SpeakerOptions options)
    {
        var system = ActorSystem.Create("calico-bgp", NodeSystem.Config(options.Loggers));
        var writer = options.Host is null ? ActorRefs.Nobody
            : system.ActorOf(RouteWriterActor.Props(options.Host, new RouteWriterOptions()).WithDispatcher(DispatcherNames.KernelWriter), "routes");
        var router = options.Host is null ? system.ActorOf(Props.Create(() => new SinkActor()), "router")
            : system.ActorOf(RouterActor.Props(options.Host, writer), "router");
        var bfd = system.ActorOf(BfdActor.Props(() => BfdThread.Start(options.Paths), options.Time), "bfd");
        var speaker = system.ActorOf(BgpSpeakerActor.Props(router, options.Time, bfd), "bgp");
        system.ActorOf(SentinelActor.Props(options.Host is null ? [router, bfd, speaker] : [writer, router, bfd, speaker]), "sentinel");
        return new SpeakerRefs(system, speaker, bfd, router);
    }
}
