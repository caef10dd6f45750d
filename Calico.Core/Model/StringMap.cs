using System.Collections;
using System.Diagnostics.CodeAnalysis;
using Calico.Core.Model.Selectors;

namespace Calico.Core.Model;

/// <summary>
/// An immutable map of strings (labels, annotations), held as one array sorted as Go sorts keys. Equal to another with
/// equal entries; the default is the empty map.
/// </summary>
[SuppressMessage("Naming", "CA1710", Justification = "A map is what the API calls it")]
public readonly struct StringMap : IReadOnlyDictionary<string, string>, ILabels, IEquatable<StringMap>
{
    private readonly KeyValuePair<string, string>[]? _entries;

    private StringMap(KeyValuePair<string, string>[] sorted) => _entries = sorted;

    public static StringMap Empty => default;

    /// <summary>A map of the pairs; of equal keys the last one wins.</summary>
    public static StringMap From(IEnumerable<KeyValuePair<string, string>> entries)
    {
        var sorted = new SortedDictionary<string, string>(Utf8Order.Instance);
        foreach (var (key, value) in entries)
            sorted[key] = value;
        return new StringMap([.. sorted]);
    }

    private KeyValuePair<string, string>[] Entries => _entries ?? [];

    public int Count => Entries.Length;
    public bool IsEmpty => Count == 0;
    public string this[string key] => TryGetValue(key, out var v) ? v : throw new KeyNotFoundException($"no entry '{key}'");
    public IEnumerable<string> Keys => Entries.Select(e => e.Key);
    public IEnumerable<string> Values => Entries.Select(e => e.Value);
    public bool ContainsKey(string key) => Find(key) >= 0;

    public bool TryGetValue(string key, [MaybeNullWhen(false)] out string value)
    {
        var at = Find(key);
        value = at < 0 ? null : Entries[at].Value;
        return at >= 0;
    }

    public bool TryGetLabel(string key, [NotNullWhen(true)] out string? value) => TryGetValue(key, out value);

    /// <summary>The value, or null when there is none.</summary>
    public string? GetOrNull(string key) => TryGetValue(key, out var value) ? value : null;

    /// <summary>A copy with one entry set, or removed when <paramref name="value"/> is null.</summary>
    public StringMap With(string key, string? value)
    {
        var others = Entries.Where(e => e.Key != key);
        return From(value is null ? others : others.Append(new(key, value)));
    }

    public IEnumerator<KeyValuePair<string, string>> GetEnumerator() => ((IEnumerable<KeyValuePair<string, string>>)Entries).GetEnumerator();
    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public bool Equals(StringMap other) => Entries.AsSpan().SequenceEqual(other.Entries);
    public override bool Equals(object? obj) => obj is StringMap other && Equals(other);

    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (var entry in Entries)
            hash.Add(entry);
        return hash.ToHashCode();
    }

    public static bool operator ==(StringMap a, StringMap b) => a.Equals(b);
    public static bool operator !=(StringMap a, StringMap b) => !a.Equals(b);

    public override string ToString() => string.Join(',', Entries.Select(e => $"{e.Key}={e.Value}"));

    private int Find(string key)
    {
        var entries = Entries;
        int low = 0, high = entries.Length - 1;
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var order = Utf8Order.Instance.Compare(entries[middle].Key, key);
            if (order == 0)
                return middle;
            if (order < 0)
                low = middle + 1;
            else
                high = middle - 1;
        }
        return -1;
    }
}
