using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Nft;
using Calico.Kernel.Routes;
using static Calico.Tests.Kernel.Nft.NftPacketCases;

namespace Calico.Tests.Kernel.Nft;

/// <summary>
/// Real packets through real rules, and the same packets through the fake: both must agree.
/// <code>
///   client 10.1.0.2 ---- cali1 [router] cali2 ---- server 10.2.0.2        (and fd01::2, fd02::2)
/// </code>
/// The router forwards and holds the table. Blocked connections are seen by the counter of the dropping rule or
/// by the refusal, never by waiting for silence alone.
/// </summary>
[Layer("kernel")]
public sealed class NftPacketTests : IDisposable
{
    private static readonly Cause Because = new("test");
    // Only a busy machine needs it: every wait ends with what it waits for.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly NftTerm Drop = new NftStatement.Verdict(NftVerdict.Drop);
    private static readonly NftTerm Tcp = new NftMatch.Protocol(6);

    private readonly NetworkNamespace _client = NetworkNamespace.CreateUnnamed();
    private readonly NetworkNamespace _server = NetworkNamespace.CreateUnnamed();
    private readonly NftNamespace _router = new();

    public NftPacketTests()
    {
        foreach (var each in new[] { _client, _server, _router.Namespace })
        {
            // Without duplicate address detection IPv6 works at once.
            using var quick = each.OpenSysctl();
            quick.Write("ipv6/conf/default/accept_dad", "0");
        }
        Join(_client, "cali1", 1);
        Join(_server, "cali2", 2);
        using var sysctl = _router.Namespace.OpenSysctl();
        sysctl.Write("ipv4/ip_forward", "1");
        sysctl.Write("ipv6/conf/all/forwarding", "1");
    }

    /// <summary>
    /// Name, whether TCP, UDP and ICMP get through, and the rules of a forward chain with policy accept.
    /// </summary>
    public static TheoryData<string, bool, bool, bool> Cases
    {
        get
        {
            var data = new TheoryData<string, bool, bool, bool>();
            foreach (var c in RuleCases(v6: false))
                data.Add(c.Key, c.Value.Tcp, c.Value.Udp, c.Value.Icmp);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Ipv4_packets_go_where_the_rules_and_the_fake_say(string name, bool tcp, bool udp, bool icmp) =>
        AssertVerdictsAsync(name, v6: false, tcp, udp, icmp);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Ipv6_packets_go_where_the_rules_and_the_fake_say(string name, bool tcp, bool udp, bool icmp) =>
        AssertVerdictsAsync(name, v6: true, tcp, udp, icmp);

    [Fact]
    public async Task Rejected_connections_are_refused_at_once()
    {
        using var table = _router.Open(NftSamples.V4);
        Commit(table, NftHook.Forward, [new NftRule(Because, Tcp, new NftStatement.Reject(NftRejectWith.TcpReset)),
            new NftRule(Because, new NftStatement.Reject(NftRejectWith.AdminProhibited))]);

        Assert.Equal(SocketError.ConnectionRefused, await ConnectAsync(v6: false));
        Assert.Equal(SocketError.HostUnreachable, await EchoAsync(v6: false));
    }

    [Fact]
    public async Task Translated_connections_reach_the_new_destination_from_the_new_source()
    {
        using var table = _router.Open(NftSamples.V4);
        var pre = new NftChain("pre", new NftBaseHook(NftChainType.Nat, NftHook.Prerouting, -100));
        var post = new NftChain("post", new NftBaseHook(NftChainType.Nat, NftHook.Postrouting, 100));
        table.Commit(new NftTransaction(NftSamples.V4, [new NftOp.AddTable(), new NftOp.AddChain(pre),
            new NftOp.AddChain(post),
            new NftOp.AppendRule("pre", new NftRule(Because, Tcp,
                new NftMatch.Address(NftSide.Destination, Cidr.Parse("10.9.9.9/32")),
                new NftMatch.Port(NftSide.Destination, 80), new NftStatement.Dnat(Server4, NftPortRange.Of(Port)))),
            new NftOp.AppendRule("post", new NftRule(Because, Tcp, new NftMatch.CtDnat(),
                new NftStatement.Masquerade(new NftPortRange(50000, 50010))))]));
        using var listener = Listen(v6: false);

        using var socket = await DialAsync(new IPEndPoint(IPAddress.Parse("10.9.9.9"), 80));
        using var accepted = await listener.AcceptAsync();

        var peer = (IPEndPoint)accepted.RemoteEndPoint!;
        Assert.Equal(IPAddress.Parse("10.2.0.1"), peer.Address);
        Assert.InRange(peer.Port, 50000, 50010);
    }

    [Fact]
    public async Task The_reverse_path_check_drops_sources_that_have_no_route_back()
    {
        using var table = _router.Open(NftSamples.V4);
        Commit(table, NftHook.Prerouting, [new NftRule(Because, new NftMatch.Interface(false, "cali*"),
            new NftMatch.NoReversePath(), new NftStatement.Counter(), Drop)]);
        Assert.Equal(SocketError.Success, await EchoAsync(v6: false));
        using (var links = _client.OpenLinks())
            links.AddAddress(new LinkAddress(links.Find("eth0")!.Index, Cidr.Parse("10.77.0.1/32")));

        _client.Run(() =>
        {
            using var spoofer = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            spoofer.Bind(new IPEndPoint(IPAddress.Parse("10.77.0.1"), 0));
            spoofer.SendTo([1, 2, 3], At(v6: false));
        });

        using var patience = new CancellationTokenSource(Patience);
        while (Counted(NftSamples.V4) == 0)
            await Task.Delay(20, patience.Token);
        Assert.Equal(1, Counted(NftSamples.V4));
    }

    [Fact]
    public async Task Established_connections_pass_where_new_ones_do_not()
    {
        // Connections are tracked from the first rule on that asks for their state.
        using var table = _router.Open(NftSamples.V4);
        Commit(table, NftHook.Forward, [new NftRule(Because,
            new NftMatch.CtState(NftCtState.Established | NftCtState.Related),
            new NftStatement.Verdict(NftVerdict.Accept))]);
        using var listener = Listen(v6: false);
        using var socket = await DialAsync(At(v6: false));
        using var accepted = await listener.AcceptAsync();
        table.Commit(new NftTransaction(NftSamples.V4, [new NftOp.AppendRule("base",
            new NftRule(Because, Tcp, new NftStatement.Reject(NftRejectWith.TcpReset)))]));
        listener.Dispose();

        await socket.SendAsync(new byte[] { 42 });

        using var patience = new CancellationTokenSource(Patience);
        Assert.Equal(1, await accepted.ReceiveAsync(new byte[1], patience.Token));
        Assert.Equal(SocketError.ConnectionRefused, await ConnectAsync(v6: false));
    }

    private async Task AssertVerdictsAsync(string name, bool v6, bool tcp, bool udp, bool icmp)
    {
        var table = v6 ? NftSamples.V6 : NftSamples.V4;
        var chain = new NftChain("forward", new NftBaseHook(NftChainType.Filter, NftHook.Forward, 0));
        var transaction = new NftTransaction(table, [.. Objects(v6), new NftOp.AddChain(chain),
            .. RuleCases(v6)[name].Rules.Select(r => new NftOp.AppendRule("forward", r))]);
        using var real = _router.Open(table);
        using var fake = new FakeNftTable(table);
        real.Commit(transaction);
        fake.Commit(transaction);
        var (client, server) = v6 ? (Client6, Server6) : (Client4, Server4);
        bool FakeAccepts(NftPacket packet) => fake.Walk(NftHook.Forward,
            packet with { InInterface = "cali1", OutInterface = "cali2" }).Accepted;

        Assert.Equal((tcp, udp, icmp), (FakeAccepts(NftPacket.Tcp(client, server, Port)),
            FakeAccepts(NftPacket.Udp(client, server, Port)),
            FakeAccepts(NftPacket.Icmp(client, server, (byte)(v6 ? 128 : 8)))));
        Assert.Equal((tcp, udp, icmp), (await ReachesAsync(c => ConnectAsync(v6, c), table),
            await ReachesAsync(c => EchoAsync(v6, c), table),
            await ReachesAsync(c => PingAsync(v6, c), table)));
    }

    // What is dropped is silent for as long as one waits: a try ends when it succeeds or a counter moved.
    private async Task<bool> ReachesAsync(Func<CancellationToken, Task<SocketError>> probe, NftTable table)
    {
        using var enough = new CancellationTokenSource(Patience);
        var before = Counted(table);
        var trying = probe(enough.Token);
        while (!trying.IsCompleted && Counted(table) == before)
            await Task.WhenAny(trying, Task.Delay(50));
        if (!trying.IsCompleted)
            await enough.CancelAsync();
        return await trying == SocketError.Success;
    }

    private int Counted(NftTable table)
    {
        var text = _router.Run("nft", ["list", "table", .. table.ToString().Split(' ')]);
        return text.Split("counter packets ")[1..].Sum(p => int.Parse(p.Split(' ')[0],
            System.Globalization.CultureInfo.InvariantCulture));
    }

    private static void Commit(INftTable table, NftHook hook, NftRule[] rules) =>
        table.Commit(new NftTransaction(table.Table,
        [new NftOp.AddTable(), new NftOp.AddChain(new NftChain("base",
            new NftBaseHook(NftChainType.Filter, hook, 0))), .. rules.Select(r => new NftOp.AppendRule("base", r))]));

    private Socket Listen(bool v6)
    {
        var listener = _server.Run(() => new Socket(Family(v6), SocketType.Stream, ProtocolType.Tcp));
        listener.Bind(At(v6));
        listener.Listen();
        return listener;
    }

    private async Task<Socket> DialAsync(IPEndPoint to, CancellationToken cancellation = default)
    {
        var socket = _client.Run(() => new Socket(to.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        await socket.ConnectAsync(to, cancellation);
        return socket;
    }

    private async Task<SocketError> ConnectAsync(bool v6, CancellationToken cancellation = default)
    {
        using var listener = Listen(v6);
        return await OutcomeAsync(async () => (await DialAsync(At(v6), cancellation)).Dispose());
    }

    private async Task<SocketError> EchoAsync(bool v6, CancellationToken cancellation = default)
    {
        using var echo = _server.Run(() => new Socket(Family(v6), SocketType.Dgram, ProtocolType.Udp));
        echo.Bind(At(v6));
        var serving = Task.Run(async () =>
        {
            var got = new byte[1];
            var from = await echo.ReceiveFromAsync(got, SocketFlags.None,
                new IPEndPoint(v6 ? IPAddress.IPv6Any : IPAddress.Any, 0), cancellation);
            await echo.SendToAsync(got, SocketFlags.None, from.RemoteEndPoint, cancellation);
        }, CancellationToken.None);
        using var socket = _client.Run(() => new Socket(Family(v6), SocketType.Dgram, ProtocolType.Udp));
        socket.Connect(At(v6));
        var outcome = await OutcomeAsync(async () =>
        {
            // A datagram may be lost while the neighbours are looked up.
            var answer = socket.ReceiveAsync(new byte[1], SocketFlags.None, cancellation).AsTask();
            do
                await socket.SendAsync(new byte[] { 7 }, cancellation);
            while (await Task.WhenAny(answer, Task.Delay(TimeSpan.FromSeconds(2), CancellationToken.None)) != answer);
            await answer;
        });
        echo.Dispose();
        await ((Task)serving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return outcome;
    }

    private async Task<SocketError> PingAsync(bool v6, CancellationToken cancellation)
    {
        var start = new ProcessStartInfo("ping", ["-c", "1", "-w", "120", At(v6).Address.ToString()])
        {
            RedirectStandardOutput = true,
        };
        using var ping = ProcessInNamespace.Start(start, _client);
        try
        {
            await ping.WaitForExitAsync(cancellation);
            return ping.ExitCode == 0 ? SocketError.Success : SocketError.HostUnreachable;
        }
        catch (OperationCanceledException)
        {
            ping.Kill();
            return SocketError.TimedOut;
        }
    }

    private static async Task<SocketError> OutcomeAsync(Func<Task> action)
    {
        try
        {
            await action();
            return SocketError.Success;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode;
        }
        catch (OperationCanceledException)
        {
            return SocketError.TimedOut;
        }
    }

    private static AddressFamily Family(bool v6) => v6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
    private static IPEndPoint At(bool v6) => new((v6 ? Server6 : Server4).ToIPAddress(), Port);

    private void Join(NetworkNamespace host, string name, int number)
    {
        using var routerLinks = _router.Namespace.OpenLinks();
        using var links = host.OpenLinks();
        var veth = routerLinks.CreateVeth(new VethPair(name, "eth0", host.Fd), up: true);
        var peer = links.Find("eth0")!.Index;
        links.Change(new LinkChange(peer) { Up = true });
        routerLinks.AddAddress(new LinkAddress(veth.Index, Cidr.Parse($"10.{number}.0.1/24")));
        routerLinks.AddAddress(new LinkAddress(veth.Index, Cidr.Parse($"fd0{number}::1/64")));
        links.AddAddress(new LinkAddress(peer, Cidr.Parse($"10.{number}.0.2/24")));
        links.AddAddress(new LinkAddress(peer, Cidr.Parse($"fd0{number}::2/64")));
        using var routes = host.OpenRoutes();
        Span<Errno> results = stackalloc Errno[2];
        routes.Apply([Default("0.0.0.0/0", $"10.{number}.0.1", peer), Default("::/0", $"fd0{number}::1", peer)],
            results);
        Assert.Equal([Errno.None, Errno.None], results.ToArray());
    }

    private static RouteChange Default(string destination, string gateway, int link) =>
        new(new Route(new RouteKey(Cidr.Parse(destination), 0),
        RouteKind.Unicast, 80, [new NextHop(IpAddr.Parse(gateway), link)]), Delete: false);

    public void Dispose()
    {
        _client.Dispose();
        _server.Dispose();
        _router.Dispose();
    }
}
