using System.Collections.Immutable;
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

    /// <summary>Adds what the peer has been told of a prefix and what holds still, as it sees it.</summary>
    void AddTold(int id, ImmutableArray<RibRoute>.Builder into);

    /// <summary>What may be told, or how, changed inside these ranges, or anywhere: that is looked at again.</summary>
    void Retarget(RibPeer target, ImmutableArray<Cidr>? within);

    /// <summary>The routes of this machine changed, and with them perhaps the way to the peer.</summary>
    void Relink(INextHopResolver resolver, IReadOnlyCollection<Cidr>? changed);
}

/// <summary>
/// What the two kinds of feeds have in common. Prefixes are written in groups of one attribute set each, so that
/// messages are full; what to say is computed when it is said. However far the peer lags, this does not grow.
/// </summary>
internal abstract class ExportFeed<T>(RibTable<T> table, RibPeer target, INextHopResolver resolver) : IExportFeed
    where T : unmanaged, IPrefix<T>
{
    // What the prefixes of one run of messages have in common. The originator counts only where a route is reflected.
    protected readonly record struct Group(int Set, bool Transit, RouterId Originator)
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

    private byte[] _attributes = new byte[512];
    private readonly byte[] _nextHop = new byte[16];
    private Refreshing _refresh;
    private bool _endOfRibOwed = true;
    private int _planned;
    private NextHopResolution _link = resolver.Resolve(target.Address);

    public RibPeer Target { get; private set; } = target;

    public abstract int Advertised { get; }
    public long UpdatesSent { get; private set; }

    /// <summary>Prefixes to look at again; each is pinned.</summary>
    protected IdSet Dirty { get; } = new();

    protected RibTable<T> Table { get; } = table;

    /// <summary>Whether prefixes go out with path identifiers.</summary>
    protected abstract bool PathIds { get; }

    protected virtual bool HasMarks => Dirty.Count > 0;

    public bool HasWork(bool endOfRibAllowed) =>
        HasMarks || _refresh != Refreshing.No || (_endOfRibOwed && endOfRibAllowed);

    public void Mark(int id)
    {
        if (Dirty.Add(id))
            Table.Pin(id);
    }

    public virtual void MarkAll()
    {
        for (var id = 0; id < Table.PrefixTable.Top; id++)
        {
            if (Table.PrefixTable[id].FirstPath >= 0)
                Mark(id);
        }
    }

    public void Refresh()
    {
        if (Target.EnhancedRefresh)
            _refresh = Refreshing.Begin;
        MarkAll();
    }

    public void Retarget(RibPeer changed, ImmutableArray<Cidr>? within)
    {
        Target = changed;
        if (within is { } ranges)
        {
            MarkWithin(ranges);
            return;
        }
        MarkAdvertised();
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
        for (var id = Dirty.Next(0); id >= 0; id = Dirty.Next(id + 1))
            Done(id);
        Table.Plan.Release(this);
    }

    public int Fill(Span<byte> buffer, bool endOfRibAllowed)
    {
        var prologue = WriteMark(buffer, Refreshing.Begin, RefreshSubtype.BeginOfRouteRefresh);
        var w = new UpdateWriter<T>(buffer[prologue..], Target.Context.MaxMessageLength, PathIds);
        var full = WriteRoutes(ref w);
        w.End();
        if (!full && _endOfRibOwed && endOfRibAllowed && w.TryWriteEndOfRib())
            _endOfRibOwed = false;
        UpdatesSent += w.Messages;
        var written = prologue + w.Written.Length;
        return full ? written
            : written + WriteMark(buffer[written..], Refreshing.Running, RefreshSubtype.EndOfRouteRefresh);
    }

    /// <summary>Writes what is due; true if the buffer is full before the end.</summary>
    protected abstract bool WriteRoutes(ref UpdateWriter<T> w);

    /// <summary>Marks what the peer was told.</summary>
    protected abstract void MarkAdvertised();

    /// <summary>Marks all that is to be said of a prefix.</summary>
    protected virtual void MarkPrefix(int id) => Mark(id);

    // What has been told and has no path any more is marked already. A walk over the keys, whatever the ranges.
    private void MarkWithin(ImmutableArray<Cidr> ranges)
    {
        for (var id = 0; id < Table.PrefixTable.Top && !ranges.IsEmpty; id++)
        {
            ref readonly var entry = ref Table.PrefixTable[id];
            if (entry.FirstPath < 0)
                continue;
            var prefix = entry.Key.ToCidr();
            foreach (var range in ranges)
            {
                if (!range.Contains(prefix))
                    continue;
                MarkPrefix(id);
                break;
            }
        }
    }

    /// <summary>The next of the dirty numbers to write; there is one. Whether it is still dirty must be looked at.</summary>
    protected int NextOf(IdSet dirty)
    {
        int id;
        while (!Table.Plan.TryPeek(this, out id))
            BuildPlan(dirty);
        return id;
    }

    // Goes on behind what was planned before, so that what changes all the time does not hold up the rest.
    private void BuildPlan(IdSet dirty)
    {
        Table.Plan.Begin(this, Table.Attributes.Capacity);
        var id = dirty.Next(_planned);
        if (id < 0)
            id = dirty.Next(0);
        for (; id >= 0 && !Table.Plan.IsFull; id = dirty.Next(id + 1))
            Table.Plan.Add(id, SetOf(id));
        Table.Plan.End();
        _planned = Math.Max(id, 0);
    }

    /// <summary>With which attributes a dirty number would be written at this moment.</summary>
    protected abstract int SetOf(int id);

    protected void Done(int id)
    {
        Dirty.Remove(id);
        Table.Unpin(id);
    }

    /// <summary>
    /// Returns the group, or that of withdrawn routes if its set is too long for a message to this peer (RFC 8654
    /// section 4).
    /// </summary>
    protected Group BeginGroup(ref UpdateWriter<T> w, Group group, RibPeer source, IpAddr told, ref Group current)
    {
        w.End();
        current = Group.Fresh;
        var canonical = Table.Attributes.Octets(group.Set);
        if (_attributes.Length < AttributeEdits.Bound(canonical.Length))
            _attributes = new byte[AttributeEdits.Bound(canonical.Length) * 2];
        var attributes = new WireWriter(_attributes);
        ExportRules.Edits(told, source, Target, Table.ClusterId).Write(ref attributes, canonical);
        if (!UpdateRoom.Fits(multiprotocol: !told.IsV4, attributes.Position, Target.Context.MaxMessageLength, PathIds))
            return Group.Withdrawn;
        Span<byte> nextHop = _nextHop;
        w.BeginAnnounce(_attributes.AsSpan(0, attributes.Position), nextHop[..told.WriteTo(nextHop)]);
        current = group;
        return group;
    }

    public abstract void AddTold(int id, ImmutableArray<RibRoute>.Builder into);

    /// <summary>Adds a path as the peer sees it, if it shall have it.</summary>
    protected void AddTold(int path, uint pathId, ImmutableArray<RibRoute>.Builder into)
    {
        var group = Export(path, out var source, out var told);
        if (group.Set == AttributeTable.None)
            return;
        var canonical = Table.Attributes.Octets(group.Set);
        var seen = new WireWriter(new byte[AttributeEdits.Bound(canonical.Length)]);
        // As an agreement on four-octet AS numbers would have it, which is how sets are stored.
        (ExportRules.Edits(told, source!, Target, Table.ClusterId) with { FourOctetAs = true, NextHop = null }).Write(ref seen, canonical);
        into.Add(Table.RouteOf(path) with { NextHop = told, Attributes = PathAttributes.Decode(seen.Written), PathId = pathId });
    }

    /// <summary>What to announce a path with; the group of withdrawn routes if the peer shall not have it.</summary>
    protected Group Export(int path, out RibPeer? source, out IpAddr told)
    {
        source = null;
        told = default;
        if (path < 0)
            return Group.Withdrawn;
        ref readonly var entry = ref Table.Path(path);
        source = Table.Peer(entry.Peer);
        var set = entry.Attributes;
        if (!ExportRules.Allows(Table.Attributes.Facts(set), source, Target))
            return Group.Withdrawn;
        if (Target.Export is { } policy)
            set = policy.Apply(new PolicyRoute(Table.PrefixTable[entry.Prefix].Key.ToCidr(), set, source, Target),
                Table.Attributes);
        var transit = ExportRules.IsTransit(source, Target);
        return set != AttributeTable.None
            && ExportRules.TryNextHop(T.Family, Table.Attributes.Hop(set), Target, _link, transit, out told)
            ? new Group(set, transit, ExportRules.IsReflected(source, Target) ? source.RouterId : default)
            : Group.Withdrawn;
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
