using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using Akka.Actor;
using Akka.TestKit.Xunit2;
using Calico.Actors.Bgp;
using Calico.Actors.Dispatch;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Bgp;

/// <summary>
/// Speakers on loopback addresses of one port that nobody else has, each with a stand-in for the kernel's route
/// writer. Times are short; nothing is asserted about them.
/// </summary>
/// <param name="output">Where the log goes.</param>
/// <param name="level">Of the log.</param>
public abstract class SpeakerFixture(ITestOutputHelper output, string level = "DEBUG") : TestKit($"{Hocon}\nakka.loglevel = {level}", "bgp", output)
{
    private const string Hocon = StartedTimers.Hocon + """
        akka.actor.serialize-messages = off
        akka.suppress-json-serializer-warning = on
        """;

    private static int _network = Environment.ProcessId & 63;

    // 127.x.y.0/24 of its own for each test, so that tests may run side by side.
    private readonly int _x = 1 + (Interlocked.Increment(ref _network) % 250);
    private readonly int _y = Random.Shared.Next(1, 250);

    protected ushort Port { get; } = FreePort();

    protected IpAddr Address(int host) => IpAddr.Parse($"127.{_x}.{_y}.{host}");

    protected SpeakerConfig Config(int host, params PeerConfig[] peers) => new()
    {
        RouterId = RouterId.From(Address(host)),
        ListenAddresses = [Address(host)],
        ListenPort = Port,
        AddressV4 = Address(host),
        AddressV6 = IpAddr.Parse($"fd00::{host:x}"),
        Peers = [.. peers],
        ConvergenceTime = TimeSpan.FromSeconds(20),
    };

    protected PeerConfig Peer(int own, int peer) => new()
    {
        Name = $"Mesh_{Address(peer).ToString().Replace('.', '_')}",
        Address = Address(peer),
        Port = Port,
        As = Asn.CalicoDefault,
        SourceAddress = Address(own),
        Passive = PeerConfig.IsPassiveInMesh(Address(own), Address(peer)),
        ConnectRetryTime = TimeSpan.FromMilliseconds(200),
        ErrorWaitMin = TimeSpan.FromMilliseconds(300),
        ErrorWaitMax = TimeSpan.FromSeconds(1),
    };

    internal (Speaker One, Speaker Two) StartPair() => (Start(Config(1, Peer(1, 2))), Start(Config(2, Peer(2, 1))));

    internal Speaker Start(SpeakerConfig config, IActorRef? bfd = null)
    {
        var target = Sys.ActorOf(Props.Create(() => new RouteTarget()));
        var speaker = Sys.ActorOf(BgpSpeakerActor.Props(target, TimeProvider.System, bfd));
        var started = new Speaker(speaker, target);
        speaker.Tell(new BgpProtocol.ConfigureSpeaker(config));
        return started;
    }

    protected Task Eventually(Func<Task<bool>> condition, string what) =>
        AwaitAssertAsync(async () => Assert.True(await condition(), what), TimeSpan.FromSeconds(20),
            TimeSpan.FromMilliseconds(50));

    internal Task IsEstablished(Speaker speaker, int peers = 1) =>
        Eventually(async () => (await speaker.Status()).Peers.Count(p => p.Phase == SessionPhase.Established) == peers,
            "established");

    internal Task HasRoute(Speaker speaker, string prefix, params string[] nextHops) =>
        Eventually(async () => (await speaker.Routes()).TryGetValue(Cidr.Parse(prefix), out var route)
            && route.NextHops.Select(h => h.NextHop.ToString()).SequenceEqual(nextHops.Order(StringComparer.Ordinal)),
                $"route {prefix}");

    internal Task LacksRoute(Speaker speaker, string prefix) =>
        Eventually(async () => !(await speaker.Routes()).ContainsKey(Cidr.Parse(prefix)), $"no route {prefix}");

    private static ushort FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return (ushort)((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>A running speaker and what its kernel would hold.</summary>
    internal sealed class Speaker(IActorRef actor, IActorRef target)
    {
        public IActorRef Actor { get; } = actor;

        public Task<BgpProtocol.BgpStatus> Status() =>
            Actor.Ask<BgpProtocol.BgpStatus>(new BgpProtocol.GetBgpStatus(), TimeSpan.FromSeconds(5));

        public async Task<PeerStatus> PeerStatus() => Assert.Single((await Status()).Peers);

        public Task<ImmutableDictionary<Cidr, BestRoute>> Routes() =>
            target.Ask<ImmutableDictionary<Cidr, BestRoute>>("routes", TimeSpan.FromSeconds(5));

        public Task<ImmutableList<BgpProtocol.InitialConvergence>> Convergence() =>
            target.Ask<ImmutableList<BgpProtocol.InitialConvergence>>("convergence", TimeSpan.FromSeconds(5));

        public async Task<RibPage> Table(RibQuery query) =>
            (await Actor.Ask<BgpProtocol.BgpRoutes>(new BgpProtocol.GetBgpRoutes(query), TimeSpan.FromSeconds(5))).Page;

        /// <summary>How often a route was taken back from the kernel.</summary>
        public Task<int> Losses() => target.Ask<int>("losses", TimeSpan.FromSeconds(5));

        /// <summary>How often a route of this prefix was told to the kernel.</summary>
        public Task<int> Changes(string prefix) => target.Ask<int>(Cidr.Parse(prefix), TimeSpan.FromSeconds(5));

        public void Originate(params string[] prefixes)
        {
            Actor.Tell(new BgpProtocol.OriginateRoutes([.. prefixes.Select(p => OriginatedRoute.Of(Cidr.Parse(p)))],
                []));
            Actor.Tell(new BgpProtocol.OriginationComplete());
        }

        public void Withdraw(params string[] prefixes) =>
            Actor.Tell(new BgpProtocol.OriginateRoutes([], [.. prefixes.Select(p => Cidr.Parse(p))]));

        public void Configure(SpeakerConfig config) => Actor.Tell(new BgpProtocol.ConfigureSpeaker(config));
    }

    /// <summary>Keeps what a kernel would and acknowledges it.</summary>
    private sealed class RouteTarget : ReceiveActor
    {
        private readonly Dictionary<Cidr, BestRoute> _routes = [];
        private readonly List<BgpProtocol.InitialConvergence> _convergence = [];
        private readonly ConcurrentDictionary<Cidr, int> _changes = new();
        private int _losses;

        public RouteTarget()
        {
            Receive<BgpProtocol.BestRoutesChanged>(m =>
            {
                foreach (var route in m.Routes)
                {
                    _changes.AddOrUpdate(route.Prefix, 1, (_, n) => n + 1);
                    if (route.IsGone)
                        _losses += _routes.Remove(route.Prefix) ? 1 : 0;
                    else
                        _routes[route.Prefix] = route;
                }
                Sender.Tell(new BgpProtocol.BestRoutesApplied(m.Sequence));
            });
            Receive<BgpProtocol.InitialConvergence>(_convergence.Add);
            Receive<Cidr>(p => Sender.Tell(_changes.GetValueOrDefault(p)));
            Receive<string>(s => s == "routes", _ => Sender.Tell(_routes.ToImmutableDictionary()));
            Receive<string>(s => s == "losses", _ => Sender.Tell(_losses));
            Receive<string>(_ => Sender.Tell(_convergence.ToImmutableList()));
        }
    }
}
