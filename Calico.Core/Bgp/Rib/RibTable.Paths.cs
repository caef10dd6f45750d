namespace Calico.Core.Bgp.Rib;

/// <summary>The array of paths and the two lists that each of them is in.</summary>
internal sealed partial class RibTable<T>
{
    // The identifiers of received paths (RFC 7911), beside the paths; empty until a peer sends one that is not 0.
    private uint[] _pathIds = [];

    private void MoveToFront(int id, int path)
    {
        ref var first = ref _prefixes[id].FirstPath;
        if (first == path)
            return;
        var previous = first;
        while (_paths[previous].Next != path)
            previous = _paths[previous].Next;
        _paths[previous].Next = _paths[path].Next;
        _paths[path].Next = first;
        first = path;
    }

    private uint PathIdOf(int path) => path < _pathIds.Length ? _pathIds[path] : 0;

    private void SetPathId(int path, uint pathId)
    {
        if (path >= _pathIds.Length)
        {
            if (pathId == 0)
                return;
            Array.Resize(ref _pathIds, _paths.Length);
        }
        _pathIds[path] = pathId;
    }

    private int FindPath(int id, ushort peer, uint pathId)
    {
        for (var p = _prefixes[id].FirstPath; p >= 0; p = _paths[p].Next)
        {
            if (_paths[p].Peer == peer && PathIdOf(p) == pathId)
                return p;
        }
        return -1;
    }

    private void RemovePath(int path)
    {
        var id = _paths[path].Prefix;
        var before = Look(id);
        MoveToFront(id, path);
        _prefixes[id].FirstPath = _paths[path].Next;
        UnlinkFromSet(path);
        MarkAllPathsFeeds(path);
        _counts[_paths[path].Peer]--;
        _paths[path].Prefix = -1;
        _paths[path].Next = _free;
        _free = path;
        Paths--;
        Decide(id, before);
        _prefixes.RemoveIfUnused(id);
    }

    private int AllocatePath()
    {
        Paths++;
        if (_free >= 0)
        {
            var reused = _free;
            _free = _paths[reused].Next;
            return reused;
        }
        if (_top == _paths.Length)
            _paths.Grow();
        return _top++;
    }

    private void LinkToSet(int path)
    {
        ref var first = ref Attributes.FirstPath(_paths[path].Attributes);
        _paths[path].NextOfSet = first;
        _paths[path].PreviousOfSet = -1;
        if (first >= 0)
            _paths[first].PreviousOfSet = path;
        first = path;
    }

    private void UnlinkFromSet(int path)
    {
        ref var entry = ref _paths[path];
        if (entry.PreviousOfSet >= 0)
            _paths[entry.PreviousOfSet].NextOfSet = entry.NextOfSet;
        else
            Attributes.FirstPath(entry.Attributes) = entry.NextOfSet;
        if (entry.NextOfSet >= 0)
            _paths[entry.NextOfSet].PreviousOfSet = entry.PreviousOfSet;
        Attributes.Release(entry.Attributes);
    }
}
