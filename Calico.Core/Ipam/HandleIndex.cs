namespace Calico.Core.Ipam;

/// <summary>
/// Which ordinals of a block a handle has: a chain through the ordinals for each handle, so that a copy costs two arrays
/// whatever is in it. What is cooling down is nobody's. Not thread-safe.
/// </summary>
internal sealed class HandleIndex
{
    private const int End = -1;

    private readonly Dictionary<string, int> _first;
    private readonly int[] _next;

    public HandleIndex(int capacity)
    {
        _first = new Dictionary<string, int>(StringComparer.Ordinal);
        _next = new int[capacity];
    }

    private HandleIndex(HandleIndex from)
    {
        _first = new Dictionary<string, int>(from._first, StringComparer.Ordinal);
        _next = (int[])from._next.Clone();
    }

    public HandleIndex Clone() => new(this);

    public void Add(string handle, int ordinal)
    {
        _next[ordinal] = _first.GetValueOrDefault(handle, End);
        _first[handle] = ordinal;
    }

    public void Remove(string handle, int ordinal)
    {
        if (!_first.TryGetValue(handle, out var at))
            return;
        if (at == ordinal)
        {
            if (_next[ordinal] == End)
                _first.Remove(handle);
            else
                _first[handle] = _next[ordinal];
            return;
        }
        while (_next[at] != End && _next[at] != ordinal)
            at = _next[at];
        if (_next[at] == ordinal)
            _next[at] = _next[ordinal];
    }

    public bool Has(string handle) => _first.ContainsKey(handle);

    /// <summary>In no order.</summary>
    public IEnumerable<int> Of(string handle)
    {
        for (var at = _first.GetValueOrDefault(handle, End); at != End; at = _next[at])
            yield return at;
    }
}
