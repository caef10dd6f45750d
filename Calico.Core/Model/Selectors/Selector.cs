using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Calico.Core.Model.Selectors;

// The selector language decides which endpoints a policy, peer or pool means:
//
//   text -> SelectorTokenizer -> tokens -> SelectorParser -> SelectorNode tree -> Selector
//
// A Selector is a value: two are equal when their canonical texts are, and the unique id is a hash of that text, the
// same one that Calico names IP sets after. Labels of a namespace or service account are matched by prefixing every
// label name (pcns., pcsa.), since endpoints inherit those labels under the prefix.

/// <summary>A parsed selector. Immutable and thread-safe; equality is equality of the canonical text.</summary>
public sealed class Selector : IEquatable<Selector>
{
    private readonly SelectorNode _root;
    private string? _id;

    private Selector(SelectorNode root)
    {
        _root = root;
        var text = new StringBuilder();
        root.Print(text);
        CanonicalText = text.ToString();
    }

    /// <summary>Matches everything: <c>all()</c>, and what the empty text means.</summary>
    public static Selector All { get; } = new(new AllNode());

    /// <summary>The one spelling of this selector, as Calico prints it.</summary>
    public string CanonicalText { get; }

    /// <summary>Calico's unique id: <c>s:</c> and a hash of the canonical text.</summary>
    public string Id => _id ??= UniqueId.Make("s", CanonicalText);

    /// <summary>
    /// What labels must look like for the selector to have a chance, at most one entry a label, sorted by label name.
    /// An entry that <see cref="LabelRequirement.IsImpossible"/> means that nothing ever matches.
    /// </summary>
    public ImmutableArray<LabelRequirement> Requirements =>
        [.. _root.Requirements.OrderBy(r => r.Key, Utf8Order.Instance)];

    /// <summary>
    /// The selector holds <c>global()</c>, which is for an entity's namespaceSelector, alone, and means what is in no
    /// namespace there. Evaluated it is true: the policy calculation replaces it first.
    /// </summary>
    public bool MentionsGlobal => _root.MentionsGlobal;

    /// <exception cref="SelectorException">The text is no selector; the message says where and why.</exception>
    public static Selector Parse(string text) =>
        TryParse(text, out var selector, out var error) ? selector : throw new SelectorException(error);

    public static bool TryParse(string text, [NotNullWhen(true)] out Selector? selector,
        [NotNullWhen(false)] out SelectorError? error)
    {
        var root = SelectorParser.Parse(text, out error);
        selector = root is null ? null : new Selector(root);
        return root is not null;
    }

    public bool Evaluate(ILabels labels) => _root.Evaluate(labels);

    public bool Evaluate(IReadOnlyDictionary<string, string> labels) => _root.Evaluate(new DictionaryLabels(labels));

    public bool Evaluate(StringMap labels) => _root.Evaluate(labels);

    /// <summary>The same selector over label names that carry <paramref name="prefix"/>, for example <c>pcns.</c>.</summary>
    public Selector WithLabelPrefix(string prefix) => new(_root.Prefixed(prefix));

    public bool Equals(Selector? other) => other is not null && CanonicalText == other.CanonicalText;
    public override bool Equals(object? obj) => Equals(obj as Selector);
    public override int GetHashCode() => CanonicalText.GetHashCode(StringComparison.Ordinal);
    public override string ToString() => CanonicalText;
}
