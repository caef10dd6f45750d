using System.Collections.Immutable;
using Calico.Core.Model.Selectors;

namespace Calico.Core.Policy.Index;

/// <summary>Who has a label, by value.</summary>
internal sealed class LabelBuckets<T> where T : class
{
    private readonly Dictionary<string, Dictionary<string, HashSet<T>>> _byLabel = [];

    public void Add(T item, ImmutableArray<KeyValuePair<string, string>> labels)
    {
        foreach (var (label, value) in labels)
        {
            if (!_byLabel.TryGetValue(label, out var byValue))
                _byLabel[label] = byValue = [];
            if (!byValue.TryGetValue(value, out var items))
                byValue[value] = items = [];
            items.Add(item);
        }
    }

    public void Remove(T item, ImmutableArray<KeyValuePair<string, string>> labels)
    {
        foreach (var (label, value) in labels)
        {
            if (!_byLabel.TryGetValue(label, out var byValue) || !byValue.TryGetValue(value, out var items))
                continue;
            items.Remove(item);
            if (items.Count == 0)
                byValue.Remove(value);
            if (byValue.Count == 0)
                _byLabel.Remove(label);
        }
    }

    public IEnumerable<HashSet<T>> Find(LabelRequirement requirement)
    {
        if (!_byLabel.TryGetValue(requirement.Key, out var byValue))
            return [];
        return requirement.Values is { } values
            ? values.Where(byValue.ContainsKey).Select(v => byValue[v])
            : byValue.Values;
    }
}
