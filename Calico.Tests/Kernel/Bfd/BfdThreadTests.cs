using System.Collections.Concurrent;
using System.Net;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Bfd;
using Calico.Kernel.Links;
using static Calico.Tests.Kernel.Bfd.BfdBed;

namespace Calico.Tests.Kernel.Bfd;

[Layer("kernel")]
public sealed class BfdThreadTests : IAsyncLifetime
{
    private readonly BfdBed _bed = new();
    private readonly ConcurrentQueue<BfdChange> _changes = new();

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _bed.DisposeAsync();

    public static TheoryData<string, string, string?, bool> Paths => new()
    {
        { "192.0.2.2", "192.0.2.1", null, false },
        { "192.0.2.2", "192.0.2.1", "cable", false },
        { "192.0.2.2", "192.0.2.1", null, true },
        { "fd00:192::2", "fd00:192::1", null, false },
        { "fd00:192::2", "fd00:192::1", "cable", true },
    };

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Two_ends_come_up_and_agree_on_the_slower_interval(string neighbour, string local, string? device, bool multihop)
    {
        var endpoint = new BfdEndpoint(IpAddr.Parse(neighbour), IpAddr.Parse(local), device, multihop);
        var (a, b) = await PairAsync(endpoint, Every(50), Every(80, 5));

        await UntilAsync(async () => (await StatusAsync(a, endpoint)).DetectionTime == TimeSpan.FromMilliseconds(400));
        await UntilAsync(async () => (await StatusAsync(b, Reverse(endpoint))).DetectionTime == TimeSpan.FromMilliseconds(240));
        var status = await StatusAsync(a, endpoint);
        Assert.Equal((TimeSpan.FromMilliseconds(80), TimeSpan.FromMilliseconds(80), null), (status.TransmitInterval, status.ReceiveInterval, status.Problem));
        Assert.Equal((await StatusAsync(b, Reverse(endpoint))).LocalDiscriminator, status.RemoteDiscriminator);
    }

    [Fact]
    public async Task Link_local_addresses_are_told_apart_by_their_device()
    {
        var endpoint = new BfdEndpoint(LinkLocal(_bed.Theirs), LinkLocal(_bed.Ours), "cable");

        await PairAsync(endpoint, Every(50), Every(50));
    }

    [Fact]
    public async Task A_cut_cable_is_noticed_by_both_ends_and_a_mended_one_too()
    {
        var (a, b) = await PairAsync(Endpoint, Every(50), Every(50));

        await _bed.CutAsync();
        await IsAsync(a, Endpoint, BfdState.Down);
        await IsAsync(b, Reverse(Endpoint), BfdState.Down);
        Assert.Equal(BfdDiagnostic.ControlDetectionTimeExpired, (await StatusAsync(a, Endpoint)).Diagnostic);

        await _bed.MendAsync();
        await IsAsync(a, Endpoint, BfdState.Up);
        await IsAsync(b, Reverse(Endpoint), BfdState.Up);
        Assert.Equal([BfdState.Down, BfdState.Up, BfdState.Down, BfdState.Up], _changes.Select(c => c.State).Where(s => s != BfdState.Init));
    }

    [Fact]
    public async Task A_neighbour_that_is_no_longer_watched_is_told_so_and_says_why()
    {
        var (a, b) = await PairAsync(Endpoint, Every(50), Every(50));

        b.Unwatch(Reverse(Endpoint));

        await UntilAsync(async () => await StatusAsync(a, Endpoint) is
        { State: BfdState.Down, Diagnostic: BfdDiagnostic.NeighborSignaledSessionDown, RemoteDiagnostic: BfdDiagnostic.AdministrativelyDown });
        await UntilAsync(async () => (await b.StatusAsync()).IsEmpty);
        Assert.Contains(_changes, c => c is { State: BfdState.Down, RemoteState: BfdState.AdminDown });
    }

    [Fact]
    public async Task An_engine_that_is_disposed_tells_every_neighbour()
    {
        var (a, b) = await PairAsync(Endpoint, Every(300), Every(300));

        b.Dispose();

        await UntilAsync(async () => (await StatusAsync(a, Endpoint)).Diagnostic == BfdDiagnostic.NeighborSignaledSessionDown);
    }

    [Fact]
    public async Task A_session_that_is_switched_off_and_on_comes_up_again()
    {
        var (a, b) = await PairAsync(Endpoint, Every(50), Every(50));

        a.SetEnabled(Endpoint, false);
        await IsAsync(a, Endpoint, BfdState.AdminDown);
        await IsAsync(b, Reverse(Endpoint), BfdState.Down);
        Assert.Equal(BfdDiagnostic.NeighborSignaledSessionDown, (await StatusAsync(b, Reverse(Endpoint))).Diagnostic);

        a.SetEnabled(Endpoint, true);
        await IsAsync(a, Endpoint, BfdState.Up);
        await IsAsync(b, Reverse(Endpoint), BfdState.Up);
    }

    [Fact]
    public async Task Other_parameters_are_negotiated_without_leaving_up()
    {
        var (a, b) = await PairAsync(Endpoint, Every(50), Every(50));

        a.Watch(Endpoint, Every(200));
        await UntilAsync(async () => (await StatusAsync(b, Reverse(Endpoint))).DetectionTime == TimeSpan.FromMilliseconds(600));
        await UntilAsync(async () => (await StatusAsync(a, Endpoint)).TransmitInterval == TimeSpan.FromMilliseconds(200));
        a.Watch(Endpoint, Every(20, 10));
        await UntilAsync(async () => (await StatusAsync(b, Reverse(Endpoint))).DetectionTime == TimeSpan.FromMilliseconds(500));

        Assert.Equal((1L, 0L), ((await StatusAsync(a, Endpoint)).Counters.Ups, (await StatusAsync(a, Endpoint)).Counters.Downs));
        Assert.Equal(0, (await StatusAsync(b, Reverse(Endpoint))).Counters.Downs);
    }

    [Fact]
    public async Task An_address_or_device_that_is_not_there_yet_is_waited_for()
    {
        var late = new BfdEndpoint(Neighbour, IpAddr.Parse("192.0.2.7"), "late");
        var a = _bed.Start(_bed.Ours, _changes);
        a.Watch(late, Every(50));
        await UntilAsync(async () => (await StatusAsync(a, late)).Problem is { } problem && problem.Contains("ENODEV", StringComparison.Ordinal));

        using var ours = _bed.Ours.OpenLinks();
        ours.CreateVeth(new VethPair("late", "late", _bed.Theirs.Fd), up: true);
        using var theirs = _bed.Theirs.OpenLinks();
        theirs.Change(new LinkChange(theirs.Find("late")!.Index) { Up = true });
        ours.Change(new LinkChange(ours.Find("late")!.Index) { Up = true });
        ours.AddAddress(new LinkAddress(ours.Find("late")!.Index, Cidr.Parse("192.0.2.7/24")));

        await UntilAsync(async () => (await StatusAsync(a, late)).Problem?.Contains("ENODEV", StringComparison.Ordinal) != true);
    }

    [Fact]
    public async Task A_device_that_is_made_anew_is_used_anew()
    {
        var endpoint = Endpoint with { Device = "cable" };
        var (a, b) = await PairAsync(endpoint, Every(50), Every(50));

        using (var ours = _bed.Ours.OpenLinks())
            ours.Delete("cable");
        await IsAsync(a, endpoint, BfdState.Down);
        using (var ours = _bed.Ours.OpenLinks())
        using (var theirs = _bed.Theirs.OpenLinks())
        {
            ours.CreateVeth(new VethPair("cable", "cable", _bed.Theirs.Fd), up: true);
            foreach (var (links, address) in new[] { (ours, "192.0.2.1/24"), (theirs, "192.0.2.2/24") })
            {
                links.Change(new LinkChange(links.Find("cable")!.Index) { Up = true });
                links.AddAddress(new LinkAddress(links.Find("cable")!.Index, Cidr.Parse(address)));
            }
        }

        await IsAsync(a, endpoint, BfdState.Up);
        await IsAsync(b, Reverse(endpoint), BfdState.Up);
    }

    [Fact]
    public async Task Packets_are_sent_with_the_full_hop_limit_from_a_port_of_the_range()
    {
        using var neighbour = _bed.Neighbouring(Neighbour, BfdEndpoint.SingleHopPort);
        neighbour.SetRawSocketOption(BfdNative.IpProtoIp, 21, BitConverter.GetBytes(255));
        var a = _bed.Start(_bed.Ours);
        a.Watch(Endpoint, Every(50));
        a.Watch(Endpoint with { Device = "cable" }, Every(50));

        var ports = new HashSet<int>();
        var octets = new byte[100];
        while (ports.Count < 2)
        {
            var got = await neighbour.ReceiveFromAsync(octets, new IPEndPoint(IPAddress.Any, 0)).WaitAsync(TimeSpan.FromSeconds(20));
            Assert.Equal(BfdDiscard.None, BfdPacket.TryDecode(octets.AsSpan(0, got.ReceivedBytes), out _));
            ports.Add(((IPEndPoint)got.RemoteEndPoint).Port);
        }

        Assert.All(ports, port => Assert.InRange(port, 49152, 65535));
    }

    [Fact]
    public async Task A_packet_that_passed_a_router_is_discarded()
    {
        using var neighbour = _bed.Neighbouring(Neighbour, 50_000, hops: 254);
        var a = _bed.Start(_bed.Ours);
        a.Watch(Endpoint, Every(50));

        await SendUntilAsync(neighbour, Packet(BfdState.Down), async () => Discarded(await StatusAsync(a, Endpoint), BfdDiscard.HopLimit) > 0);

        Assert.Equal(BfdState.Down, (await StatusAsync(a, Endpoint)).State);
    }

    [Fact]
    public async Task A_multihop_packet_may_have_passed_routers_and_does_not_reach_a_single_hop_session()
    {
        using var neighbour = _bed.Neighbouring(Neighbour, 50_000, hops: 20);
        var a = _bed.Start(_bed.Ours);
        a.Watch(Endpoint, Every(50));
        a.Watch(Endpoint with { Multihop = true }, Every(50));
        var single = (await StatusAsync(a, Endpoint)).LocalDiscriminator;

        await SendUntilAsync(neighbour, Packet(BfdState.Init) with { YourDiscriminator = single },
            async () => Discarded(await StatusAsync(a, Endpoint), BfdDiscard.WrongPath) > 0, BfdEndpoint.MultihopPort);
        Assert.Equal(BfdState.Down, (await StatusAsync(a, Endpoint)).State);

        await SendUntilAsync(neighbour, Packet(BfdState.Down),
            async () => (await StatusAsync(a, Endpoint with { Multihop = true })).State == BfdState.Init, BfdEndpoint.MultihopPort);
    }

    [Fact]
    public async Task What_is_of_no_session_or_no_packet_is_counted_and_harms_nobody()
    {
        using var neighbour = _bed.Neighbouring(Neighbour, 50_000);
        var a = _bed.Start(_bed.Ours);
        a.Watch(new BfdEndpoint(IpAddr.Parse("192.0.2.9"), Local), Every(50));

        await SendUntilAsync(neighbour, Packet(BfdState.Down), async () => await a.StrangersAsync(BfdDiscard.NoSession) > 0);
        await SendUntilAsync(neighbour, Packet(BfdState.Up) with { YourDiscriminator = 1 }, async () => await a.StrangersAsync(BfdDiscard.NoSession) > 1);
        await SendUntilAsync(neighbour, Packet(BfdState.Down) with { DetectMult = 0 }, async () => await a.StrangersAsync(BfdDiscard.DetectMultZero) > 0);
        await SendUntilAsync(neighbour, Packet(BfdState.Up), async () => await a.StrangersAsync(BfdDiscard.YourDiscriminatorZero) > 0);
    }

    [Fact]
    public async Task An_impossible_endpoint_or_parameter_is_refused_by_name()
    {
        var a = _bed.Start(_bed.Ours);

        Assert.Contains("families", Assert.Throws<ArgumentException>(() => a.Watch(new BfdEndpoint(Neighbour, LocalV6), Every(50))).Message, StringComparison.Ordinal);
        Assert.Contains("between 10 ms and 60 s", Assert.Throws<ArgumentException>(() => a.Watch(Endpoint, Every(5))).Message, StringComparison.Ordinal);
        Assert.Empty(await a.StatusAsync());
    }

    private async Task<(BfdThread A, BfdThread B)> PairAsync(BfdEndpoint endpoint, BfdParameters ours, BfdParameters theirs)
    {
        var a = _bed.Start(_bed.Ours, _changes);
        var b = _bed.Start(_bed.Theirs);
        a.Watch(endpoint, ours);
        b.Watch(Reverse(endpoint), theirs);
        await IsAsync(a, endpoint, BfdState.Up);
        await IsAsync(b, Reverse(endpoint), BfdState.Up);
        return (a, b);
    }

    private static long Discarded(BfdSessionStatus status, BfdDiscard reason) => status.Counters.Discarded.GetValueOrDefault(reason);

    private static Task SendUntilAsync(System.Net.Sockets.Socket from, BfdPacket packet, Func<Task<bool>> condition, ushort port = BfdEndpoint.SingleHopPort)
    {
        var octets = new byte[BfdPacket.Length];
        packet.Encode(octets);
        return UntilAsync(async () =>
        {
            await from.SendToAsync(octets, new IPEndPoint(Local.ToIPAddress(), port));
            return await condition();
        });
    }

    private static BfdPacket Packet(BfdState state) => new()
    {
        State = state,
        DetectMult = 3,
        MyDiscriminator = 99,
        DesiredMinTx = TimeSpan.FromSeconds(1),
        RequiredMinRx = TimeSpan.FromSeconds(1),
    };

    private static IpAddr LinkLocal(Calico.Kernel.Namespaces.NetworkNamespace inside)
    {
        using var links = inside.OpenLinks();
        var index = links.Find("cable")!.Index;
        for (var i = 0; i < 200; i++)
        {
            foreach (var address in links.DumpAddresses().Where(a => a.LinkIndex == index && a.Address.Address.IsV6 && a.Address.Address.IsLinkLocal))
                return address.Address.Address;
            Thread.Yield();
        }
        throw new InvalidOperationException("no link-local address");
    }
}
