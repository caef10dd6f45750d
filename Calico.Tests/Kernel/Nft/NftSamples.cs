using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Tests.Kernel.Nft;

/// <summary>Every kind of term at least once, for the tests that compare us with nft.</summary>
public static class NftSamples
{
    public static readonly NftTable V4 = new(NftFamily.Ip, "calico");
    public static readonly NftTable V6 = new(NftFamily.Ip6, "calico");
    public static readonly NftTable Inet = new(NftFamily.Inet, "calico");
    public static readonly NftTable Arp = new(NftFamily.Arp, "calico-arp");

    private static readonly Cause Because = new("NetworkPolicy/default/web", "812");
    private static readonly NftTerm Tcp = new NftMatch.Protocol(6);
    private static readonly NftTerm Accept = new NftStatement.Verdict(NftVerdict.Accept);

    public static NftRule Rule(params ReadOnlySpan<NftTerm> terms) => new(Because, terms);

    /// <summary>Rules for a plain chain of a table, whose sets and chains are those of <see cref="Setup"/>.</summary>
    public static ImmutableArray<NftRule> Rules(NftTable table) => table.Family switch
    {
        NftFamily.Ip => [.. Common(), .. Addresses(IpVersion.V4), .. OnlyV4()],
        NftFamily.Ip6 => [.. Common(), .. Addresses(IpVersion.V6), .. OnlyV6()],
        NftFamily.Inet => [.. Common(), .. InetRules()],
        _ => [
            Rule(new NftMatch.ArpOperation(2), new NftMatch.ArpSender(IpAddr.Parse("10.65.0.1")),
                new NftStatement.Verdict(NftVerdict.Drop)),
            Rule(new NftMatch.Interface(true, "cali1"), new NftMatch.ArpOperation(1) { Negate = true }, Accept)],
    };

    /// <summary>Chains, sets and maps that the rules refer to.</summary>
    public static ImmutableArray<NftOp> Setup(NftTable table)
    {
        var version = table.Family == NftFamily.Ip6 ? IpVersion.V6 : IpVersion.V4;
        ImmutableArray<NftOp> chains = [new NftOp.AddTable(), new NftOp.AddChain(new NftChain("target")),
            new NftOp.AddChain(new NftChain("rules"))];
        return table.Family == NftFamily.Arp ? chains :
        [
            .. chains,
            new NftOp.AddSet(NftSet.OfAddresses("hosts", version) with { Cause = Because }),
            new NftOp.AddSet(NftSet.OfNetworks("nets", version)),
            new NftOp.AddSet(NftSet.OfAddressPorts("ports", version)),
            new NftOp.AddSet(new NftSet("numbers", NftDataType.InetService) { MaxSize = 1000 }),
            new NftOp.AddSet(NftSet.OfInterfaceVerdicts("dispatch")),
        ];
    }

    private static IEnumerable<NftRule> Common()
    {
        foreach (var not in new[] { false, true })
        {
            yield return Rule(new NftMatch.Interface(false, "cali*") { Negate = not },
                new NftMatch.Interface(true, "eth0") { Negate = not }, Accept);
            yield return Rule(new NftMatch.Interface(false, "tunl0") { Negate = not },
                new NftMatch.Interface(true, "tap+") { Negate = not }, Accept);
            yield return Rule(new NftMatch.Protocol(17) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Protocol(4) { Negate = not }, Accept);
            yield return Rule(Tcp, new NftMatch.Port(NftSide.Destination, 80) { Negate = not }, Accept);
            yield return Rule(Tcp, new NftMatch.Port(NftSide.Source, new NftPortRange(1000, 2000)) { Negate = not },
                Accept);
            yield return Rule(Tcp, new NftMatch.Port(NftSide.Source, NftPortRange.Of(5),
                NftPortRange.Of(7))
            { Negate = not },
                new NftMatch.Port(NftSide.Destination, NftPortRange.Of(443), new NftPortRange(8000, 8080),
                    new NftPortRange(60000, 65535))
                { Negate = not }, Accept);
            yield return Rule(new NftMatch.Protocol(132), new NftMatch.Port(NftSide.Destination,
                new NftPortRange(0, 10), NftPortRange.Of(99))
            { Negate = not }, Accept);
            yield return Rule(new NftMatch.CtState(NftCtState.Established | NftCtState.Related) { Negate = not },
                Accept);
            yield return Rule(new NftMatch.CtState(NftCtState.Invalid) { Negate = not }, Accept);
            yield return Rule(new NftMatch.CtDnat { Negate = not }, Accept);
            yield return Rule(new NftMatch.Mark(NftMarkOf.Packet, 0x10000, 0x10000) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Mark(NftMarkOf.Packet, 0, 0x1b0000) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Mark(NftMarkOf.Packet, 7) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Mark(NftMarkOf.Connection, 0x20000, 0xf0000) { Negate = not }, Accept);
            yield return Rule(new NftMatch.AddressType(NftSide.Destination, NftAddressType.Local) { Negate = not },
                Accept);
            yield return Rule(new NftMatch.AddressType(NftSide.Source, NftAddressType.Local,
                OnOutInterface: true)
            { Negate = not }, Accept);
            yield return Rule(new NftMatch.NoReversePath { Negate = not }, new NftStatement.Verdict(NftVerdict.Drop));
            yield return Rule(new NftMatch.NoReversePath(WithMark: false) { Negate = not },
                new NftStatement.Verdict(NftVerdict.Drop));
            yield return Rule(new NftMatch.Rate(100, NftRateUnit.Second, 7) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Connections(10) { Negate = not }, Accept);
        }
        yield return Rule(new NftStatement.Verdict(NftVerdict.Return));
        yield return Rule(new NftStatement.Verdict(NftVerdict.Jump("target")));
        yield return Rule(new NftStatement.Counter(), new NftStatement.Verdict(NftVerdict.Goto("target")));
        yield return Rule(new NftStatement.VerdictMap(NftField.InInterface, "dispatch"));
        yield return Rule(new NftStatement.VerdictMap(NftField.OutInterface, "dispatch"));
        yield return Rule(new NftStatement.SetMark(NftMarkOf.Packet, 0x10000, 0x10000));
        yield return Rule(new NftStatement.SetMark(NftMarkOf.Packet, 0, 0x1b0000));
        yield return Rule(new NftStatement.SetMark(NftMarkOf.Packet, 0x30000, 0xf0000));
        yield return Rule(new NftStatement.SetMark(NftMarkOf.Packet, 0x5));
        yield return Rule(new NftStatement.SetMark(NftMarkOf.Connection, 0x40000, 0x40000));
        yield return Rule(new NftStatement.SetMark(NftMarkOf.Connection, 0x9));
        yield return Rule(new NftStatement.Log("calico-packet: ", NftLogLevel.Info));
        yield return Rule(new NftStatement.Log("DRI", Group: 1), new NftStatement.Verdict(NftVerdict.Drop));
        yield return Rule(Tcp, new NftStatement.Reject(NftRejectWith.TcpReset));
        yield return Rule(new NftStatement.Reject(NftRejectWith.AdminProhibited));
        yield return Rule(new NftStatement.Reject(NftRejectWith.PortUnreachable));
        yield return Rule(new NftStatement.NoTrack());
        yield return Rule(new NftStatement.Counter());
    }

    private static IEnumerable<NftRule> Addresses(IpVersion version)
    {
        var networks = version == IpVersion.V4
            ? ["10.0.0.0/8", "10.65.0.0/16", "10.65.1.64/26", "10.65.1.3/32", "128.0.0.0/1", "10.65.1.2/31"]
            : new[] { "fd00::/8", "fd00:1::/64", "fd00:2::/65", "fd00::3/128", "2000::/3" };
        foreach (var not in new[] { false, true })
        {
            foreach (var network in networks)
            {
                yield return Rule(new NftMatch.Address(NftSide.Source, Cidr.Parse(network)) { Negate = not }, Accept);
                yield return Rule(new NftMatch.Address(NftSide.Destination, Cidr.Parse(network)) { Negate = not },
                    Accept);
            }
            yield return Rule(new NftMatch.InSet("hosts", NftField.SourceAddress) { Negate = not }, Accept);
            yield return Rule(new NftMatch.InSet("nets", NftField.DestinationAddress) { Negate = not }, Accept);
            yield return Rule(new NftMatch.InSet("ports", NftField.DestinationAddress, NftField.Protocol,
                NftField.DestinationPort)
            { Negate = not }, Accept);
            yield return Rule(Tcp, new NftMatch.InSet("ports", NftField.SourceAddress, NftField.Protocol,
                NftField.SourcePort)
            { Negate = not }, Accept);
            yield return Rule(Tcp, new NftMatch.InSet("numbers", NftField.DestinationPort) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Icmp(version, 8) { Negate = not }, Accept);
            yield return Rule(new NftMatch.Icmp(version, 130) { Negate = not }, Accept);
        }
        yield return Rule(new NftMatch.Icmp(version, 3, 4), Accept);
        yield return Rule(new NftMatch.Protocol(version == IpVersion.V4 ? (byte)1 : (byte)58),
            new NftMatch.Icmp(version, 1, 2), Accept);
        yield return Rule(new NftStatement.SetDscp(version, 0x2e));
        yield return Rule(new NftStatement.SetDscp(version, 0));
    }

    private static IEnumerable<NftRule> OnlyV4()
    {
        yield return Rule(new NftMatch.Address(NftSide.Source, Cidr.Parse("0.0.0.0/0")) { Negate = true }, Accept);
    }

    private static IEnumerable<NftRule> OnlyV6()
    {
        yield return Rule(new NftMatch.Address(NftSide.Source, Cidr.Parse("fe80::/10")),
            new NftMatch.Icmp(IpVersion.V6, 135), Accept);
    }

    private static IEnumerable<NftRule> InetRules()
    {
        yield return Rule(new NftMatch.Family(IpVersion.V4), new NftMatch.InSet("hosts", NftField.SourceAddress),
            Accept);
        yield return Rule(new NftMatch.Family(IpVersion.V6) { Negate = true }, Accept);
        yield return Rule(new NftMatch.Address(NftSide.Source, Cidr.Parse("10.0.0.0/8")),
            new NftMatch.Address(NftSide.Destination, Cidr.Parse("10.1.0.0/16")), Accept);
        yield return Rule(new NftMatch.Family(IpVersion.V6), new NftStatement.Reject(NftRejectWith.AdminProhibited));
    }

    /// <summary>NAT chains and their rules, which the kernel takes on their hooks only.</summary>
    public static ImmutableArray<NftOp> Nat(NftTable table)
    {
        var v4 = table.Family == NftFamily.Ip;
        var to = IpAddr.Parse(v4 ? "192.0.2.1" : "2001:db8::1");
        var ports = new NftPortRange(4790, 65535);
        var pre = new NftChain("nat-PREROUTING", new NftBaseHook(NftChainType.Nat, NftHook.Prerouting, -100));
        var post = new NftChain("nat-POSTROUTING", new NftBaseHook(NftChainType.Nat, NftHook.Postrouting, 110));
        NftRule[] source =
        [
            Rule(new NftStatement.Masquerade()), Rule(new NftStatement.Masquerade(FullyRandom: true)),
            Rule(Tcp, new NftStatement.Masquerade(ports)), Rule(Tcp,
                new NftStatement.Masquerade(ports, FullyRandom: true)),
            Rule(Tcp, new NftStatement.Masquerade(NftPortRange.Of(99))),
            Rule(new NftStatement.Snat(to)), Rule(Tcp, new NftStatement.Snat(to, ports)),
                Rule(new NftStatement.Snat(to, FullyRandom: true)),
        ];
        NftRule[] destination = [Rule(new NftStatement.Dnat(to)),
            Rule(Tcp, new NftStatement.Dnat(to, NftPortRange.Of(8775))), Rule(Tcp, new NftStatement.Dnat(to, ports))];
        return
        [
            new NftOp.AddTable(), new NftOp.AddChain(pre), new NftOp.AddChain(post),
            .. source.Select(r => new NftOp.AppendRule(post.Name, r)),
                .. destination.Select(r => new NftOp.AppendRule(pre.Name, r)),
        ];
    }

    /// <summary>Members for the sets of <see cref="Setup"/>.</summary>
    public static ImmutableArray<NftOp> Members(NftTable table)
    {
        var v6 = table.Family == NftFamily.Ip6;
        var version = v6 ? IpVersion.V6 : IpVersion.V4;
        var hosts = v6 ? new[] { "fd00::1", "fd00::ffff", "2001:db8::" } : ["10.65.0.1", "10.65.0.2",
            "255.255.255.255"];
        var nets = v6 ? new[] { "fd00::/64", "fd00:0:0:1::/64", "fd00:5::7/128", "ffff::/16" } : ["10.0.0.0/8",
            "11.0.0.0/8", "192.0.2.7/32", "224.0.0.0/3"];
        return
        [
            new NftOp.AddElements(NftSet.OfAddresses("hosts", version),
                hosts.Select(h => NftElement.Of(IpAddr.Parse(h))).ToArray()),
            new NftOp.AddElements(NftSet.OfNetworks("nets", version),
                nets.Select(n => NftElement.Of(Cidr.Parse(n))).ToArray()),
            new NftOp.AddElements(NftSet.OfAddressPorts("ports", version),
                hosts.Select((h, i) => NftElement.Of(IpAddr.Parse(h), i == 1 ? (byte)17 : (byte)6,
                    (ushort)(8080 + i))).ToArray()),
            new NftOp.AddElements(new NftSet("numbers", NftDataType.InetService) { MaxSize = 1000 },
                new[] { NftElement.OfPort(1), NftElement.OfPort(65535) }),
            new NftOp.AddMapEntries(NftSet.OfInterfaceVerdicts("dispatch"), new NftMapEntry[]
            {
                new(NftElement.OfInterface("cali0123456789a"), NftVerdict.Goto("target")),
                new(NftElement.OfInterface("eth0"), NftVerdict.Drop),
                new(NftElement.OfInterface("lo"), NftVerdict.Jump("target")),
            }),
        ];
    }
}
