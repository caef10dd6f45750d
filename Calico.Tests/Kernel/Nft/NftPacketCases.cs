using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Tests.Kernel.Nft;

/// <summary>
/// What is tried with packets: rules of a forward chain with policy accept, and whether TCP to <see cref="Port"/>, UDP
/// to it and a ping get from the client to the server then.
/// </summary>
internal static class NftPacketCases
{
    public const int Port = 8080;
    public static readonly IpAddr Client4 = IpAddr.Parse("10.1.0.2");
    public static readonly IpAddr Server4 = IpAddr.Parse("10.2.0.2");
    public static readonly IpAddr Client6 = IpAddr.Parse("fd01::2");
    public static readonly IpAddr Server6 = IpAddr.Parse("fd02::2");

    private static readonly Cause Because = new("test");
    private static readonly NftTerm Drop = new NftStatement.Verdict(NftVerdict.Drop);
    private static readonly NftTerm Tcp = new NftMatch.Protocol(6);
    private static readonly NftTerm Udp = new NftMatch.Protocol(17);

    public sealed record Case(bool Tcp, bool Udp, bool Icmp, NftRule[] Rules);

    public static Dictionary<string, Case> CasesOf(bool v6)
    {
        var version = v6 ? IpVersion.V6 : IpVersion.V4;
        var (client, server) = v6 ? (Client6, Server6) : (Client4, Server4);
        static NftRule If(params ReadOnlySpan<NftTerm> terms) =>
            new(Because, [.. terms, new NftStatement.Counter(), Drop]);
        var near = Cidr.Parse(v6 ? "fd01::/64" : "10.1.0.0/24");
        var odd = Cidr.Parse(v6 ? "fd01::/63" : "10.0.0.0/15");
        var far = Cidr.Parse(v6 ? "fd03::/64" : "10.3.0.0/24");
        return new Dictionary<string, Case>
        {
            ["no rule"] = new(true, true, true, []),
            ["protocol"] = new(false, true, true, [If(Tcp)]),
            ["not protocol"] = new(true, false, false, [If(new NftMatch.Protocol(6) { Negate = true },
                new NftMatch.Interface(false, "cali1"))]),
            ["source network"] = new(false, false, false, [If(new NftMatch.Address(NftSide.Source, near))]),
            ["source network inside a byte"] = new(false, false, false,
                [If(new NftMatch.Address(NftSide.Source, odd))]),
            ["source host"] = new(false, false, false, [If(new NftMatch.Address(NftSide.Source, Cidr.Host(client)))]),
            ["other network"] = new(true, true, true, [If(new NftMatch.Address(NftSide.Source, far))]),
            ["not source network"] = new(true, true, true, [If(new NftMatch.Address(NftSide.Source,
                near) { Negate = true }, new NftMatch.Address(NftSide.Destination, Cidr.Host(server)))]),
            ["destination port"] = new(false, true, true, [If(Tcp, new NftMatch.Port(NftSide.Destination, Port))]),
            ["other port"] = new(true, true, true, [If(Tcp, new NftMatch.Port(NftSide.Destination, Port + 1))]),
            ["not port"] = new(true, true, true, [If(Tcp, new NftMatch.Interface(false, "cali1"),
                new NftMatch.Port(NftSide.Destination, Port) { Negate = true })]),
            ["port range"] = new(true, false, true, [If(Udp, new NftMatch.Port(NftSide.Destination,
                new NftPortRange(8000, 8080)))]),
            ["port list"] = new(false, true, true, [If(Tcp, new NftMatch.Port(NftSide.Destination,
                NftPortRange.Of(22), NftPortRange.Of(Port)))]),
            ["port list with ranges"] = new(false, true, true,
                [If(Tcp, new NftMatch.Interface(false, "cali1"),
                new NftMatch.Port(NftSide.Destination, NftPortRange.Of(22), new NftPortRange(8079, 8090),
                new NftPortRange(9000, 65535)))]),
            ["ports beside the list"] = new(true, true, true,
                [If(Tcp, new NftMatch.Interface(false, "cali1"),
                new NftMatch.Port(NftSide.Destination, NftPortRange.Of(22), new NftPortRange(8081, 65535)))]),
            ["not port list"] = new(false, true, true, [If(Tcp, new NftMatch.Interface(false, "cali1"),
                new NftMatch.Port(NftSide.Destination, NftPortRange.Of(22), NftPortRange.Of(80)) { Negate = true })]),
            ["in interface"] = new(false, false, false, [If(new NftMatch.Interface(false, "cali1"))]),
            ["in interface by prefix"] = new(false, false, false,
                [If(new NftMatch.Interface(false, "cal*"), new NftMatch.Interface(true, "cali2"))]),
            ["not in interface"] = new(true, true, true, [If(new NftMatch.Interface(false,
                "cali*") { Negate = true })]),
            ["out interface of another name"] = new(true, true, true, [If(new NftMatch.Interface(true, "cali"))]),
            ["in host set"] = new(false, false, false, [If(new NftMatch.InSet("hosts", NftField.SourceAddress))]),
            ["not in host set"] = new(false, false, false, [If(new NftMatch.InSet("hosts",
                NftField.DestinationAddress) { Negate = true },
                new NftMatch.Address(NftSide.Destination, Cidr.Host(server)))]),
            ["in network set"] = new(false, false, false, [If(new NftMatch.InSet("nets",
                NftField.DestinationAddress))]),
            ["in port set"] = new(false, true, true, [If(new NftMatch.InSet("ports", NftField.DestinationAddress,
                NftField.Protocol, NftField.DestinationPort))]),
            ["not in port set"] = new(true, false, true, [If(Udp, new NftMatch.Interface(false, "cali1"),
                new NftMatch.InSet("ports", NftField.DestinationAddress, NftField.Protocol,
                NftField.DestinationPort) { Negate = true })]),
            ["icmp type"] = new(true, true, false, [If(new NftMatch.Icmp(version, (byte)(v6 ? 128 : 8)))]),
            ["icmp type and code"] = new(true, true, true, [If(new NftMatch.Icmp(version, (byte)(v6 ? 128 : 8), 1))]),
            ["new connections"] = new(false, false, false, [If(new NftMatch.CtState(NftCtState.New))]),
            ["mark set and matched"] = new(false, true, true,
                [new NftRule(Because, Tcp, new NftStatement.SetMark(NftMarkOf.Packet, 0x50000, 0xf0000)),
                If(new NftMatch.Mark(NftMarkOf.Packet, 0x10000, 0x10000))]),
            ["mark kept in other bits"] = new(false, true, true,
                [new NftRule(Because, new NftStatement.SetMark(NftMarkOf.Packet, 0x3)),
                new NftRule(Because, Tcp, new NftStatement.SetMark(NftMarkOf.Packet, 0x10000, 0xf0000)),
                    If(new NftMatch.Mark(NftMarkOf.Packet, 0x10003))]),
            ["connection mark"] = new(true, false, true, [new NftRule(Because, Udp,
                new NftStatement.SetMark(NftMarkOf.Connection, 0x40000, 0x40000)),
                If(new NftMatch.Mark(NftMarkOf.Connection, 0x40000, 0x40000))]),
            ["jump and return"] = new(true, false, true, [new NftRule(Because,
                new NftStatement.Verdict(NftVerdict.Jump("returns"))), If(Udp)]),
            ["goto and end"] = new(true, true, true, [new NftRule(Because,
                new NftStatement.Verdict(NftVerdict.Goto("returns"))), If(Udp)]),
            ["dispatch by verdict map"] = new(false, true, true,
                [new NftRule(Because, new NftStatement.VerdictMap(NftField.InInterface, "dispatch"))]),
            ["destination is not local"] = new(true, true, true,
                [If(new NftMatch.AddressType(NftSide.Destination, NftAddressType.Local))]),
        };
    }

    /// <summary>Sets, maps and chains that the rules use.</summary>
    public static NftOp[] Objects(bool v6)
    {
        var version = v6 ? IpVersion.V6 : IpVersion.V4;
        var (client, server) = v6 ? (Client6, Server6) : (Client4, Server4);
        var (hosts, nets, ports, dispatch) = (NftSet.OfAddresses("hosts", version), NftSet.OfNetworks("nets", version),
            NftSet.OfAddressPorts("ports", version), NftSet.OfInterfaceVerdicts("dispatch"));
        return
        [
            new NftOp.AddTable(), new NftOp.AddChain(new NftChain("returns")),
                new NftOp.AddChain(new NftChain("no-tcp")),
            new NftOp.AppendRule("returns", new NftRule(Because, Tcp, new NftStatement.Verdict(NftVerdict.Return))),
            new NftOp.AppendRule("no-tcp", new NftRule(Because, Tcp, new NftStatement.Counter(), Drop)),
            new NftOp.AddSet(hosts), new NftOp.AddElements(hosts, new[] { NftElement.Of(client) }),
            new NftOp.AddSet(nets), new NftOp.AddElements(nets,
                new[] { NftElement.Of(new Cidr(server, server.BitLength - 10)) }),
            new NftOp.AddSet(ports), new NftOp.AddElements(ports, new[] { NftElement.Of(server, 6, Port) }),
            new NftOp.AddSet(dispatch), new NftOp.AddMapEntries(dispatch,
                new NftMapEntry[] { new(NftElement.OfInterface("cali1"), NftVerdict.Goto("no-tcp")) }),
        ];
    }
}
