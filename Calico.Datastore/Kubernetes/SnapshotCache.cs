namespace Calico.Datastore.Kubernetes;

/// <summary>
/// The rest of lists that are read page by page. The API's order is not that of the keys, so a list is read whole and
/// given out in pages; who stops in the middle is forgotten, and who comes back later has it listed again at the same
/// revision.
/// </summary>
internal sealed class SnapshotCache(TimeProvider time)
{
    private const int MaxKept = 4;
    private static readonly TimeSpan KeepFor = TimeSpan.FromSeconds(60);

    private readonly Lock _gate = new();
    private readonly List<(Snapshot Snapshot, long UsedAt)> _kept = [];

    public Snapshot? Find(string prefix, long revision)
    {
        lock (_gate)
        {
            _kept.RemoveAll(k => time.GetElapsedTime(k.UsedAt) > KeepFor);
            return _kept.Find(k => k.Snapshot.Revision == revision && k.Snapshot.Prefix == prefix).Snapshot;
        }
    }

    public void Keep(Snapshot snapshot)
    {
        lock (_gate)
        {
            _kept.RemoveAll(k => ReferenceEquals(k.Snapshot, snapshot));
            if (_kept.Count == MaxKept)
                _kept.RemoveAt(0);
            _kept.Add((snapshot, time.GetTimestamp()));
        }
    }

    public void Forget(Snapshot snapshot)
    {
        lock (_gate)
            _kept.RemoveAll(k => ReferenceEquals(k.Snapshot, snapshot));
    }
}
