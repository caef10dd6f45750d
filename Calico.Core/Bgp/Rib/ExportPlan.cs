namespace Calico.Core.Bgp.Rib;

/// <summary>
/// An order in which to write changed prefixes: first what may be withdrawn, then one group for each attribute set.
/// A counting sort in arrays that are reused, and shared: a table has one plan, whoever fills a message last owns it, and the
/// others plan again. The plan is only advice; whoever walks it looks at each prefix again.
/// </summary>
internal sealed class ExportPlan
{
    /// <summary>What is planned at a time: several messages' worth for good packing, little enough to plan again.</summary>
    public const int Limit = 64 * 1024;

    private readonly List<int> _groups = [];
    private int[] _heads = [];
    private int[] _ids = [];
    private int[] _next = [];
    private int[] _order = [];
    private object? _owner;
    private int _count;
    private int _at;

    public bool IsFull => _count == Limit;

    /// <summary>The next of what this owner planned; false if it has nothing planned (any more).</summary>
    public bool TryPeek(object owner, out int id)
    {
        var some = owner == _owner && _at < _count;
        id = some ? _order[_at] : -1;
        return some;
    }

    /// <summary>What comes some steps later; false if the plan ends before.</summary>
    public bool TryPeekAhead(int steps, out int id)
    {
        var some = _at + steps < _count;
        id = some ? _order[_at + steps] : -1;
        return some;
    }

    public void Advance() => _at++;

    /// <param name="owner">Whose plan it is from now on.</param>
    /// <param name="sets">All set numbers are below this; those a policy makes on the way are appended.</param>
    public void Begin(object owner, int sets)
    {
        _owner = owner;
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
            var length = Math.Min(Limit, Math.Max(64, _count * 2));
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

    /// <summary>What the owner planned is not written any more.</summary>
    public void Release(object owner)
    {
        if (_owner == owner)
            _owner = null;
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
