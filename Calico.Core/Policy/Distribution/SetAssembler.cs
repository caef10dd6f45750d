using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Calico.Core.Feed;
using Calico.Core.Policy.Index;

namespace Calico.Core.Policy.Distribution;

/// <summary>What the log of one member says about sets, put together again from <see cref="SetBuckets"/> entries.</summary>
public sealed class SetAssembler
{
    private sealed class State
    {
        public int? Count;
        public readonly Dictionary<(int Count, int Index), ImmutableArray<SetMember>> Buckets = [];

        public bool IsComplete => Count is { } n && Enumerable.Range(0, n).All(i => Buckets.ContainsKey((n, i)));
    }

    private const int MaxBuckets = 1 << 20;

    private readonly Dictionary<string, State> _sets = [];

    /// <summary>Whether the key is about a set; then the set's id.</summary>
    public static bool TryParseKey(string key, out string setId)
    {
        setId = "";
        if (!key.StartsWith("set/", StringComparison.Ordinal))
            return false;
        var rest = key[4..];
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        setId = slash < 0 ? rest : rest[..slash];
        return true;
    }

    /// <summary>Takes an entry; the key must be a set's.</summary>
    /// <exception cref="FormatException">The entry says nothing about a set that could be understood; nothing changed.</exception>
    public void Apply(FeedItem item)
    {
        if (!TryParseKey(item.Key, out var setId))
            throw new ArgumentException($"'{item.Key}' is not about a set", nameof(item));
        var parts = item.Key[(4 + setId.Length)..].Split('/', StringSplitOptions.RemoveEmptyEntries);
        var state = _sets.GetValueOrDefault(setId) ?? new State();
        if (parts.Length == 0)
        {
            state.Count = item.Value is { } header ? Number(Encoding.ASCII.GetString(header.Span)) : null;
        }
        else
        {
            if (parts.Length != 2)
                throw new FormatException($"'{item.Key}' names no bucket");
            var bucket = (Number(parts[0]), Number(parts[1]));
            if (item.Value is { } members)
                state.Buckets[bucket] = MemberCodec.Decode(members.Span);
            else
                state.Buckets.Remove(bucket);
        }
        _sets[setId] = state;
        if (state.Count is null && state.Buckets.Count == 0)
            _sets.Remove(setId);
    }

    private static int Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n <= MaxBuckets
        ? n
        : throw new FormatException($"'{text}' is no number of buckets");

    /// <summary>The members if every bucket is here, else null.</summary>
    public ImmutableArray<SetMember>? Members(string setId) => _sets.TryGetValue(setId, out var state) && state.IsComplete
        ? [.. Enumerable.Range(0, state.Count!.Value).SelectMany(i => state.Buckets[(state.Count.Value, i)])]
        : null;
}
