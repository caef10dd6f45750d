using System.Collections.Immutable;

namespace Calico.Core.Feed;

/// <summary>
/// A reader's side of a <see cref="FeedLog"/>: remembers the cursor and which keys exist, and turns batches into the
/// changes that really are changes. After a reset it keeps showing the old keys until the log has been read to its
/// head, then reports those that did not come again as gone: a rebuilt log never makes anything blink.
/// </summary>
public sealed class FeedView
{
    private readonly HashSet<string> _keys = [];
    private HashSet<string>? _seenSinceReset;

    public FeedCursor Cursor { get; private set; }

    /// <summary>The head has been reached at least once: what is not here does not exist.</summary>
    public bool InSync { get; private set; }

    /// <summary>The newest datastore revision that is completely applied.</summary>
    public long Revision { get; private set; }

    public IReadOnlySet<string> Keys => _keys;

    /// <summary>Takes a batch and returns the changes in order; a batch from before the cursor changes nothing.</summary>
    public ImmutableArray<FeedItem> Apply(FeedBatch batch)
    {
        if (batch.Reset)
            _seenSinceReset = [];
        else if (batch.Cursor.Epoch != Cursor.Epoch || batch.Cursor.Sequence < Cursor.Sequence)
            return [];
        var changes = ImmutableArray.CreateBuilder<FeedItem>(batch.Items.Length);
        foreach (var item in batch.Items)
        {
            Revision = Math.Max(Revision, item.Revision);
            if (item.Value is null)
            {
                _seenSinceReset?.Remove(item.Key);
                if (!_keys.Remove(item.Key))
                    continue;
            }
            else
            {
                _seenSinceReset?.Add(item.Key);
                _keys.Add(item.Key);
            }
            changes.Add(item);
        }
        Cursor = batch.Cursor;
        if (batch.Complete)
        {
            if (_seenSinceReset is not null)
            {
                foreach (var gone in _keys.Where(k => !_seenSinceReset.Contains(k)).Order(StringComparer.Ordinal).ToList())
                {
                    _keys.Remove(gone);
                    changes.Add(new FeedItem(gone, null, Revision));
                }
                _seenSinceReset = null;
            }
            InSync = true;
        }
        return changes.ToImmutable();
    }
}
