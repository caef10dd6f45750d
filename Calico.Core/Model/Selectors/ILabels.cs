using System.Diagnostics.CodeAnalysis;

namespace Calico.Core.Model.Selectors;

/// <summary>
/// What a selector looks at: the labels of an endpoint or network set, inherited ones included. A lookup, not a map, so
/// that an index can answer from its own compact form.
/// </summary>
public interface ILabels
{
    bool TryGetLabel(string key, [NotNullWhen(true)] out string? value);
}

internal sealed class DictionaryLabels(IReadOnlyDictionary<string, string> labels) : ILabels
{
    public bool TryGetLabel(string key, [NotNullWhen(true)] out string? value) => labels.TryGetValue(key, out value);
}
