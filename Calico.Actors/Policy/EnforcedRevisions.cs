using Akka.Actor;

namespace Calico.Actors.Policy;

/// <summary>
/// Up to which revision of the datastore this node's kernel is, and who waits for one. The revision that was seen when a
/// change was sent to the kernel is enforced when that change is committed.
/// <code>
///   seen 7 ── sent with commit 3 ── seen 9 ── sent with commit 4 ── committed 3: enforced 7 ── committed 4: enforced 9
/// </code>
/// A change that the kernel refuses is sent again by the writer with all that is wanted, so its revision waits with it.
/// </summary>
internal sealed class EnforcedRevisions
{
    private readonly SortedDictionary<long, long> _sent = [];
    private readonly Dictionary<string, (long Revision, IActorRef Asker)> _awaited = [];
    private long _seen;
    private long _committed;

    public long Enforced { get; private set; }

    /// <summary>The mesh told of a resource at this revision.</summary>
    public void Seen(long revision) => _seen = Math.Max(_seen, revision);

    /// <summary>
    /// All that is wanted now is in the changes up to this commit. Nothing counts before every policy has arrived in
    /// compiled form.
    /// </summary>
    public IEnumerable<(IActorRef Asker, EnforcerProtocol.EnforcedUpTo Answer)> Sent(long commit, bool isComplete)
    {
        if (!isComplete)
            return [];
        _sent[commit] = _seen;
        return Committed(_committed);
    }

    /// <summary>The kernel has all changes up to this commit.</summary>
    public IEnumerable<(IActorRef Asker, EnforcerProtocol.EnforcedUpTo Answer)> Committed(long commit)
    {
        _committed = Math.Max(_committed, commit);
        foreach (var (done, revision) in _sent.TakeWhile(s => s.Key <= _committed).ToList())
        {
            Enforced = Math.Max(Enforced, revision);
            _sent.Remove(done);
        }
        return Answers();
    }

    public IEnumerable<(IActorRef Asker, EnforcerProtocol.EnforcedUpTo Answer)> Await(string id, long revision, IActorRef asker)
    {
        _awaited[id] = (revision, asker);
        return Answers();
    }

    private List<(IActorRef, EnforcerProtocol.EnforcedUpTo)> Answers()
    {
        var due = _awaited.Where(a => a.Value.Revision <= Enforced).ToList();
        foreach (var (id, _) in due)
            _awaited.Remove(id);
        return [.. due.Select(a => (a.Value.Asker, new EnforcerProtocol.EnforcedUpTo(a.Key, Enforced)))];
    }
}
