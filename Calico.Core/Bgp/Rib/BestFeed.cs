using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// The Adj-RIB-Out of a peer that is told the best route of each prefix, without a copy of its routes: one bit says that
/// a prefix was announced, one that it must be looked at again.
/// </summary>
internal sealed class BestFeed<T>(RibTable<T> table, RibPeer target, INextHopResolver resolver)
    : ExportFeed<T>(table, target, resolver)
    where T : unmanaged, IPrefix<T>
{
    private readonly IdSet _advertised = new();

    public override int Advertised => _advertised.Count;
    protected override bool PathIds => false;

    public override void AddTold(int id, ImmutableArray<RibRoute>.Builder into)
    {
        if (_advertised.Contains(id))
            AddTold(Table.BestPath(id), 0, into);
    }

    protected override void MarkAdvertised()
    {
        for (var id = _advertised.Next(0); id >= 0; id = _advertised.Next(id + 1))
            Mark(id);
    }

    protected override bool WriteRoutes(ref UpdateWriter<T> w)
    {
        var current = Group.Fresh;
        while (Dirty.Count > 0)
        {
            var id = NextOf(Dirty);
            // A prefix without a route leaves the table once its loss is told.
            if (Table.Plan.TryPeekAhead(RibTable<T>.TouchedAhead, out var later) && Table.PrefixTable[later] is { FirstPath: < 0, Key: var key })
                Table.PrefixTable.Touch(key);
            if (Dirty.Contains(id) && !Write(ref w, id, ref current))
                return true;
            Table.Plan.Advance();
        }
        return false;
    }

    private bool Write(ref UpdateWriter<T> w, int id, ref Group current)
    {
        var group = Export(Table.BestPath(id), out var source, out var told);
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
        if (!w.TryAdd(Table.PrefixTable[id].Key))
            return false;
        if (group.Set == AttributeTable.None)
            _advertised.Remove(id);
        else
            _advertised.Add(id);
        Done(id);
        return true;
    }

    protected override int SetOf(int id) => Export(Table.BestPath(id), out _, out _).Set;
}
