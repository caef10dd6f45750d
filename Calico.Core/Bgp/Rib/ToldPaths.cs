namespace Calico.Core.Bgp.Rib;

/// <summary>
/// The paths that a peer was told of each prefix, as short lists in one array: what a peer has not been told takes no
/// room, and nothing is an object of its own.
/// </summary>
internal sealed class ToldPaths
{
    private record struct Node(int Path, int Next);

    private readonly Dictionary<int, int> _heads = [];
    private Node[] _nodes = [];
    private int _top;
    private int _free = -1;

    public int Count { get; private set; }

    public IEnumerable<int> Prefixes => _heads.Keys;

    public bool Contains(int prefix, int path)
    {
        for (var n = Head(prefix); n >= 0; n = _nodes[n].Next)
        {
            if (_nodes[n].Path == path)
                return true;
        }
        return false;
    }

    public void AddTo(List<int> paths, int prefix)
    {
        for (var n = Head(prefix); n >= 0; n = _nodes[n].Next)
            paths.Add(_nodes[n].Path);
    }

    public void Add(int prefix, int path)
    {
        if (Contains(prefix, path))
            return;
        if (_free < 0 && _top == _nodes.Length)
            Array.Resize(ref _nodes, Math.Max(16, _top * 2));
        var node = _free >= 0 ? _free : _top++;
        if (node == _free)
            _free = _nodes[node].Next;
        _nodes[node] = new(path, Head(prefix));
        _heads[prefix] = node;
        Count++;
    }

    public void Remove(int prefix, int path)
    {
        var previous = -1;
        for (var n = Head(prefix); n >= 0; previous = n, n = _nodes[n].Next)
        {
            if (_nodes[n].Path != path)
                continue;
            if (previous >= 0)
                _nodes[previous].Next = _nodes[n].Next;
            else if (_nodes[n].Next >= 0)
                _heads[prefix] = _nodes[n].Next;
            else
                _heads.Remove(prefix);
            _nodes[n].Next = _free;
            _free = n;
            Count--;
            return;
        }
    }

    private int Head(int prefix) => _heads.TryGetValue(prefix, out var node) ? node : -1;
}
