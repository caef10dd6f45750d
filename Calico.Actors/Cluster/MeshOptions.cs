using System.Security.Cryptography.X509Certificates;
using Calico.Core.Net;

namespace Calico.Actors.Cluster;

/// <summary>How this node takes part in the actor cluster.</summary>
/// <param name="Node">The node's Calico name; also its role, so that a member can be recognised.</param>
/// <param name="Address">Where the other members reach this one: the node's own address, never a pod's.</param>
public sealed record MeshOptions(string Node, IpAddr Address)
{
    /// <summary>TCP port of the mesh; Calico's Typha port, which firewalls and failsafe lists already know. Mirrors CALICO_MESH_PORT.</summary>
    public int Port { get; init; } = 5473;

    /// <summary>This node's certificate with its key; without one the mesh is plain TCP, which accepts anybody.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>What peers' certificates must chain to.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }

    /// <summary>How long membership must be stable before a split is decided.</summary>
    public TimeSpan StableAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a silent member is still trusted to be alive.</summary>
    public TimeSpan AcceptableHeartbeatPause { get; init; } = TimeSpan.FromSeconds(6);

    /// <summary>How long the cluster's record in the datastore must stand unchanged before another node may form a cluster.</summary>
    public TimeSpan BootstrapStaleAfter { get; init; } = TimeSpan.FromSeconds(12);

    /// <summary>
    /// A node whose host answers nobody for this long is gone and its blocks are taken back; zero waits for the Node
    /// resource to be deleted. Mirrors CALICO_NODE_GONE_TIMEOUT (seconds).
    /// </summary>
    public TimeSpan NodeGoneAfter { get; init; } = TimeSpan.Zero;

    /// <summary>
    /// How often members exchange what they know, and the leader and the singletons act on it: half of Akka's default,
    /// because a restarted agent waits for several rounds of it before it is ready.
    /// </summary>
    public TimeSpan GossipInterval { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The heartbeat of our own periodic work: the record in the datastore, observations of nodes.</summary>
    public TimeSpan Pace { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A HOCON line that names the logger; empty keeps Akka's own.</summary>
    public string Loggers { get; init; } = "";

    public const string SystemName = "calico-mesh";
    public const string RolePrefix = "node.";

    public string Role => RolePrefix + Node;
    public string Protocol => Certificate is null ? "akka.tcp" : "akka.ssl.tcp";
}
