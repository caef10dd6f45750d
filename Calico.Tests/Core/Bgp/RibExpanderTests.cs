using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;
using CsCheck;

namespace Calico.Tests.Core.Bgp;

/// <summary>
/// Random histories of announcements, withdrawals, sessions, restarts, peers that become or cease to be clients of our
/// reflector, and next hop changes, read out at random moments
/// in random portions; in the end kernel and peers must hold what the naive computation from the final routes says.
/// </summary>
[Layer("unit")]
public class RibExpanderTests
{
    private const int Peers = 6;

    // Two of four inside are clients at first; two are outside. One here and one there knows ADD-PATH.
    private static readonly RibPeer[] Initial = [.. Enumerable.Range(1, Peers)
        .Select(i => RibHarness.Peer((ushort)i, isInternal: i <= 4, client: i is 2 or 4, addPath: i is 4 or 6))];

    private static readonly IpAddr External = Initial[4].Address;

    private static readonly Cidr[] Prefixes =
    [
        .. Enumerable.Range(0, 6).Select(i => Cidr.Parse($"10.65.{i}.0/26")),
        .. Enumerable.Range(0, 3).Select(i => Cidr.Parse($"fd00:65:{i}::/64")),
    ];

    private enum Kind
    {
        Announce,
        Withdraw,
        Down,
        Restart,
        Up,
        Sweep,
        Originate,
        WithdrawLocal,
        Resolve,
        Client,
        Take,
    }

    private static readonly Gen<(Kind Kind, int Peer, int Prefix, int Set, int Hop, uint PathId)> Steps = Gen.Select(
        Gen.Frequency((8, Gen.Const(Kind.Announce)), (3, Gen.Const(Kind.Withdraw)), (1, Gen.Const(Kind.Down)),
            (1, Gen.Const(Kind.Restart)),
            (2, Gen.Const(Kind.Up)), (1, Gen.Const(Kind.Sweep)), (1, Gen.Const(Kind.Originate)),
                (1, Gen.Const(Kind.WithdrawLocal)),
            (1, Gen.Const(Kind.Resolve)), (1, Gen.Const(Kind.Client)), (3, Gen.Const(Kind.Take))),
        Gen.Int[0, Peers - 1], Gen.Int[0, Prefixes.Length - 1], Gen.Int[0, 11], Gen.Int[0, 3], Gen.UInt[0, 2]);

    [Fact]
    public void Any_history_ends_where_a_computation_from_scratch_ends() =>
        Steps.Array[1, 120].Sample(steps => Run(steps), iter: 500);

    [Fact]
    public void The_same_final_routes_in_another_order_end_the_same() =>
        Gen.Select(Steps.Where(s => s.Kind == Kind.Announce).Array[1, 40], Gen.Int).Sample((steps, seed) =>
        {
            // Only the last announcement of a path counts; permuted, reversed, doubled.
            var last = steps.Reverse().DistinctBy(s => (s.Peer, s.Prefix, IdOf(Initial[s.Peer], s.PathId))).ToArray();
            var shuffled = ((Kind, int, int, int, int, uint)[])last.Clone();
            new Random(seed).Shuffle(shuffled);
            var reference = Run(steps);
            Assert.Equal(reference, Run(last));
            Assert.Equal(reference, Run([.. shuffled, .. shuffled]));
        }, iter: 100);

    private static string Run((Kind Kind, int Peer, int Prefix, int Set, int Hop, uint PathId)[] steps)
    {
        var resolver = new Resolver(0);
        var net = new RibHarness(resolver);
        var model = new Dictionary<(ushort Peer, Cidr Prefix, uint PathId), (int Set, IpAddr Hop, bool Stale)>();
        var local = new Dictionary<Cidr, PathAttributes>();
        var all = (RibPeer[])Initial.Clone();
        foreach (var peer in all)
            net.Up(peer);
        foreach (var (kind, number, prefixIndex, set, hop, wantedId) in steps)
        {
            var peer = all[number];
            var id = IdOf(peer, wantedId);
            var prefix = Prefixes[prefixIndex];
            switch (kind)
            {
                case Kind.Announce when net.IsUp(peer.Index):
                    net.Announce(peer, SetOf(peer, set), HopOf(prefix, hop), [prefix], id);
                    if (SetOf(peer, set).ClusterList.Contains(RibHarness.OwnId))
                        model.Remove((peer.Index, prefix, id));
                    else
                        model[(peer.Index, prefix, id)] = (set, HopOf(prefix, hop), false);
                    break;
                case Kind.Withdraw when net.IsUp(peer.Index):
                    net.Withdraw(peer, [prefix], id);
                    model.Remove((peer.Index, prefix, id));
                    break;
                case Kind.Down when net.IsUp(peer.Index):
                    net.Down(peer.Index);
                    Remove(model, peer.Index, _ => true);
                    break;
                case Kind.Restart when net.IsUp(peer.Index):
                    net.Down(peer.Index, Families.Both);
                    Remove(model, peer.Index, r => r.Stale);
                    foreach (var key in model.Keys.Where(k => k.Peer == peer.Index).ToList())
                        model[key] = model[key] with { Stale = true };
                    break;
                case Kind.Up when !net.IsUp(peer.Index):
                    net.Up(peer);
                    break;
                case Kind.Sweep:
                    net.Rib.SweepStale(peer.Index, Families.Both);
                    Remove(model, peer.Index, r => r.Stale);
                    break;
                case Kind.Originate:
                    local[prefix] = new PathAttributes { Med = (uint)set };
                    net.Rib.Originate(prefix, local[prefix]);
                    break;
                case Kind.WithdrawLocal:
                    local.Remove(prefix);
                    net.Rib.WithdrawLocal(prefix);
                    break;
                case Kind.Resolve:
                    resolver = new Resolver(set);
                    net.Rib.ResolveNextHops(resolver);
                    break;
                case Kind.Client:
                    all[number] = peer with { ReflectorClient = !peer.ReflectorClient };
                    if (net.IsUp(peer.Index))
                        net.Change(all[number]);
                    break;
                case Kind.Take:
                    net.TakeSome(4096 + (50 * set), 1 + hop);
                    break;
            }
        }
        net.TakeAll();
        // The RIB hears of a peer's new part only while its session is up.
        foreach (var peer in all.Where(p => !net.IsUp(p.Index)))
            net.Up(peer);
        net.TakeAll();
        return Compare(net, all, model, local, resolver);
    }

    private static uint IdOf(RibPeer peer, uint wanted) => peer.Context.PathIdsIn == Families.None ? 0 : wanted;

    private static string Compare(RibHarness net, RibPeer[] all, Dictionary<(ushort Peer, Cidr Prefix, uint PathId),
        (int Set, IpAddr Hop, bool Stale)> model,
        Dictionary<Cidr, PathAttributes> local, Resolver resolver)
    {
        var summary = new List<string>();
        foreach (var prefix in Prefixes)
        {
            var feasible = Feasible(prefix, all, model, resolver);
            var best = NaiveBest(feasible, resolver);
            var kernel = local.ContainsKey(prefix) ? [] : best.Select(b => b.Hop).Distinct().Order().ToList();
            Assert.Equal(kernel, net.Kernel.TryGetValue(prefix, out var route) ? route.NextHops.Select(h => h.NextHop)
                .Order() : []);
            foreach (var target in all.Where(t => t.Context.PathIdsOut != Families.None))
            {
                Assert.Equal(Sorted(ExpectedPaths(prefix, target, feasible, local, resolver)),
                    Sorted(net.Paths(target.Index, prefix)));
            }
            foreach (var target in all.Where(t => t.Context.PathIdsOut == Families.None))
            {
                var expected = Expected(prefix, target, best, local, resolver);
                var told = net.Told(target.Index).TryGetValue(prefix, out var seen) ? seen
                    : default((PathAttributes Attributes, IpAddr NextHop)?);
                Assert.Equal(expected, told);
            }
            summary.Add($"{prefix} {string.Join(',', kernel)}");
        }
        Assert.Equal(local.Count + model.Count, net.Rib.Dump(Families.Ipv4Unicast)
            .Count() + net.Rib.Dump(Families.Ipv6Unicast).Count());
        return string.Join('\n', summary);
    }

    private static List<(RibPeer Peer, PathAttributes Set, IpAddr Hop, uint PathId)> Feasible(Cidr prefix, RibPeer[] all,
        Dictionary<(ushort Peer, Cidr Prefix, uint PathId), (int Set, IpAddr Hop, bool Stale)> model, Resolver resolver) =>
        [.. model.Where(r => r.Key.Prefix == prefix && resolver.Resolve(r.Value.Hop).Reachable).Select(r =>
            (all[r.Key.Peer - 1], SetOf(all[r.Key.Peer - 1], r.Value.Set), r.Value.Hop, r.Key.PathId))];

    // Written independently of the product: sort by everything but MED, after MED has removed its losers.
    private static List<(RibPeer Peer, PathAttributes Set, IpAddr Hop, uint PathId)> NaiveBest(
        List<(RibPeer Peer, PathAttributes Set, IpAddr Hop, uint PathId)> routes, Resolver resolver)
    {
        routes = Least(routes, r => -(long)(r.Set.LocalPref ?? 100));
        routes = Least(routes, r => r.Set.AsPath.Hops);
        routes = Least(routes, r => (int)r.Set.Origin);
        routes = [.. routes.GroupBy(r => r.Set.AsPath.First).SelectMany(g => Least([.. g], r => r.Set.Med ?? 0))];
        routes = Least(routes, r => r.Peer.IsExternal ? 0 : 1);
        routes = Least(routes, r => resolver.Resolve(r.Hop).Metric);
        return [.. routes.OrderBy(r => r.Set.OriginatorId ?? r.Peer.RouterId).ThenBy(r => r.Set.ClusterList.Length)
            .ThenBy(r => r.Peer.Address).ThenBy(r => r.PathId)];
    }

    private static (PathAttributes, IpAddr)? Expected(Cidr prefix, RibPeer target,
        List<(RibPeer Peer, PathAttributes Set, IpAddr Hop, uint PathId)> best,
        Dictionary<Cidr, PathAttributes> local, Resolver resolver) =>
        local.TryGetValue(prefix, out var ours) ? OwnLook(prefix, target, ours)
            : best.Count == 0 ? null
            : Look(prefix, target, best[0], resolver);

    private static IEnumerable<(PathAttributes, IpAddr)> ExpectedPaths(Cidr prefix, RibPeer target,
        List<(RibPeer Peer, PathAttributes Set, IpAddr Hop, uint PathId)> feasible,
        Dictionary<Cidr, PathAttributes> local, Resolver resolver)
    {
        var paths = feasible.Select(r => Look(prefix, target, r, resolver)).OfType<(PathAttributes, IpAddr)>();
        return local.TryGetValue(prefix, out var ours) ? paths.Append(OwnLook(prefix, target, ours)) : paths;
    }

    private static IEnumerable<string> Sorted(IEnumerable<(PathAttributes Attributes, IpAddr NextHop)> paths) =>
        paths.Select(p => $"{p.NextHop} {Convert.ToHexString(p.Attributes.Encode())}").Order(StringComparer.Ordinal);

    private static (PathAttributes, IpAddr) OwnLook(Cidr prefix, RibPeer target, PathAttributes ours)
    {
        var own = prefix.IsV4 ? target.NextHopV4!.Value : target.NextHopV6!.Value;
        return target.IsInternal ? (ours with { LocalPref = 100 }, own)
            : (ours with { AsPath = AsPath.Sequence(64512) }, own);
    }

    private static (PathAttributes, IpAddr)? Look(Cidr prefix, RibPeer target,
        (RibPeer Peer, PathAttributes Set, IpAddr Hop, uint PathId) route, Resolver resolver)
    {
        var own = prefix.IsV4 ? target.NextHopV4!.Value : target.NextHopV6!.Value;
        var (source, set, hop, _) = route;
        if (source.Index == target.Index)
            return null;
        if (target.IsInternal && source.IsInternal)
        {
            var originator = set.OriginatorId ?? source.RouterId;
            return hop == target.Address || originator == target.RouterId
                || !(source.ReflectorClient || target.ReflectorClient)
                ? null
                : (set with { OriginatorId = originator, ClusterList = [RibHarness.OwnId, .. set.ClusterList] }, hop);
        }
        if (target.IsInternal)
            return hop == target.Address ? null : (set with { LocalPref = set.LocalPref ?? 100 }, hop);
        var outside = set with
        {
            AsPath = Prepend(set.AsPath),
            LocalPref = null,
            Med = null,
            OriginatorId = null,
            ClusterList = [],
        };
        if (source.IsExternal)
            return (outside, own);
        var way = resolver.Resolve(hop);
        if (way.Gateway == target.Address)
            return null;
        var peer = resolver.Resolve(target.Address);
        var shared = way.Gateway is null && peer is { Reachable: true, Gateway: null } && way.LinkIndex == peer.LinkIndex;
        return (outside with { Med = 1 }, shared && way.LinkIndex != 0 ? hop : own);
    }

    private static AsPath Prepend(AsPath path)
    {
        var rest = path.ToString();
        return AsPath.Sequence([64512, .. rest.Length == 0 ? [] : rest.Split(' ').Select(uint.Parse)]);
    }

    private static List<TRow> Least<TRow>(List<TRow> rows, Func<TRow, long> key) =>
        rows.Count == 0 ? rows : [.. rows.Where(r => key(r) == rows.Min(key))];

    private static void Remove(Dictionary<(ushort Peer, Cidr Prefix, uint PathId), (int Set, IpAddr Hop, bool Stale)> model,
        ushort peer,
        Func<(int Set, IpAddr Hop, bool Stale), bool> which)
    {
        foreach (var key in model.Where(r => r.Key.Peer == peer && which(r.Value)).Select(r => r.Key).ToList())
            model.Remove(key);
    }

    private static PathAttributes SetOf(RibPeer peer, int set) => new()
    {
        Origin = (Origin)(set % 2),
        AsPath = peer.IsInternal ? set % 3 == 0 ? AsPath.Empty : AsPath.Sequence(65005, 7)
            : AsPath.Sequence(peer.As.Value, (uint)(7 + (set % 2))),
        Med = set % 4 == 0 ? null : (uint)(set % 3),
        LocalPref = peer.IsInternal ? set > 9 ? 200u : 100u : null,
        OriginatorId = !peer.IsInternal ? null : set switch
        {
            1 or 5 => Initial[0].RouterId,
            3 or 11 => new RouterId(77),
            _ => null,
        },
        ClusterList = !peer.IsInternal ? [] : set switch
        {
            3 => [new RouterId(901)],
            5 => [new RouterId(901), new RouterId(902)],
            7 => [new RouterId(901), RibHarness.OwnId],
            _ => [],
        },
    };

    private static IpAddr HopOf(Cidr prefix, int hop) =>
        prefix.IsV4 ? IpAddr.FromV4(0xAC100000u + (uint)hop) : IpAddr.Parse("fd00:9::").Add((UInt128)(uint)(hop + 1));

    /// <summary>Decides by its number which next hops are reachable, how, and how far they are.</summary>
    private sealed class Resolver(int state) : INextHopResolver
    {
        public NextHopResolution Resolve(IpAddr nextHop)
        {
            var n = (int)((uint)nextHop.Bits & 3);
            if (((state >> n) & 1) != 0)
                return NextHopResolution.Unreachable;
            var gateway = (state + n) % 3 == 1 ? External : (IpAddr?)null;
            return new(true, gateway, n, (uint)((state + n) % 2));
        }
    }
}
