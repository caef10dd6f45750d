using Calico.Actors.Bgp;
using Calico.Actors.Routing;
using Calico.Core.Model.Resources;
using Calico.Datastore.Manifests;

namespace Calico.Tests.Actors.Routing;

/// <summary>Sessions of a node by resources written as YAML.</summary>
internal static class PeeringBed
{
    public static PeeringInputs Inputs(string node, string yaml)
    {
        var inputs = new PeeringInputs(node);
        foreach (var document in ManifestReader.Read(yaml, "test"))
            inputs = With(inputs, ResourceCodec.ParseStrict(document.Json));
        return inputs;
    }

    public static SpeakerConfig Config(string node, string yaml) => Peering.Of(Inputs(node, yaml))!;

    /// <summary>Three nodes of AS 64512, n1 at 192.0.2.1 and fd00::1 and so on, with labels <c>n: NUMBER</c>, and the mesh off.</summary>
    public static SpeakerConfig Of(string node, string peers) => Config(node, ThreeNodes + peers);

    public static PeerConfig Only(string node, string peers) => Assert.Single(Of(node, peers).Peers);

    public static string[] Names(string node, string peers) => [.. Of(node, peers).Peers.Select(p => p.Name)];

    public const string ThreeNodes = """
        {apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
        ---
        {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1, labels: {n: "1"}}, spec: {bgp: {ipv4Address: 192.0.2.1/24, ipv6Address: "fd00::1/64"}}}
        ---
        {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n2, labels: {n: "2"}}, spec: {bgp: {ipv4Address: 192.0.2.2/24, ipv6Address: "fd00::2/64"}}}
        ---
        {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n3, labels: {n: "3"}}, spec: {bgp: {ipv4Address: 192.0.2.3/24}}}

        """;

    public static string Peer(string spec, string name = "p") =>
        $"---\n{{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {{name: {name}}}, spec: {spec}}}\n";

    private static PeeringInputs With(PeeringInputs inputs, Resource resource) => resource switch
    {
        NodeResource node => inputs with { Nodes = inputs.Nodes.SetItem(node.Name, node) },
        BGPConfiguration configuration => inputs with { Configurations = inputs.Configurations.SetItem(configuration.Name, configuration) },
        BGPPeer peer => inputs with { Peers = inputs.Peers.SetItem(peer.Name, peer) },
        BGPFilter filter => inputs with { Filters = inputs.Filters.SetItem(filter.Name, filter) },
        IPPool pool => inputs with { Pools = inputs.Pools.SetItem(pool.Name, pool) },
        WorkloadEndpoint workload => inputs with { Workloads = inputs.Workloads.SetItem(workload.Name, workload) },
        _ => inputs,
    };
}
