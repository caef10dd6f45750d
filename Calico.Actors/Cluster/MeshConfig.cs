using System.Globalization;
using Akka.Configuration;
using Calico.Actors.Dispatch;
using Calico.Core.Net;

namespace Calico.Actors.Cluster;

/// <summary>
/// Akka's settings for the mesh. Each line that departs from a default says why; what is not here is Akka's default.
/// </summary>
internal static class MeshConfig
{
    public static Config Of(MeshOptions o) => ConfigurationFactory.ParseString($$"""
        {{StartedTimers.Hocon}}
        akka {
          loglevel = INFO
          {{o.Loggers}}
          stdout-loglevel = OFF
          log-dead-letters = 10
          log-dead-letters-during-shutdown = off
          # Idle processors: the tick halves what an idle member costs; both schedulers must agree.
          scheduler.tick-duration = 50ms
          actor {
            provider = cluster
            ask-timeout = 5s
            # The sentinel ends this life when one of them has failed.
            guardian-supervisor-strategy = "Akka.Actor.StoppingSupervisorStrategy, Akka"
            serialization-settings.allow-unregistered-types = false
            serializers.calico-mesh = "Calico.Actors.Protocol.Serialization.MeshSerializer, Calico.Actors"
            serialization-bindings { "Calico.Actors.Protocol.IWireMessage, Calico.Actors" = calico-mesh }
            serialization-identifiers { "Calico.Actors.Protocol.Serialization.MeshSerializer, Calico.Actors" = 791 }
          }
          remote {
            log-frame-size-exceeding = 64000b
            dot-netty.tcp {
              transport-protocol = tcp
              hostname = "{{o.Address}}"
              port = {{o.Port}}
              dns-use-ipv6 = {{(o.Address.IsV6 ? "true" : "false")}}
              # Frames over this are dropped silently; our own messages stay below 16 KiB, gossip does not.
              maximum-frame-size = 1MiB
              send-buffer-size = 1MiB
              receive-buffer-size = 1MiB
              enable-ssl = {{(o.Certificate is null ? "false" : "true")}}
            }
          }
          cluster {
            roles = ["{{o.Role}}", "mesh"]
            scheduler.tick-duration = 50ms
            failure-detector.acceptable-heartbeat-pause = {{Ms(o.AcceptableHeartbeatPause)}}
            failure-detector.threshold = 10
            gossip-interval = {{Ms(o.GossipInterval)}}
            leader-actions-interval = {{Ms(o.GossipInterval)}}
            unreachable-nodes-reaper-interval = {{Ms(o.GossipInterval)}}
            # A restarted member meets its own earlier life: the first attempt has that removed, a later one gets in.
            seed-node-timeout = 1s
            retry-unsuccessful-join-after = 1s
            # The bootstrap actor decides when to give up, by the datastore's record.
            shutdown-after-unsuccessful-join-seed-nodes = off
            downing-provider-class = "Akka.Cluster.SBR.SplitBrainResolverProvider, Akka.Cluster"
            split-brain-resolver {
              active-strategy = keep-majority
              stable-after = {{Ms(o.StableAfter)}}
              keep-majority.role = "mesh"
            }
            singleton { role = "mesh", hand-over-retry-interval = {{Ms(o.GossipInterval)}} }
            # Its warning claims thirty seconds at the first failed look; whoever misses news asks again anyway.
            singleton-proxy { role = "mesh", singleton-identification-interval = {{Ms(o.GossipInterval)}}, buffer-size = 100, log-singleton-identification-failure = off }
          }
          coordinated-shutdown {
            # A member that was downed ends its system; the supervisor builds a new one. The process goes on forwarding.
            run-by-clr-shutdown-hook = off
            run-by-actor-system-terminate = on
            exit-clr = off
            phases.cluster-exiting.timeout = 5s
          }
        }
        """)
        .WithFallback(Akka.Cluster.Tools.Singleton.ClusterSingleton.DefaultConfig());

    private static string Ms(TimeSpan time) => ((long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture) + "ms";
}
