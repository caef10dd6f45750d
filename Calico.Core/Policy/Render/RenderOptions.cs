using System.Collections.Immutable;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Net;

namespace Calico.Core.Policy.Render;

/// <summary>What happens to a packet from a workload to its own host that policy accepted.</summary>
public enum EndpointToHostAction : byte
{
    Drop = 0,
    Accept = 1,

    /// <summary>Leave it to the rules behind Calico's.</summary>
    Return = 2,
}

/// <summary>What an accepted packet meets next in a base chain.</summary>
public enum AllowAction : byte
{
    Accept = 0,

    /// <summary>Leave it to the rules behind Calico's.</summary>
    Return = 1,
}

/// <summary>How a denied packet ends.</summary>
public enum DenyAction : byte
{
    Drop = 0,

    /// <summary>With an answer to the sender.</summary>
    Reject = 1,
}

/// <summary>A port that host endpoint policy never closes, for every peer or for those of a network.</summary>
public readonly record struct FailsafePort(byte Protocol, ushort Port, Cidr? Net = null);

/// <summary>What a packet from a workload meets when it is for a service address that nothing serves.</summary>
public enum ServiceLoopPrevention : byte
{
    Disabled = 0,
    Drop = 1,
    Reject = 2,
}

/// <summary>
/// Everything beside policy that shapes the rules. Names in brackets are the FelixConfiguration fields; defaults are
/// Calico's.
/// </summary>
public sealed record RenderOptions
{
    /// <summary>Beginnings of names of workload interfaces (interfacePrefix), default <c>cali</c>.</summary>
    public ImmutableArray<string> WorkloadPrefixes { get; init; } = [KubeNames.DefaultInterfacePrefix];

    /// <summary>Mark bits (iptablesMarkMask, nftablesMarkMask).</summary>
    public Marks Marks { get; init; } = new();

    /// <summary>defaultEndpointToHostAction, default Drop.</summary>
    public EndpointToHostAction EndpointToHost { get; init; } = EndpointToHostAction.Drop;

    /// <summary>iptablesFilterAllowAction, nftablesFilterAllowAction; default Accept.</summary>
    public AllowAction FilterAllow { get; init; } = AllowAction.Accept;

    /// <summary>iptablesMangleAllowAction, nftablesMangleAllowAction; default Accept.</summary>
    public AllowAction MangleAllow { get; init; } = AllowAction.Accept;

    /// <summary>iptablesFilterDenyAction, nftablesFilterDenyAction; default Drop.</summary>
    public DenyAction FilterDeny { get; init; } = DenyAction.Drop;

    /// <summary>disableConntrackInvalidCheck, default false.</summary>
    public bool AllowInvalid { get; init; }

    /// <summary>allowVXLANPacketsFromWorkloads, default false.</summary>
    public bool AllowVxlanFromWorkloads { get; init; }

    /// <summary>allowIPIPPacketsFromWorkloads, default false.</summary>
    public bool AllowIpIpFromWorkloads { get; init; }

    /// <summary>UDP port of VXLAN (vxlanPort), default 4789.</summary>
    public ushort VxlanPort { get; init; } = 4789;

    public bool VxlanV4 { get; init; }
    public bool VxlanV6 { get; init; }
    public bool IpIp { get; init; }

    /// <summary>UDP port to let WireGuard through on, per family; null where it is off.</summary>
    public ushort? WireGuardPortV4 { get; init; }
    public ushort? WireGuardPortV6 { get; init; }

    /// <summary>Tunnel devices with an address of their own, whose wrongly sourced packets are masqueraded.</summary>
    public ImmutableArray<string> TunnelDevicesV4 { get; init; } = [];
    public ImmutableArray<string> TunnelDevicesV6 { get; init; } = [];

    /// <summary>True where some pool wants its pods' traffic to the outside masqueraded.</summary>
    public bool NatOutgoingV4 { get; init; }
    public bool NatOutgoingV6 { get; init; }

    /// <summary>natOutgoingAddress: SNAT to it instead of masquerading (IPv4).</summary>
    public IpAddr? NatOutgoingAddress { get; init; }

    /// <summary>natPortRange; null leaves the choice to the kernel.</summary>
    public PortRange? NatPorts { get; init; }

    /// <summary>iptablesNATOutgoingInterfaceFilter: only packets leaving by these; a trailing + matches the rest.</summary>
    public string? NatOutgoingInterface { get; init; }

    /// <summary>natOutgoingExclusions IPPoolsAndHostIPs: packets to hosts of the cluster keep their source.</summary>
    public bool NatOutgoingExcludesHosts { get; init; }

    /// <summary>logPrefix, default <c>calico-packet</c>; <c>%t %k %n %p</c> stand for tier, kind, name, full name.</summary>
    public string LogPrefix { get; init; } = "calico-packet";

    /// <summary>serviceLoopPrevention and the service networks it concerns.</summary>
    public ServiceLoopPrevention ServiceLoops { get; init; } = ServiceLoopPrevention.Drop;
    public ImmutableArray<Cidr> ServiceNetworks { get; init; } = [];

    /// <summary>failsafeInboundHostPorts.</summary>
    public ImmutableArray<FailsafePort> FailsafeInbound { get; init; } =
    [
        new(IpProtocol.Tcp, 22), new(IpProtocol.Udp, 68), new(IpProtocol.Tcp, 179), new(IpProtocol.Tcp, 2379),
        new(IpProtocol.Tcp, 2380), new(IpProtocol.Tcp, 5473), new(IpProtocol.Tcp, 6443), new(IpProtocol.Tcp, 6666),
        new(IpProtocol.Tcp, 6667),
    ];

    /// <summary>failsafeOutboundHostPorts.</summary>
    public ImmutableArray<FailsafePort> FailsafeOutbound { get; init; } =
    [
        new(IpProtocol.Udp, 53), new(IpProtocol.Udp, 67), new(IpProtocol.Tcp, 179), new(IpProtocol.Tcp, 2379),
        new(IpProtocol.Tcp, 2380), new(IpProtocol.Tcp, 5473), new(IpProtocol.Tcp, 6443), new(IpProtocol.Tcp, 6666),
        new(IpProtocol.Tcp, 6667),
    ];

    internal bool Vxlan(IpVersion family) => family == IpVersion.V4 ? VxlanV4 : VxlanV6;
    internal bool NatOutgoing(IpVersion family) => family == IpVersion.V4 ? NatOutgoingV4 : NatOutgoingV6;
    internal ushort? WireGuardPort(IpVersion family) => family == IpVersion.V4 ? WireGuardPortV4 : WireGuardPortV6;

    internal ImmutableArray<string> TunnelDevices(IpVersion family) =>
        family == IpVersion.V4 ? TunnelDevicesV4 : TunnelDevicesV6;
}
