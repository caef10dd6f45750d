using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Core.Policy.Render;

/// <summary>
/// The chains that do not depend on endpoints or policies: the base chains on the kernel's hooks and what they jump to.
///
///   raw     prerouting  -300   clear marks, VXLAN untracked, reverse path of workloads, untracked host policy
///   raw     output      -300
///   mangle  prerouting  -150   replies accepted, pre-DNAT host policy
///   nat     prerouting  -100   floating IPs
///   filter  input, forward, output  0   dispatch to endpoint chains
///   mangle  postrouting -150   host policy of packets that were DNATed
///   nat     output, postrouting  110    floating IPs, masquerading
///
/// Priorities keep clear of kube-proxy's. The base chains of hooks where there is nothing to do are left out.
/// </summary>
internal sealed class StaticChains(RenderOptions options, IpVersion family)
{
    public const string FromWorkloadDispatch = "cali-from-wl-dispatch";
    public const string ToWorkloadDispatch = "cali-to-wl-dispatch";
    public const string FromHost = "cali-from-host-endpoint";
    public const string ToHost = "cali-to-host-endpoint";
    public const string FromHostForward = "cali-from-hep-forward";
    public const string ToHostForward = "cali-to-hep-forward";
    public const string FailsafeIn = "cali-failsafe-in";
    public const string FailsafeOut = "cali-failsafe-out";
    public const string RpfSkip = "cali-rpf-skip";
    public const string FloatingDnat = "cali-fip-dnat";
    public const string FloatingSnat = "cali-fip-snat";

    private const string WorkloadToHost = "cali-wl-to-host";
    private const string NatOutgoingChain = "cali-nat-outgoing";
    private const string CidrBlock = "cali-cidr-block";

    /// <summary>Why they are there: the agent's configuration.</summary>
    public static readonly Cause Cause = new("FelixConfiguration");

    private readonly Marks _marks = options.Marks;
    private readonly NftTerm _deny = Terms.Deny(options.FilterDeny);

    public IEnumerable<RenderedChain> Render() =>
    [
        Base(Layer.Filter, "INPUT", NftChainType.Filter, NftHook.Input, 0),
        Base(Layer.Filter, "FORWARD", NftChainType.Filter, NftHook.Forward, 0, AfterForward()),
        Base(Layer.Filter, "OUTPUT", NftChainType.Filter, NftHook.Output, 0),
        Base(Layer.Nat, "PREROUTING", NftChainType.Nat, NftHook.Prerouting, -100),
        Base(Layer.Nat, "OUTPUT", NftChainType.Nat, NftHook.Output, 110),
        Base(Layer.Nat, "POSTROUTING", NftChainType.Nat, NftHook.Postrouting, 110),
        Base(Layer.Mangle, "PREROUTING", NftChainType.Filter, NftHook.Prerouting, -150),
        Base(Layer.Mangle, "POSTROUTING", NftChainType.Filter, NftHook.Postrouting, -150),
        Base(Layer.Raw, "PREROUTING", NftChainType.Filter, NftHook.Prerouting, -300),
        Base(Layer.Raw, "OUTPUT", NftChainType.Filter, NftHook.Output, -300),
        Chain(Layer.Filter, "cali-INPUT", Input()),
        Chain(Layer.Filter, "cali-FORWARD", Forward()),
        Chain(Layer.Filter, "cali-OUTPUT", Output()),
        Chain(Layer.Filter, WorkloadToHost, ToOwnHost()),
        Chain(Layer.Filter, FromWorkloadDispatch, Dispatch(NftField.InInterface, FromWorkloadDispatch)),
        Chain(Layer.Filter, ToWorkloadDispatch, Dispatch(NftField.OutInterface, ToWorkloadDispatch)),
        Chain(Layer.Filter, CidrBlock, BlockServices()),
        Chain(Layer.Nat, "cali-PREROUTING", [Rule(Jump(Layer.Nat, FloatingDnat))]),
        Chain(Layer.Nat, "cali-OUTPUT", [Rule(Jump(Layer.Nat, FloatingDnat))]),
        Chain(Layer.Nat, "cali-POSTROUTING", Postrouting()),
        Chain(Layer.Nat, NatOutgoingChain, Masquerade()),
        Chain(Layer.Mangle, "cali-PREROUTING", ManglePrerouting()),
        Chain(Layer.Mangle, "cali-POSTROUTING", ManglePostrouting()),
        Chain(Layer.Raw, "cali-PREROUTING", RawPrerouting()),
        Chain(Layer.Raw, "cali-OUTPUT", RawOutput()),
        .. new[] { Layer.Filter, Layer.Mangle, Layer.Raw }.SelectMany(Failsafes),
    ];

    private static RenderedChain Base(string layer, string hook, NftChainType type, NftHook at, int priority,
        params IEnumerable<NftRule> after) =>
        new(ChainNames.In(layer, hook), [Rule(Jump(layer, $"cali-{hook}")), .. after], new NftBaseHook(type, at, priority));

    private static RenderedChain Chain(string layer, string name, IEnumerable<NftRule> rules) =>
        new(ChainNames.In(layer, name), [.. rules]);

    private static NftRule Rule(params ReadOnlySpan<NftTerm> terms) => new(Cause, terms);

    // Matches first, then a counter, then the verdict.
    private static NftTerm[] Jump(string layer, string chain) =>
        [Terms.Counter, Terms.Jump(ChainNames.In(layer, chain))];

    private NftRule AcceptMarked(AllowAction action) => Rule(Terms.MarkSet(_marks.Accept), Terms.Counter, Terms.Allow(action));

    // The second rule tells mangle POSTROUTING that the packet was forwarded: normal host endpoint policy is not for it.
    private IEnumerable<NftRule> AfterForward() =>
        [AcceptMarked(options.FilterAllow), Rule(Terms.SetMark(_marks.Accept))];

    private IEnumerable<NftRule> Forward()
    {
        yield return Rule(Terms.ClearMark(_marks.All & ~_marks.Accept));
        yield return Rule([Terms.MarkClear(_marks.Accept), .. Jump(Layer.Filter, FromHostForward)]);
        foreach (var prefix in options.WorkloadPrefixes)
        {
            yield return Rule([Terms.InInterface(prefix + "*"), .. Jump(Layer.Filter, FromWorkloadDispatch)]);
            yield return Rule([Terms.OutInterface(prefix + "*"), .. Jump(Layer.Filter, ToWorkloadDispatch)]);
        }
        yield return Rule(Jump(Layer.Filter, ToHostForward));
        yield return Rule(Jump(Layer.Filter, CidrBlock));
    }

    private IEnumerable<NftRule> Input()
    {
        var allow = Terms.Allow(options.FilterAllow);
        if (family == IpVersion.V4 && options.IpIp)
        {
            yield return Rule(Terms.Protocol(IpProtocol.IpInIp), Terms.InSet(NftSide.Source, Set("all-hosts-net")),
                Terms.LocalDestination, Terms.Counter, allow);
            yield return Rule(Terms.Protocol(IpProtocol.IpInIp), Terms.Counter, _deny);
        }
        if (options.Vxlan(family))
        {
            var vxlan = Terms.DestinationPort(options.VxlanPort);
            yield return Rule(Terms.Protocol(IpProtocol.Udp), vxlan, Terms.InSet(NftSide.Source, Set("all-vxlan-net")),
                Terms.LocalDestination, Terms.Counter, allow);
            yield return Rule(Terms.Protocol(IpProtocol.Udp), vxlan, Terms.LocalDestination, Terms.Counter,
                family == IpVersion.V4 ? Terms.Drop : _deny);
        }
        if (options.WireGuardPort(family) is { } wireGuard)
        {
            yield return Rule(Terms.Protocol(IpProtocol.Udp), Terms.DestinationPort(wireGuard), Terms.LocalDestination,
                Terms.Counter, allow);
        }
        foreach (var prefix in options.WorkloadPrefixes)
        {
            yield return Rule(Terms.InInterface(prefix + "*"), Terms.Counter,
                Terms.Goto(ChainNames.In(Layer.Filter, WorkloadToHost)));
        }
        yield return AcceptMarked(options.FilterAllow);
        yield return Rule(Terms.ClearMark(_marks.All));
        yield return Rule(Jump(Layer.Filter, FromHost));
        yield return AcceptMarked(options.FilterAllow);
    }

    private IEnumerable<NftRule> Output()
    {
        var allow = Terms.Allow(options.FilterAllow);
        yield return AcceptMarked(options.FilterAllow);
        // The host reaches its own pods without asking them: whoever owns the host owns these rules.
        foreach (var prefix in options.WorkloadPrefixes)
            yield return Rule(Terms.OutInterface(prefix + "*"), Terms.Counter, Terms.Return);
        if (family == IpVersion.V4 && options.IpIp)
        {
            yield return Rule(Terms.Protocol(IpProtocol.IpInIp), Terms.InSet(NftSide.Destination, Set("all-hosts-net")),
                Terms.LocalSource, Terms.Counter, allow);
        }
        if (options.Vxlan(family))
        {
            yield return Rule(Terms.Protocol(IpProtocol.Udp), Terms.DestinationPort(options.VxlanPort),
                Terms.LocalSource, Terms.InSet(NftSide.Destination, Set("all-vxlan-net")), Terms.Counter, allow);
        }
        if (options.WireGuardPort(family) is { } wireGuard)
        {
            yield return Rule(Terms.Protocol(IpProtocol.Udp), Terms.DestinationPort(wireGuard), Terms.LocalSource,
                Terms.Counter, allow);
        }
        yield return Rule(Terms.ClearMark(_marks.All));
        // After DNAT the out interface is still that of the old destination; mangle POSTROUTING handles those.
        yield return Rule([new NftMatch.CtDnat { Negate = true }, .. Jump(Layer.Filter, ToHost)]);
        yield return AcceptMarked(options.FilterAllow);
    }

    private IEnumerable<NftRule> ToOwnHost()
    {
        if (family == IpVersion.V6)
        {
            // What a router must hear whatever policy says: multicast listener messages, router and neighbour discovery.
            foreach (var type in new byte[] { 130, 131, 132, 133, 135, 136 })
            {
                yield return Rule(Terms.Protocol(IpProtocol.IcmpV6), new NftMatch.Icmp(IpVersion.V6, type),
                    Terms.Counter, Terms.Allow(options.FilterAllow));
            }
        }
        yield return Rule(Jump(Layer.Filter, FromWorkloadDispatch));
        yield return options.EndpointToHost switch
        {
            EndpointToHostAction.Accept => Rule(Terms.Counter, Terms.Accept),
            EndpointToHostAction.Return => Rule(Terms.Counter, Terms.Return),
            _ => Rule(Terms.Counter, _deny),
        };
    }

    // An interface without an entry is one whose endpoint is not known yet: nothing may pass.
    private IEnumerable<NftRule> Dispatch(NftField field, string map) =>
    [
        Rule(new NftStatement.VerdictMap(field, ChainNames.In(Layer.Filter, map))),
        Rule(Terms.Counter, _deny),
    ];

    private IEnumerable<NftRule> BlockServices() => options.ServiceLoops == ServiceLoopPrevention.Disabled
        ? []
        : options.ServiceNetworks.Where(n => n.Version == family).Order().Select(n => Rule(
            Terms.Net(NftSide.Destination, n), Terms.Counter,
            Terms.Deny(options.ServiceLoops == ServiceLoopPrevention.Drop ? DenyAction.Drop : DenyAction.Reject)));

    private IEnumerable<NftRule> Postrouting()
    {
        yield return Rule(Jump(Layer.Nat, FloatingSnat));
        yield return Rule(Jump(Layer.Nat, NatOutgoingChain));
        foreach (var device in options.TunnelDevices(family))
        {
            NftTerm[] match = [Terms.OutInterface(device), Terms.SourceNotOnOutInterface, Terms.LocalSource];
            if (options.Vxlan(family))
            {
                yield return Rule([Terms.Protocol(IpProtocol.Udp), .. match, Terms.Counter,
                    new NftStatement.Masquerade(PortsBeside(options.VxlanPort), FullyRandom: true)]);
            }
            yield return Rule([.. match, Terms.Counter, Terms.Masquerade]);
        }
    }

    // A reply to a source port that is the VXLAN port would be taken for VXLAN: keep to the wider side of it.
    private static NftPortRange PortsBeside(ushort port) => port - 1024 >= 65535 - port
        ? new NftPortRange(1024, (ushort)(port - 1))
        : new NftPortRange((ushort)(port + 1), 65535);

    private IEnumerable<NftRule> Masquerade()
    {
        if (!options.NatOutgoing(family))
            yield break;
        var address = options.NatOutgoingAddress is { } a && a.Version == family ? a : (IpAddr?)null;
        if (options.NatPorts is { } ports)
        {
            var range = new NftPortRange(ports.First, ports.Last);
            foreach (var protocol in new[] { IpProtocol.Tcp, IpProtocol.Udp })
            {
                yield return Rule([.. Outgoing(protocol), Terms.Counter, Translate(address, range)]);
                yield return Rule([.. Outgoing(protocol), Terms.Counter, Terms.Return]);
            }
        }
        yield return Rule([.. Outgoing(null), Terms.Counter, Translate(address, null)]);
    }

    private static NftTerm Translate(IpAddr? address, NftPortRange? ports) => address is { } to
        ? new NftStatement.Snat(to, ports, FullyRandom: true)
        : new NftStatement.Masquerade(ports, FullyRandom: true);

    private IEnumerable<NftTerm> Outgoing(byte? protocol)
    {
        yield return Terms.InSet(NftSide.Source, Set("masq-ipam-pools"));
        yield return Terms.InSet(NftSide.Destination, Set("network-ip-pools"), not: true);
        if (options.NatOutgoingExcludesHosts)
            yield return Terms.InSet(NftSide.Destination, Set("all-hosts-net"), not: true);
        if (protocol is { } number)
            yield return Terms.Protocol(number);
        if (options.NatOutgoingInterface is { Length: > 0 } pattern)
            yield return Terms.OutInterface(pattern);
    }

    private IEnumerable<NftRule> ManglePrerouting() =>
    [
        Rule(Terms.Replies, Terms.Counter, Terms.Allow(options.MangleAllow)),
        AcceptMarked(options.MangleAllow),
        Rule(Jump(Layer.Mangle, FromHost)),
        AcceptMarked(options.MangleAllow),
    ];

    private IEnumerable<NftRule> ManglePostrouting() =>
    [
        Rule(Terms.MarkSet(_marks.Accept), Terms.Counter, Terms.Return),
        Rule(Terms.ClearMark(_marks.All)),
        Rule([new NftMatch.CtDnat(), .. Jump(Layer.Mangle, ToHost)]),
        Rule(Terms.MarkSet(_marks.Accept), Terms.Counter, Terms.Return),
    ];

    private IEnumerable<NftRule> RawPrerouting()
    {
        var fromWorkload = _marks.Scratch0;
        yield return Rule(Terms.ClearMark(_marks.All));
        if (options.Vxlan(family))
            yield return UntrackVxlan();
        foreach (var prefix in options.WorkloadPrefixes)
            yield return Rule(Terms.InInterface(prefix + "*"), Terms.SetMark(fromWorkload));
        yield return Rule([Terms.MarkSet(fromWorkload), .. Jump(Layer.Raw, RpfSkip)]);
        yield return Rule(Terms.MarkSet(fromWorkload), new NftMatch.NoReversePath(), Terms.Counter, _deny);
        yield return Rule([Terms.MarkClear(fromWorkload), .. Jump(Layer.Raw, FromHost)]);
        yield return AcceptMarked(AllowAction.Accept);
    }

    private IEnumerable<NftRule> RawOutput()
    {
        yield return Rule(Terms.ClearMark(_marks.All));
        yield return Rule(Jump(Layer.Raw, ToHost));
        if (options.Vxlan(family))
            yield return UntrackVxlan();
        yield return AcceptMarked(AllowAction.Accept);
    }

    // Each direction has its own source port, so tracking would only ever see half a connection.
    private NftRule UntrackVxlan() =>
        Rule(Terms.Protocol(IpProtocol.Udp), Terms.DestinationPort(options.VxlanPort), Terms.Counter, Terms.NoTrack);

    private IEnumerable<RenderedChain> Failsafes(string layer)
    {
        // Raw comes before connection tracking, so replies of failsafe connections are let through there by port.
        var raw = layer == Layer.Raw;
        yield return Chain(layer, FailsafeIn,
            Ports(options.FailsafeInbound, NftSide.Destination, NftSide.Source)
                .Concat(raw ? Ports(options.FailsafeOutbound, NftSide.Source, NftSide.Source) : []));
        yield return Chain(layer, FailsafeOut,
            Ports(options.FailsafeOutbound, NftSide.Destination, NftSide.Destination)
                .Concat(raw ? Ports(options.FailsafeInbound, NftSide.Source, NftSide.Destination) : []));
    }

    private IEnumerable<NftRule> Ports(ImmutableArray<FailsafePort> ports, NftSide portSide, NftSide netSide) =>
        ports.Where(p => p.Net is null || p.Net.Value.Version == family).Select(p =>
        {
            List<NftTerm> terms = [Terms.Protocol(p.Protocol), new NftMatch.Port(portSide, p.Port)];
            if (p.Net is { } net)
                terms.Add(Terms.Net(netSide, net));
            return Rule([.. terms, Terms.Counter, Terms.Accept]);
        });

    private string Set(string id) => ChainNames.Set(id, family);
}
