using System.Collections.Immutable;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// Handles as this lease wrote or read them last, so that a release need not read what an allocation wrote. Others write them
/// seldom (a retirement, a person): a handle that is not as it is remembered fails its transaction, and then all are
/// forgotten with the blocks. There are at most as many as addresses of this node. Not thread-safe.
/// </summary>
internal sealed class KnownHandles
{
    private sealed class Known(KeyValue record)
    {
        private ImmutableArray<Cidr?> _blocks;

        public KeyValue Record => record;

        /// <summary>The blocks it names, null for one that is none.</summary>
        public ImmutableArray<Cidr?> Blocks => _blocks.IsDefault ? _blocks = Parse() : _blocks;

        private ImmutableArray<Cidr?> Parse() =>
            [.. BlockTransactions.CountsOf(record).Keys.Select(b => Cidr.TryParse(b, out var cidr) ? cidr : (Cidr?)null)];
    }

    private readonly Dictionary<string, Known> _byId = new(StringComparer.Ordinal);

    /// <summary>Those of the handles that are known.</summary>
    public Dictionary<string, KeyValue?> Among(IEnumerable<string> ids)
    {
        var known = new Dictionary<string, KeyValue?>(StringComparer.Ordinal);
        foreach (var id in ids)
        {
            if (_byId.TryGetValue(id, out var handle))
                known[id] = handle.Record;
        }
        return known;
    }

    /// <summary>Whether the handle is known and has addresses in such blocks alone.</summary>
    public bool AreAllIn(string id, Func<Cidr, bool> isSuch) => _byId.TryGetValue(id, out var known) && known.Blocks.All(b => b is { } block && isSuch(block));

    /// <summary>These writes are durable at the revision.</summary>
    public void Written(IEnumerable<Write> writes, long revision)
    {
        foreach (var write in writes)
        {
            if (!write.Key.StartsWith(IpamKeys.HandlePrefix, StringComparison.Ordinal))
                continue;
            var id = write.Key[IpamKeys.HandlePrefix.Length..];
            if (write.Value is { } value)
                _byId[id] = new Known(new KeyValue(write.Key, value, revision, revision));
            else
                _byId.Remove(id);
        }
    }

    /// <summary>A handle as it was read.</summary>
    public void Read(KeyValue? handle)
    {
        if (handle is not null)
            _byId[handle.Key[IpamKeys.HandlePrefix.Length..]] = new Known(handle);
    }

    public void Forget() => _byId.Clear();
}
