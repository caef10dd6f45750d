using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Rib;

/// <summary>
/// The Adj-RIB-Out of a peer that takes several paths for a prefix (RFC 7911): it is told every path whose next hop can
/// be reached. A path's identifier is its number in the table plus one. Should the number go to another path of the same
/// prefix before the peer hears of it, that path replaces the first; of another prefix, the first is withdrawn, because
/// what was told is known by prefix and number.
/// </summary>
internal sealed class AllPathsFeed<T>(RibTable<T> table, RibPeer target, INextHopResolver resolver)
    : ExportFeed<T>(table, target, resolver)
    where T : unmanaged, IPrefix<T>
{
    private readonly ToldPaths _told = new();

    // Paths to tell or to tell anew. A marked prefix is only looked through for what must be withdrawn.
    private readonly IdSet _dirtyPaths = new();
    private readonly List<int> _gone = [];

    public override int Advertised => _told.Count;
    protected override bool PathIds => true;
    protected override bool HasMarks => base.HasMarks || _dirtyPaths.Count > 0;

    /// <summary>A path of a prefix came, changed or goes.</summary>
    public void MarkPath(int id, int path)
    {
        Mark(id);
        _dirtyPaths.Add(path);
    }

    public override void AddTold(int id, ImmutableArray<RibRoute>.Builder into)
    {
        var paths = new List<int>();
        _told.AddTo(paths, id);
        foreach (var path in paths.Where(p => Table.Path(p).Prefix == id && Table.IsFeasible(p)).Order())
            AddTold(path, IdOf(path), into);
    }

    public override void MarkAll()
    {
        MarkAdvertised();
        for (var path = 0; path < Table.PathTop; path++)
        {
            if (Table.Path(path).Prefix >= 0)
                _dirtyPaths.Add(path);
        }
    }

    protected override void MarkPrefix(int id)
    {
        Mark(id);
        for (var path = Table.PrefixTable[id].FirstPath; path >= 0; path = Table.Path(path).Next)
            _dirtyPaths.Add(path);
    }

    protected override void MarkAdvertised()
    {
        foreach (var id in _told.Prefixes)
            Mark(id);
    }

    protected override bool WriteRoutes(ref UpdateWriter<T> w) => !WriteWithdrawals(ref w) || !WritePaths(ref w);

    private bool WriteWithdrawals(ref UpdateWriter<T> w)
    {
        w.BeginWithdraw();
        for (var id = Dirty.Next(0); id >= 0; id = Dirty.Next(id + 1))
        {
            _gone.Clear();
            _told.AddTo(_gone, id);
            foreach (var path in _gone)
            {
                if (IsTold(id, path, out _, out _, out _))
                    continue;
                if (!w.TryAdd(Table.PrefixTable[id].Key, IdOf(path)))
                    return false;
                _told.Remove(id, path);
            }
            Done(id);
        }
        return true;
    }

    private bool WritePaths(ref UpdateWriter<T> w)
    {
        var current = Group.Withdrawn;
        while (_dirtyPaths.Count > 0)
        {
            var path = NextOf(_dirtyPaths);
            if (_dirtyPaths.Contains(path) && !Write(ref w, path, ref current))
                return false;
            _dirtyPaths.Remove(path);
            Table.Plan.Advance();
        }
        return true;
    }

    // A path that the peer shall not have is none of our business here: its prefix was looked through before.
    private bool Write(ref UpdateWriter<T> w, int path, ref Group current)
    {
        var id = Table.Path(path).Prefix;
        if (!IsTold(id, path, out var group, out var source, out var told))
            return true;
        if (group != current)
            group = BeginGroup(ref w, group, source!, told, ref current);
        if (group.Set == AttributeTable.None)
        {
            if (!_told.Contains(id, path))
                return true;
            w.BeginWithdraw();
            current = Group.Withdrawn;
        }
        if (!w.TryAdd(Table.PrefixTable[id].Key, IdOf(path)))
            return false;
        if (group.Set == AttributeTable.None)
            _told.Remove(id, path);
        else
            _told.Add(id, path);
        return true;
    }

    private bool IsTold(int id, int path, out Group group, out RibPeer? source, out Core.Net.IpAddr told)
    {
        group = id >= 0 && Table.Path(path).Prefix == id && Table.IsFeasible(path) ? Export(path, out source, out told)
            : Export(-1, out source, out told);
        return group.Set != AttributeTable.None;
    }

    protected override int SetOf(int path)
    {
        IsTold(Table.Path(path).Prefix, path, out var group, out _, out _);
        return group.Set;
    }

    private static uint IdOf(int path) => (uint)path + 1;
}
