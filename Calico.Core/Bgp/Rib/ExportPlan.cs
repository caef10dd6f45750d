namespace Calico.Core.Bgp.Rib;

/// <summary>
/// An order in which to write changed prefixes: first what may be withdrawn, then one group for each attribute set.
/// A counting sort in three arrays that are reused; the plan is only advice, whoever walks it looks at each prefix
/// again.
/// </summary>
internal sealed class ExportPlan
{
    private readonly List<int> _groups = [];
    private int[] _heads = [];
    private int[] _ids = [];
    private int[] _next = [];
    private int[] _order = [];
    private int _count;
    private int _at;

    public bool TryPeek(out int id)
    {
        id = _at < _count ? _order[_at] : -1;
        return _at < _count;
    }

    public void Advance() => _at++;

    /// <param name="sets">All set numbers are below this; those a policy makes on the way are appended.</param>
    public void Begin(int sets)
    {
        _count = 0;
        _at = 0;
        Fit(ref _heads, sets + 1, -1);
    }

    public void Add(int id, int set)
    {
        var group = set + 1;
        Fit(ref _heads, group + 1, -1);
        if (_count == _ids.Length)
        {
            var length = Math.Max(64, _count * 2);
            Array.Resize(ref _ids, length);
            Array.Resize(ref _next, length);
        }
        if (_heads[group] < 0)
            _groups.Add(group);
        _ids[_count] = id;
        _next[_count] = _heads[group];
        _heads[group] = _count++;
    }

    public void End()
    {
        if (_order.Length < _count)
            _order = new int[_ids.Length];
        _groups.Sort();
        // The chains run backwards, so the order is filled from its end.
        var at = _count;
        for (var g = _groups.Count - 1; g >= 0; g--)
        {
            for (var i = _heads[_groups[g]]; i >= 0; i = _next[i])
                _order[--at] = _ids[i];
            _heads[_groups[g]] = -1;
        }
        _groups.Clear();
    }

    private static void Fit(ref int[] array, int length, int fill)
    {
        if (array.Length >= length)
            return;
        var old = array.Length;
        Array.Resize(ref array, Math.Max(64, length * 2));
        array.AsSpan(old).Fill(fill);
    }
}
