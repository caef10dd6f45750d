namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>What our speaker is told to be.</summary>
internal sealed record OurConfig
{
    public uint TheirAs { get; init; } = InteropBed.TheirAs;

    /// <summary>Of the sessions with the foreign speaker.</summary>
    public string? Password { get; init; }

    /// <summary>It reflects for this cluster: internal peers are its clients.</summary>
    public string? ClusterId { get; init; }

    /// <summary>Both families travel in the IPv6 session with the foreign speaker (RFC 8950).</summary>
    public bool OverIpv6 { get; init; }

    /// <summary>What we are to the foreign speaker (RFC 9234).</summary>
    public string? Role { get; init; }

    /// <summary>The foreign speaker is a neighbour without routers between (RFC 5082).</summary>
    public bool HasTtlSecurity { get; init; }

    /// <summary>Routes go into the kernel of the namespace.</summary>
    public bool HasKernel { get; init; }

    /// <summary>The BIRDs that it has sessions with.</summary>
    public (int Host, uint As)[] Feeders { get; init; } = [(3, InteropBed.FeederAs)];

    /// <summary>As <c>calico-node bgp</c> reads it.</summary>
    public string Resources() => $$"""
        apiVersion: projectcalico.org/v3
        kind: BGPConfiguration
        metadata: {name: default}
        spec: {asNumber: {{InteropBed.OurAs}}, nodeToNodeMeshEnabled: false}
        ---
        apiVersion: projectcalico.org/v3
        kind: Node
        metadata: {name: router}
        spec:
          bgp: {ipv4Address: 192.0.2.1/24, ipv6Address: "fd00:192::1/64"{{(ClusterId is null ? "" : $", routeReflectorClusterID: {ClusterId}")}}}
        """ + string.Concat(Feeders.Select(f => (f.Host, f.As, IsForeign: false)).Prepend((2, TheirAs, true)).SelectMany(p => (string[])[
            p.Item3 && OverIpv6 ? "" : Peer($"v4-{p.Item1}", $"192.0.2.{p.Item1}", p.Item2, p.Item3), Peer($"v6-{p.Item1}", $"fd00:192::{p.Item1}", p.Item2, p.Item3)]));

    private string Peer(string name, string address, uint asn, bool isForeign) => $$"""

        ---
        apiVersion: projectcalico.org/v3
        kind: BGPPeer
        metadata:
          name: {{name}}
          annotations: { {{(isForeign && OverIpv6 ? "projectcalico.org/bgp-families: 'ipv4,ipv6'," : "")}} {{(isForeign && Role is not null ? "projectcalico.org/bgp-role: " + Role : "")}} }
        spec:
          peerIP: "{{address}}"
          asNumber: {{asn}}
          {{(isForeign && HasTtlSecurity ? "ttlSecurity: 1" : "")}}
          {{(isForeign && Password is not null ? "password: {secretKeyRef: {name: s, key: key}}" : "")}}
        """;
}
