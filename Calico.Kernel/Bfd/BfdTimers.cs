namespace Calico.Kernel.Bfd;

/// <summary>
/// The sessions by their next deadline, as a binary heap in which each knows its place: moving one is a few swaps and no object.
/// </summary>
internal sealed class BfdTimers
{
    private BfdPeer[] _heap = new BfdPeer[16];
    private int _count;

    /// <summary>The session that is due first; null if there is none.</summary>
    public BfdPeer? First => _count > 0 ? _heap[0] : null;

    public void Add(BfdPeer peer)
    {
        if (_count == _heap.Length)
            Array.Resize(ref _heap, _count * 2);
        Put(peer, _count++);
        Up(peer.Place);
    }

    public void Remove(BfdPeer peer)
    {
        var last = _heap[--_count];
        _heap[_count] = null!;
        if (last == peer)
            return;
        Put(last, peer.Place);
        Moved(last);
    }

    /// <summary>The session's deadline is another than before.</summary>
    public void Moved(BfdPeer peer)
    {
        Up(peer.Place);
        Down(peer.Place);
    }

    private void Up(int at)
    {
        while (at > 0 && _heap[at].Deadline < _heap[(at - 1) / 2].Deadline)
        {
            Swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    private void Down(int at)
    {
        while (true)
        {
            var least = at;
            for (var child = (2 * at) + 1; child <= (2 * at) + 2 && child < _count; child++)
            {
                if (_heap[child].Deadline < _heap[least].Deadline)
                    least = child;
            }
            if (least == at)
                return;
            Swap(at, least);
            at = least;
        }
    }

    private void Swap(int a, int b)
    {
        var peer = _heap[a];
        Put(_heap[b], a);
        Put(peer, b);
    }

    private void Put(BfdPeer peer, int at)
    {
        _heap[at] = peer;
        peer.Place = at;
    }
}
