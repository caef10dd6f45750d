using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Akka.Actor;
using Calico.Actors.Cluster;
using Calico.Actors.Dispatch;
using Calico.Actors.Gateway;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Tests.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Cluster;

/// <summary>
/// Several nodes' meshes in one process, on loopback addresses that no other test has, around one datastore. Times are
/// short, but long enough for busy processors; nothing is asserted about them.
/// </summary>
internal sealed class MeshBed(ITestOutputHelper output) : IAsyncDisposable
{
    /// <summary>Everything here happens within seconds; a test that waits this long has failed.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    private static int _network = Environment.ProcessId & 63;

    private readonly int _x = 1 + (Interlocked.Increment(ref _network) % 250);
    private readonly int _y = Random.Shared.Next(1, 250);
    private readonly int _port = FreePort();
    private readonly List<MeshPeer> _peers = [];

    public InMemoryDatastore Datastore { get; } = new();
    public ProbedHosts Probe { get; } = new();
    public ActorSystem NodeHalves { get; } = ActorSystem.Create("nodes", StartedTimers.Hocon + "akka { loglevel = WARNING, stdout-loglevel = OFF, loggers = [] }");

    public IpAddr Address(int host) => IpAddr.Parse($"127.{_x}.{_y}.{host}");

    /// <summary>A node that has not been started yet, called <c>n</c> and its number.</summary>
    public MeshPeer Add(int host, Func<MeshOptions, MeshOptions>? change = null)
    {
        var options = new MeshOptions($"n{host}", Address(host))
        {
            Port = _port,
            GossipInterval = TimeSpan.FromMilliseconds(200),
            Pace = TimeSpan.FromMilliseconds(200),
            StableAfter = TimeSpan.FromSeconds(1.5),
            AcceptableHeartbeatPause = TimeSpan.FromSeconds(2.5),
            BootstrapStaleAfter = TimeSpan.FromSeconds(3),
            Loggers = "loggers = []",
        };
        var peer = new MeshPeer(this, change?.Invoke(options) ?? options);
        _peers.Add(peer);
        return peer;
    }

    /// <summary>Starts these at the same moment.</summary>
    public static async Task StartAsync(params MeshPeer[] peers)
    {
        using var line = new Barrier(peers.Length);
        await Task.WhenAll(peers.Select(p => Task.Factory.StartNew(() =>
        {
            line.SignalAndWait();
            p.Start();
        }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
    }

    /// <summary>Three nodes that are one cluster.</summary>
    public async Task<ImmutableArray<MeshPeer>> ThreeAsync(Func<MeshOptions, MeshOptions>? change = null)
    {
        MeshPeer[] peers = [Add(1, change), Add(2, change), Add(3, change)];
        await StartAsync(peers);
        await AreOneClusterAsync(peers);
        return [.. peers];
    }

    public static Task KillAsync(params MeshPeer[] peers) => Task.WhenAll(peers.Select(p => p.KillAsync()));

    /// <summary>Waits until these, and nobody else, are a cluster in which all are up, and all know that.</summary>
    public Task AreOneClusterAsync(params MeshPeer[] peers) =>
        UntilAsync(() => AreOneCluster(peers), $"{string.Join(" ", peers.Select(p => p.Node))} are one cluster");

    public static bool AreOneCluster(params MeshPeer[] peers)
    {
        var nodes = peers.Select(p => p.Node).Order(StringComparer.Ordinal).ToImmutableArray();
        return peers.All(p => p.IsRunning && p.View.Unreachable.IsEmpty && p.View.Members.Count == nodes.Length && p.Up.SequenceEqual(nodes))
            && peers.Select(p => p.View.Leader).Distinct().Count() == 1;
    }

    /// <summary>Waits until the forwarding halves of these know exactly these as reachable members.</summary>
    public Task TellsItsNodeAsync(params MeshPeer[] peers)
    {
        var members = peers.Select(p => new MeshMember(p.Address, p.Node, true)).OrderBy(m => m.Node, StringComparer.Ordinal).ToImmutableArray();
        return UntilAsync(() => peers.All(p => p.Half.Members.SequenceEqual(members)), "the nodes know the members");
    }

    /// <summary>Waits for a condition, for a long time but not for ever.</summary>
    public Task UntilAsync(Func<bool> condition, string what) => UntilAsync(() => Task.FromResult(condition()), what);

    public async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        var begun = TimeProvider.System.GetTimestamp();
        while (!await condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(begun) < Patience, $"never: {what}\n{string.Join("\n", _peers)}");
            await Task.Delay(LookEvery);
        }
    }

    /// <summary>The one among these that reads the datastore for all, as soon as there is exactly one and its watches stand.</summary>
    public async Task<MeshPeer> WatcherAsync(params MeshPeer[] peers)
    {
        // The audit of IPAM is where the feed is: both are with the oldest member.
        var watched = Calico.Actors.Feed.FeedActor.Prefixes.Add(IpamKeys.BlockPrefix).Order(StringComparer.Ordinal).ToImmutableArray();
        await UntilAsync(() => peers.SelectMany(p => p.Store.OpenWatches).Order(StringComparer.Ordinal).SequenceEqual(watched)
            && peers.Count(p => !p.Store.OpenWatches.IsEmpty) == 1, "one member watches the datastore");
        return peers.Single(p => !p.Store.OpenWatches.IsEmpty);
    }

    public async Task<long> PutAsync(string key, ReadOnlyMemory<byte> value)
    {
        var result = await Datastore.CommitAsync(new Transaction([], [Write.Put(key, value)]));
        return result.Revision;
    }

    public Task DeleteAsync(string key) => Datastore.CommitAsync(new Transaction([], [Write.Delete(key)]));

    /// <summary>Waits until the record in the datastore names these members and no others.</summary>
    public Task RecordNamesAsync(params MeshPeer[] peers)
    {
        var addresses = peers.Select(p => p.Address).Order(StringComparer.Ordinal).ToImmutableArray();
        return UntilAsync(async () => await RecordAsync() is { } r && r.Members.Order(StringComparer.Ordinal).SequenceEqual(addresses),
            $"the record names {string.Join(" ", addresses)}");
    }

    public async Task<BootstrapRecord?> RecordAsync() =>
        await Datastore.GetAsync(BootstrapRecord.Key) is { } stored ? BootstrapRecord.FromJson(stored.Value) : null;

    public async ValueTask DisposeAsync()
    {
        await KillAsync([.. _peers.Where(p => p.IsRunning)]);
        await NodeHalves.Terminate();
        foreach (var peer in _peers)
        {
            foreach (var line in peer.Log)
                output.WriteLine($"{peer.Node} {line}");
        }
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}

/// <summary>Hosts that answer, or since some moment do not.</summary>
internal sealed class ProbedHosts : IHostProbe
{
    public volatile bool Answer = true;

    public Task<bool> AnswersAsync(IpAddr address, CancellationToken cancellation) => Task.FromResult(Answer);
}
