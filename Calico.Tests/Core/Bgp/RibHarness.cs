using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Tests.Core.Bgp;

/// <summary>A RIB with peers that remember what they were told, and a kernel that remembers its routes.</summary>
internal sealed class RibHarness
{
    public static readonly Asn Own = new(64512);
    public static readonly RouterId OwnId = RouterId.Parse("10.0.0.100");

    private readonly UpdateDecoder _decoder = new();
    private readonly Dictionary<ushort,
        (RibPeer Peer, Dictionary<(Cidr Prefix, uint PathId), (PathAttributes Attributes, IpAddr NextHop)> Told,
        Families EndOfRib)> _peers = [];

    public RibHarness(INextHopResolver? resolver = null, RouterId? clusterId = null)
    {
        var config = new RibConfig(Own, OwnId)
        {
            OwnAddresses = [IpAddr.Parse("10.0.0.100")],
            ClusterId = clusterId ?? OwnId,
        };
        Rib = new Rib(config, resolver) { EndOfRibAllowed = true };
    }

    public Rib Rib { get; }
    public Dictionary<Cidr, BestRoute> Kernel { get; } = [];
    public List<string> Order { get; } = [];

    public static RibPeer Peer(ushort index, bool isInternal, IRoutePolicy? import = null, IRoutePolicy? export = null,
        bool enhanced = false, bool client = false, bool addPath = false) => new()
        {
            Index = index,
            Address = IpAddr.FromV4(0x0A000000u + index),
            As = isInternal ? Own : new Asn(65000u + index),
            LocalAs = Own,
            RouterId = new RouterId(0x0A000000u + index),
            Context = new WireContext(true, false, isInternal, Families.Both)
            {
                PathIdsIn = addPath ? Families.Both : Families.None,
                PathIdsOut = addPath ? Families.Both : Families.None,
            },
            NextHopV4 = IpAddr.Parse("10.0.0.100"),
            NextHopV6 = IpAddr.Parse("fd00::100"),
            Import = import,
            Export = export,
            EnhancedRefresh = enhanced,
            ReflectorClient = client,
        };

    public void Up(RibPeer peer)
    {
        _peers[peer.Index] = (peer, [], Families.None);
        Rib.PeerUp(peer);
    }

    public void Change(RibPeer peer)
    {
        _peers[peer.Index] = (peer, _peers[peer.Index].Told, _peers[peer.Index].EndOfRib);
        Rib.PeerChanged(peer);
    }

    public void Down(ushort peer, Families keep = Families.None)
    {
        _peers.Remove(peer);
        Rib.PeerDown(peer, keep);
    }

    public bool IsUp(ushort peer) => _peers.ContainsKey(peer);

    /// <summary>What a peer without ADD-PATH was told.</summary>
    public IReadOnlyDictionary<Cidr, (PathAttributes Attributes, IpAddr NextHop)> Told(ushort peer) =>
        _peers[peer].Told.ToDictionary(t => t.Key.Prefix, t => t.Value);

    /// <summary>The paths that a peer was told of a prefix.</summary>
    public IEnumerable<(PathAttributes Attributes, IpAddr NextHop)> Paths(ushort peer, Cidr prefix) =>
        _peers[peer].Told.Where(t => t.Key.Prefix == prefix).Select(t => t.Value);

    public Families EndOfRib(ushort peer) => _peers[peer].EndOfRib;

    public void Announce(RibPeer from, PathAttributes attributes, string nextHop, params string[] prefixes) =>
        Announce(from, attributes, IpAddr.Parse(nextHop), [.. prefixes.Select(p => Cidr.Parse(p))]);

    public void Announce(RibPeer from, PathAttributes attributes, IpAddr nextHop, IReadOnlyList<Cidr> prefixes,
        uint pathId = 0)
    {
        if (prefixes[0].IsV4)
            Apply<Prefix4>(from, attributes, nextHop, prefixes, pathId);
        else
            Apply<Prefix6>(from, attributes, nextHop, prefixes, pathId);
    }

    public void Withdraw(RibPeer from, params string[] prefixes) =>
        Withdraw(from, [.. prefixes.Select(p => Cidr.Parse(p))]);

    public void Withdraw(RibPeer from, IReadOnlyList<Cidr> prefixes, uint pathId = 0)
    {
        if (prefixes[0].IsV4)
            Apply<Prefix4>(from, null, default, prefixes, pathId);
        else
            Apply<Prefix6>(from, null, default, prefixes, pathId);
    }

    public void Mark(RibPeer from, RouteAction action, Families family)
    {
        var batch = new RouteBatch();
        batch.AddMark(action, family);
        Rib.Apply(from.Index, batch);
    }

    /// <summary>Takes some of what is due; true while there is more.</summary>
    public bool TakeSome(int bufferSize, int routes)
    {
        var more = false;
        foreach (var route in Rib.TakeBest(routes))
        {
            if (route.IsGone)
                Kernel.Remove(route.Prefix);
            else
                Kernel[route.Prefix] = route;
        }
        foreach (var index in _peers.Keys.ToList())
        {
            var buffer = new byte[bufferSize];
            Deliver(index, buffer.AsSpan(0, Rib.FillUpdates(index, buffer)));
            more |= Rib.HasUpdates(index);
        }
        return more || Rib.HasBestChanges;
    }

    public void TakeAll()
    {
        while (TakeSome(70_000, 1000))
        {
        }
    }

    private void Apply<T>(RibPeer from, PathAttributes? attributes, IpAddr nextHop, IReadOnlyList<Cidr> prefixes,
        uint pathId)
        where T : unmanaged, IPrefix<T>
    {
        var w = new UpdateWriter<T>(new byte[200_000], 4096, from.Context.PathIdsIn.Has(T.Family));
        if (attributes is null)
        {
            w.BeginWithdraw();
        }
        else
        {
            var set = new WireWriter(new byte[8192]);
            new AttributeEdits { FourOctetAs = true, NextHop = nextHop.IsV4 ? nextHop : null }.Write(ref set,
                attributes.Encode());
            w.BeginAnnounce(set.Written.ToArray(), nextHop.ToBytes());
        }
        foreach (var prefix in prefixes)
            Assert.True(w.TryAdd(T.From(prefix), pathId));
        w.End();
        var batch = new RouteBatch();
        ForEachMessage(w.Written, from.Context, (UpdateView update) => batch.Add(update));
        Rib.Apply(from.Index, batch);
    }

    private void Deliver(ushort index, ReadOnlySpan<byte> stream)
    {
        var (peer, told, endOfRib) = _peers[index];
        var ids = peer.Context.PathIdsOut != Families.None;
        ForEachMessage(stream, peer.Context with { PathIdsIn = peer.Context.PathIdsOut }, (UpdateView update) =>
        {
            foreach (var path in Nlri.ToPaths<Prefix4>(update.Withdrawn, ids)
                .Concat(Nlri.ToPaths<Prefix6>(update.Multiprotocol.Withdrawn, ids)))
            {
                Assert.True(told.Remove(path), $"{path} was withdrawn from {index} and never announced");
                Order.Add($"{index} -{path.Prefix}");
            }
            var attributes = PathAttributes.Decode(update.Attributes);
            foreach (var path in Nlri.ToPaths<Prefix4>(update.Announced, ids))
                told[path] = (attributes, update.NextHop);
            var mp = update.Multiprotocol;
            foreach (var path in Nlri.ToPaths(mp.ReachFamily, mp.Announced, peer.Context.PathIdsOut))
                told[path] = (attributes, update.Multiprotocol.NextHop);
            endOfRib |= update.EndOfRib;
        }, refresh => Order.Add($"{index} {refresh.Subtype} {refresh.Family.Family}"));
        _peers[index] = (peer, told, endOfRib);
    }

    private delegate void OnUpdate(UpdateView update);

    private void ForEachMessage(ReadOnlySpan<byte> stream, WireContext context, OnUpdate onUpdate,
        Action<RouteRefreshMessage>? onRefresh = null)
    {
        while (!stream.IsEmpty)
        {
            Assert.Equal(FrameStatus.Complete,
                BgpFraming.Inspect(stream, context.MaxMessageLength, out var type, out var length, out _));
            var body = stream[19..length];
            if (type == MessageType.RouteRefresh)
            {
                Assert.True(RouteRefreshMessage.TryDecode(body, out var refresh, out _));
                onRefresh!(refresh);
            }
            else
            {
                Assert.Equal(MessageType.Update, type);
                Assert.True(_decoder.TryDecode(body, context, out var update, out var error), error?.Reason);
                Assert.Equal(AttributeVerdict.Accept, update.Verdict);
                onUpdate(update);
            }
            stream = stream[length..];
        }
    }
}
