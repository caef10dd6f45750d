namespace Calico.Actors.Ipam;

/// <summary>The requests that wait for the next transaction, or for a block; bounded, in order of arrival.</summary>
internal sealed class LeaseQueue(int capacity)
{
    private readonly List<LeaseRequest> _waiting = [];

    public int Count => _waiting.Count;
    public IReadOnlyList<LeaseRequest> All => _waiting;

    /// <summary>Turns the request away if too many wait already.</summary>
    public void Add(LeaseRequest request)
    {
        if (_waiting.Count < capacity)
            _waiting.Add(request);
        else
            request.Fail("too many requests are waiting for this node's addresses", retryable: true);
    }

    /// <summary>These are left.</summary>
    public void Replace(IEnumerable<LeaseRequest> waiting)
    {
        var now = waiting.ToList();
        _waiting.Clear();
        _waiting.AddRange(now);
    }

    /// <summary>Their transaction was not carried out: before those that came since, or behind them.</summary>
    public void Return(IEnumerable<LeaseRequest> requests, bool first) => _waiting.InsertRange(first ? 0 : _waiting.Count, requests);

    public void Remove(LeaseRequest request) => _waiting.Remove(request);

    /// <summary>Fails the reclaims of a handle, whose workload is being removed.</summary>
    public void DropReclaims(string handle) => Fail(
        r => r is LeaseRequest.Allocate { Message: { IsReclaim: true } message } && message.Request.HandleId == handle,
        _ => "its workload is being removed", retryable: false);

    /// <summary>Fails those whose deadline has passed.</summary>
    public void Expire(TimeSpan now, Func<LeaseRequest, string> why) => Fail(r => r.Deadline <= now, why, retryable: true);

    public void FailAll(string reason) => Fail(_ => true, _ => reason, retryable: true);

    private void Fail(Func<LeaseRequest, bool> which, Func<LeaseRequest, string> why, bool retryable)
    {
        var failed = _waiting.Where(which).ToList();
        _waiting.RemoveAll(failed.Contains);
        foreach (var request in failed)
            request.Fail(why(request), retryable);
    }
}
