using System.Collections.Immutable;

namespace Calico.Core.Model.Selectors;

/// <summary>Whether a label must or must not be there for a selector to have a chance.</summary>
public enum LabelPresence : byte
{
    Required,
    Forbidden,
}

/// <summary>
/// A necessary, not sufficient, condition of a match, for indexing: without it <see cref="Selector.Evaluate(ILabels)"/>
/// is false. A selector <c>a == 'x' &amp;&amp; has(b)</c> requires <c>a</c> with value <c>x</c>, and <c>b</c>.
/// </summary>
/// <param name="Key">The label's name.</param>
/// <param name="Presence">Whether the label must be there.</param>
/// <param name="Values">The sorted values that a required label may have; null when any will do, empty when none will.</param>
public sealed record LabelRequirement(string Key, LabelPresence Presence, ImmutableArray<string>? Values)
{
    /// <summary>No labels at all meet the requirement, as in <c>a == 'x' &amp;&amp; a == 'y'</c>.</summary>
    public bool IsImpossible => Values is { IsEmpty: true };

    internal static LabelRequirement Present(string key) => new(key, LabelPresence.Required, null);
    internal static LabelRequirement Absent(string key) => new(key, LabelPresence.Forbidden, null);

    internal static LabelRequirement OneOf(string key, ImmutableArray<string> sortedValues) =>
        new(key, LabelPresence.Required, sortedValues);

    /// <summary>Both must hold.</summary>
    internal LabelRequirement And(LabelRequirement other)
    {
        if (Presence != other.Presence)
            return OneOf(Key, []);
        if (Values is not { } mine)
            return other;
        return other.Values is { } theirs ? OneOf(Key, [.. mine.Where(v => theirs.Contains(v))]) : this;
    }

    /// <summary>Either must hold; null when that says nothing any more.</summary>
    internal LabelRequirement? Or(LabelRequirement other)
    {
        if (IsImpossible)
            return other;
        if (other.IsImpossible)
            return this;
        if (Presence != other.Presence)
            return null;
        if (Values is not { } mine || other.Values is not { } theirs)
            return this with { Values = null };
        return OneOf(Key, [.. mine.Union(theirs).Order(Utf8Order.Instance)]);
    }
}
