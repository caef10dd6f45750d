using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Calico.Core.Bfd;
using Calico.Core.Net;
using Calico.Kernel.Bfd;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Tests.Kernel.Bfd;

/// <summary>
/// Two namespaces with a cable, 192.0.2.1 and fd00:192::1 in ours, .2 and ::2 in theirs, and an engine in ours whose changes are
/// kept.
/// </summary>
internal sealed class BfdBed : IAsyncDisposable
{
    public static readonly IpAddr Local = IpAddr.Parse("192.0.2.1");
    public static readonly IpAddr Neighbour = IpAddr.Parse("192.0.2.2");
    public static readonly IpAddr LocalV6 = IpAddr.Parse("fd00:192::1");
    public static readonly IpAddr NeighbourV6 = IpAddr.Parse("fd00:192::2");
    public static readonly BfdEndpoint Endpoint = new(Neighbour, Local);

    private readonly TestNamespaces _world = new();
    private readonly List<(IBfdEngine Engine, Task Reader)> _engines = [];

    public BfdBed()
    {
        Ours = _world.Create();
        Theirs = _world.Create();
        using var ours = Ours.OpenLinks();
        using var theirs = Theirs.OpenLinks();
        ours.CreateVeth(new VethPair("cable", "cable", Theirs.Fd), up: true);
        foreach (var (links, host) in new[] { (ours, 1), (theirs, 2) })
        {
            var index = links.Find("cable")!.Index;
            links.Change(new LinkChange(links.Find("lo")!.Index) { Up = true });
            links.Change(new LinkChange(index) { Up = true });
            links.AddAddress(new LinkAddress(index, Cidr.Parse(string.Create(CultureInfo.InvariantCulture, $"192.0.2.{host}/24"))));
            links.AddAddress(new LinkAddress(index, Cidr.Parse(string.Create(CultureInfo.InvariantCulture, $"fd00:192::{host}/64"))));
        }
    }

    public NetworkNamespace Ours { get; }
    public NetworkNamespace Theirs { get; }

    public BfdThread Start(NetworkNamespace inside, ConcurrentQueue<BfdChange>? changes = null, bool sendsAhead = true)
    {
        var engine = BfdThread.Start(inside, sendsAhead);
        _engines.Add((engine, KeepAsync(engine, changes)));
        return engine;
    }

    public static BfdEndpoint Reverse(BfdEndpoint endpoint) => endpoint with { Local = endpoint.Neighbour, Neighbour = endpoint.Local };

    public static BfdParameters Every(int milliseconds, int multiplier = 3) =>
        new() { Interval = TimeSpan.FromMilliseconds(milliseconds), Multiplier = multiplier };

    public static async Task<BfdSessionStatus> StatusAsync(IBfdEngine engine, BfdEndpoint endpoint) =>
        (await engine.StatusAsync()).Single(s => s.Endpoint == endpoint);

    public static Task IsAsync(IBfdEngine engine, BfdEndpoint endpoint, BfdState state) =>
        UntilAsync(async () => (await StatusAsync(engine, endpoint)).State == state, async () => $"{state}: {await StatusAsync(engine, endpoint)}");

    public static Task UntilAsync(Func<Task<bool>> condition) => UntilAsync(condition, () => Task.FromResult("never"));

    public static async Task UntilAsync(Func<Task<bool>> condition, Func<Task<string>> what)
    {
        for (var i = 0; i < 1000; i++)
        {
            if (await condition())
                return;
            await Task.Delay(20);
        }
        Assert.Fail("never: " + await what());
    }

    /// <summary>From now on no BFD packet arrives at either end, while devices and addresses look as before.</summary>
    public async Task CutAsync()
    {
        foreach (var inside in new[] { Ours, Theirs })
            await NftAsync(inside, "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add rule inet cut in udp dport { 3784, 4784 } drop");
    }

    public async Task MendAsync()
    {
        foreach (var inside in new[] { Ours, Theirs })
            await NftAsync(inside, "delete table inet cut");
    }

    /// <summary>A socket of the test's own in their namespace.</summary>
    public Socket Neighbouring(IpAddr address, int port, int hops = 255) => Theirs.Run(() =>
    {
        var socket = new Socket(address.IsV4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp);
        if (address.IsV4)
            socket.Ttl = (short)hops;
        else
            socket.SetRawSocketOption(BfdNative.IpProtoIpV6, BfdNative.IpV6UnicastHops, BitConverter.GetBytes(hops));
        socket.Bind(new IPEndPoint(address.ToIPAddress(), port));
        return socket;
    });

    public async ValueTask DisposeAsync()
    {
        foreach (var (engine, reader) in _engines)
        {
            engine.Dispose();
            await reader;
        }
        _world.Dispose();
    }

    // The reader of a disposed engine ends once its thread has.
    private static async Task KeepAsync(BfdThread engine, ConcurrentQueue<BfdChange>? changes)
    {
        while (await engine.NextAsync(CancellationToken.None) is { } change)
            changes?.Enqueue(change);
    }

    private static async Task NftAsync(NetworkNamespace inside, string rules)
    {
        var (status, output, errors) = await ChildProcess.RunAsync("ip", "netns", "exec", Path.GetFileName(inside.Path), "nft", rules);
        Assert.True(status == 0, output + errors);
    }
}
