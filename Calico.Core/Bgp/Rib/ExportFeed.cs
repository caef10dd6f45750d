using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>One peer's view of one family's Adj-RIB-Out, whatever the family.</summary>
internal interface IExportFeed
{
    /// <summary>Something is left to be written, marks included.</summary>
    bool HasWork(bool endOfRibAllowed);

    RibPeer Target { get; }

    /// <summary>Prefixes that the peer has been told.</summary>
    int Advertised { get; }

    /// <summary>Writes whole messages into the buffer and returns how many octets; 0 when there is nothing to say.</summary>
    int Fill(Span<byte> buffer, bool endOfRibAllowed);

    /// <summary>The peer asked to hear everything again.</summary>
    void Refresh();

    long UpdatesSent { get; }

    /// <summary>What may be told, or how, changed: everything is looked at again.</summary>
    void Retarget(RibPeer target);

    /// <summary>The routes of this machine changed, and with them perhaps the way to the peer.</summary>
    void Relink(INextHopResolver resolver, IReadOnlyCollection<Cidr>? changed);
}

/// <summary>
/// The Adj-RIB-Out of a peer, without a copy of its routes: one bit says that a prefix was announced, one that it
/// must be looked at again, and what to say is computed when it is said. However far the peer lags, this does not
/// grow. Prefixes are written in groups of one attribute set each, so that messages are full.
/// </summary>
internal sealed class ExportFeed<T>(RibTable<T> table, RibPeer target, INextHopResolver resolver) : IExportFeed
    where T : unmanaged, IPrefix<T>
{
    // What the prefixes of one run of messages have in common. The originator counts only where a route is reflected.
    private readonly record struct Group(int Set, bool Transit, RouterId Originator)
    {
        public static readonly Group Fresh = new(int.MinValue, false, default);
        public static readonly Group Withdrawn = new(AttributeTable.None, false, default);
    }

    private enum Refreshing
    {
        No,
        Begin,
        Running,
    }

    private readonly IdSet _dirty = new();
    private readonly IdSet _advertised = new();
    private readonly ExportPlan _plan = new();
    private byte[] _attributes = new byte[512];
    private Refreshing _refresh;
    private bool _endOfRibOwed = true;
    private NextHopResolution _link = resolver.Resolve(target.Address);

    public RibPeer Target { get; private set; } = target;

    public int Advertised => _advertised.Count;
    public long UpdatesSent { get; private set; }

    public bool HasWork(bool endOfRibAllowed) =>
        _dirty.Count > 0 || _refresh != Refreshing.No || (_endOfRibOwed && endOfRibAllowed);

    public void Mark(int id)
    {
        if (_dirty.Add(id))
            table.Pin(id);
    }

    public void MarkAll()
    {
        for (var id = 0; id < table.PrefixTable.Top; id++)
        {
            if (table.PrefixTable[id].FirstPath >= 0)
                Mark(id);
        }
    }

    public void Refresh()
    {
        if (Target.EnhancedRefresh)
            _refresh = Refreshing.Begin;
        MarkAll();
    }

    public void Retarget(RibPeer changed)
    {
        Target = changed;
        for (var id = _advertised.Next(0); id >= 0; id = _advertised.Next(id + 1))
            Mark(id);
        MarkAll();
    }

    public void Relink(INextHopResolver newResolver, IReadOnlyCollection<Cidr>? changed)
    {
        if (changed is not null && !changed.Any(c => c.Contains(Target.Address)))
            return;
        var now = newResolver.Resolve(Target.Address);
        if (now == _link)
            return;
        _link = now;
        if (Target.IsExternal)
            MarkAll();
    }

    public void Clear()
    {
        for (var id = _dirty.Next(0); id >= 0; id = _dirty.Next(id + 1))
        {
            _dirty.Remove(id);
            table.Unpin(id);
        }
    }

    public int Fill(Span<byte> buffer, bool endOfRibAllowed)
    {
        var prologue = WriteMark(buffer, Refreshing.Begin, RefreshSubtype.BeginOfRouteRefresh);
        var w = new UpdateWriter<T>(buffer[prologue..], Target.Context.MaxMessageLength);
        var full = WriteRoutes(ref w);
        if (!full && _endOfRibOwed && endOfRibAllowed && w.TryWriteEndOfRib())
            _endOfRibOwed = false;
        UpdatesSent += w.Messages;
        var written = prologue + w.Written.Length;
        return full ? written
            : written + WriteMark(buffer[written..], Refreshing.Running, RefreshSubtype.EndOfRouteRefresh);
    }

    // True if the buffer is full.
    private bool WriteRoutes(ref UpdateWriter<T> w)
    {
        var current = Group.Fresh;
        while (_dirty.Count > 0)
        {
            if (!_plan.TryPeek(out var id))
            {
                BuildPlan();
                continue;
            }
            if (_dirty.Contains(id) && !Write(ref w, id, ref current))
            {
                w.End();
                return true;
            }
            _plan.Advance();
        }
        w.End();
        return false;
    }

    private bool Write(ref UpdateWriter<T> w, int id, ref Group current)
    {
        var group = Export(id, out var source, out var told);
        if (group.Set != AttributeTable.None && group != current)
            group = BeginGroup(ref w, group, source!, told, ref current);
        if (group.Set == AttributeTable.None)
        {
            if (!_advertised.Contains(id))
            {
                Done(id);
                return true;
            }
            if (current != Group.Withdrawn)
                w.BeginWithdraw();
            current = Group.Withdrawn;
        }
        if (!w.TryAdd(table.PrefixTable[id].Key))
            return false;
        if (group.Set == AttributeTable.None)
            _advertised.Remove(id);
        else
            _advertised.Add(id);
        Done(id);
        return true;
    }

    private void Done(int id)
    {
        _dirty.Remove(id);
        table.Unpin(id);
    }

    // Returns the group, or that of withdrawn routes if its set is too long for a message to this peer (RFC 8654
    // section 4).
    private Group BeginGroup(ref UpdateWriter<T> w, Group group, RibPeer source, IpAddr told, ref Group current)
    {
        w.End();
        current = Group.Fresh;
        var canonical = table.Attributes.Octets(group.Set);
        if (_attributes.Length < AttributeEdits.Bound(canonical.Length))
            _attributes = new byte[AttributeEdits.Bound(canonical.Length) * 2];
        var attributes = new WireWriter(_attributes);
        ExportRules.Edits(T.Family, told, source, Target, table.ClusterId).Write(ref attributes, canonical);
        if (!UpdateRoom.Fits(T.Family, attributes.Position, Target.Context.MaxMessageLength))
            return Group.Withdrawn;
        Span<byte> nextHop = _nextHop;
        w.BeginAnnounce(_attributes.AsSpan(0, attributes.Position), nextHop[..told.WriteTo(nextHop)]);
        current = group;
        return group;
    }

    private readonly byte[] _nextHop = new byte[16];

    // What to announce the prefix with; that of withdrawn routes if the peer shall not have it.
    private Group Export(int id, out RibPeer? source, out IpAddr told)
    {
        source = null;
        told = default;
        var best = table.BestPath(id);
        if (best < 0)
            return Group.Withdrawn;
        ref readonly var entry = ref table.Path(best);
        source = table.Peer(entry.Peer);
        var set = entry.Attributes;
        if (!ExportRules.Allows(table.Attributes.Facts(set), source, Target))
            return Group.Withdrawn;
        if (Target.Export is { } policy)
            set = policy.Apply(new PolicyRoute(table.PrefixTable[id].Key.ToCidr(), set, source, Target),
                table.Attributes);
        var transit = ExportRules.IsTransit(source, Target);
        return set != AttributeTable.None
            && ExportRules.TryNextHop(T.Family, table.Attributes.Hop(set), Target, _link, transit, out told)
            ? new Group(set, transit, ExportRules.IsReflected(source, Target) ? source.RouterId : default)
            : Group.Withdrawn;
    }

    private void BuildPlan()
    {
        _plan.Begin(table.Attributes.Capacity);
        for (var id = _dirty.Next(0); id >= 0; id = _dirty.Next(id + 1))
            _plan.Add(id, Export(id, out _, out _).Set);
        _plan.End();
    }

    private int WriteMark(Span<byte> buffer, Refreshing when, RefreshSubtype subtype)
    {
        if (_refresh != when)
            return 0;
        var message = new RouteRefreshMessage(AfiSafi.Of(T.Family), subtype).Encode();
        if (!message.AsSpan().TryCopyTo(buffer))
            return 0;
        _refresh = when == Refreshing.Begin ? Refreshing.Running : Refreshing.No;
        return message.Length;
    }
}
