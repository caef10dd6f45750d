namespace Calico.Actors.Ipam;

/// <summary>
/// The requests that are not durable yet, in order of arrival: those that wait for the next transaction or a block,
/// bounded in number, and promises.
/// </summary>
internal sealed class LeaseQueue(int capacity)
{
    private readonly List<LeaseRequest> _all = [];

    public int Count => _all.Count;

    public IReadOnlyList<LeaseRequest> All => _all;

    /// <summary>Turns the request away if too many wait already.</summary>
    public void Add(LeaseRequest request)
    {
        if (_all.Count(r => !r.IsAnswered) < capacity)
            _all.Add(request);
        else
            request.Fail("too many requests are waiting for this node's addresses", retryable: true);
    }

    /// <summary>These are left.</summary>
    public void Replace(IEnumerable<LeaseRequest> left)
    {
        var now = left.ToList();
        _all.Clear();
        _all.AddRange(now);
    }

    /// <summary>
    /// Their transaction was not carried out: before those that came since, or behind them. What was asked for one handle
    /// stays in order.
    /// </summary>
    public void Return(IEnumerable<LeaseRequest> requests, bool first)
    {
        var back = requests.ToList();
        if (first)
        {
            _all.InsertRange(0, back);
            return;
        }
        var handles = back.Select(r => r.Handle).ToHashSet(StringComparer.Ordinal);
        back.AddRange(_all.Where(r => handles.Contains(r.Handle)));
        _all.RemoveAll(r => handles.Contains(r.Handle));
        _all.AddRange(back);
    }

    public void Remove(LeaseRequest request) => _all.Remove(request);

    /// <summary>The workload is being removed: who still waits for its addresses gets none.</summary>
    public void DropAllocations(string handle) => Fail(r => r is LeaseRequest.Allocate && r.Handle == handle,
        _ => "its workload is being removed", retryable: false);

    /// <summary>Fails those whose deadline has passed.</summary>
    public void Expire(TimeSpan now, Func<LeaseRequest, string> why) => Fail(r => r.Deadline <= now, why, retryable: true);

    public void FailAll(string reason) => Fail(_ => true, _ => reason, retryable: true);

    private void Fail(Func<LeaseRequest, bool> which, Func<LeaseRequest, string> why, bool retryable)
    {
        var failed = _all.Where(r => !r.IsAnswered && which(r)).ToList();
        _all.RemoveAll(failed.Contains);
        foreach (var request in failed)
            request.Fail(why(request), retryable);
    }
}
