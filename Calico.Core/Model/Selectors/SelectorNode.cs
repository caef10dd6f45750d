using System.Collections.Immutable;
using System.Text;

namespace Calico.Core.Model.Selectors;

// The tree of a selector. Every node evaluates itself, prints its canonical form, copies itself with prefixed label
// names and says what a match needs.
internal abstract class SelectorNode
{
    public abstract bool Evaluate(ILabels labels);
    public abstract void Print(StringBuilder text);
    public abstract SelectorNode Prefixed(string prefix);

    public virtual bool MentionsGlobal => false;

    // Requirements by label, at most one a label.
    public virtual IEnumerable<LabelRequirement> Requirements => [];

    // What must hold for the negation of this node.
    public virtual IEnumerable<LabelRequirement> NegatedRequirements => [];

    // A literal takes double quotes, or single ones where it contains a double quote: there are no escapes.
    protected static void PrintQuoted(StringBuilder text, string value)
    {
        var quote = value.Contains('"') ? '\'' : '"';
        text.Append(quote).Append(value).Append(quote);
    }
}

internal sealed class AllNode : SelectorNode
{
    public override bool Evaluate(ILabels labels) => true;
    public override void Print(StringBuilder text) => text.Append("all()");
    public override SelectorNode Prefixed(string prefix) => this;
}

// Only meaningful alone in an entity's namespaceSelector, where the policy calculation replaces it.
internal sealed class GlobalNode : SelectorNode
{
    public override bool Evaluate(ILabels labels) => true;
    public override void Print(StringBuilder text) => text.Append("global()");
    public override bool MentionsGlobal => true;
    public override SelectorNode Prefixed(string prefix) => this;
}

internal sealed class HasNode(string label) : SelectorNode
{
    public override bool Evaluate(ILabels labels) => labels.TryGetLabel(label, out _);
    public override void Print(StringBuilder text) => text.Append("has(").Append(label).Append(')');
    public override SelectorNode Prefixed(string prefix) => new HasNode(prefix + label);
    public override IEnumerable<LabelRequirement> Requirements => [LabelRequirement.Present(label)];
    public override IEnumerable<LabelRequirement> NegatedRequirements => [LabelRequirement.Absent(label)];
}

internal sealed class EqualNode(string label, string value) : SelectorNode
{
    public override bool Evaluate(ILabels labels) => labels.TryGetLabel(label, out var actual) && actual == value;
    public override void Print(StringBuilder text) => PrintQuoted(text.Append(label).Append(" == "), value);
    public override SelectorNode Prefixed(string prefix) => new EqualNode(prefix + label, value);
    public override IEnumerable<LabelRequirement> Requirements => [LabelRequirement.OneOf(label, [value])];
}

// Also true when the label is missing.
internal sealed class NotEqualNode(string label, string value) : SelectorNode
{
    public override bool Evaluate(ILabels labels) => !labels.TryGetLabel(label, out var actual) || actual != value;
    public override void Print(StringBuilder text) => PrintQuoted(text.Append(label).Append(" != "), value);
    public override SelectorNode Prefixed(string prefix) => new NotEqualNode(prefix + label, value);
    public override IEnumerable<LabelRequirement> NegatedRequirements => [LabelRequirement.OneOf(label, [value])];
}

internal sealed class InSetNode(string label, ImmutableArray<string> sortedValues, bool negated) : SelectorNode
{
    public override bool Evaluate(ILabels labels) =>
        labels.TryGetLabel(label, out var actual)
            ? sortedValues.BinarySearch(actual, Utf8Order.Instance) >= 0 != negated
            : negated;

    public override void Print(StringBuilder text)
    {
        text.Append(label).Append(negated ? " not in {" : " in {");
        for (var i = 0; i < sortedValues.Length; i++)
        {
            if (i > 0)
                text.Append(", ");
            PrintQuoted(text, sortedValues[i]);
        }
        text.Append('}');
    }

    public override SelectorNode Prefixed(string prefix) => new InSetNode(prefix + label, sortedValues, negated);

    public override IEnumerable<LabelRequirement> Requirements =>
        negated ? [] : [LabelRequirement.OneOf(label, sortedValues)];

    public override IEnumerable<LabelRequirement> NegatedRequirements =>
        negated ? [LabelRequirement.OneOf(label, sortedValues)] : [];
}

internal enum SubstringPlace : byte
{
    Anywhere,
    Start,
    End,
}

internal sealed class SubstringNode(string label, SubstringPlace place, string value) : SelectorNode
{
    public override bool Evaluate(ILabels labels) => labels.TryGetLabel(label, out var actual) && place switch
    {
        SubstringPlace.Start => actual.StartsWith(value, StringComparison.Ordinal),
        SubstringPlace.End => actual.EndsWith(value, StringComparison.Ordinal),
        _ => actual.Contains(value, StringComparison.Ordinal),
    };

    public override void Print(StringBuilder text)
    {
        var word = place switch
        {
            SubstringPlace.Start => " starts with ",
            SubstringPlace.End => " ends with ",
            _ => " contains ",
        };
        PrintQuoted(text.Append(label).Append(word), value);
    }

    public override SelectorNode Prefixed(string prefix) => new SubstringNode(prefix + label, place, value);
    public override IEnumerable<LabelRequirement> Requirements => [LabelRequirement.Present(label)];
}

internal sealed class NotNode(SelectorNode operand) : SelectorNode
{
    public override bool Evaluate(ILabels labels) => !operand.Evaluate(labels);
    public override void Print(StringBuilder text) => operand.Print(text.Append('!'));
    public override SelectorNode Prefixed(string prefix) => new NotNode(operand.Prefixed(prefix));
    public override bool MentionsGlobal => operand.MentionsGlobal;
    public override IEnumerable<LabelRequirement> Requirements => operand.NegatedRequirements;
    public override IEnumerable<LabelRequirement> NegatedRequirements => operand.Requirements;
}

internal sealed class ChainNode(ImmutableArray<SelectorNode> operands, bool isAnd) : SelectorNode
{
    public override bool Evaluate(ILabels labels)
    {
        foreach (var operand in operands)
        {
            if (operand.Evaluate(labels) != isAnd)
                return !isAnd;
        }
        return isAnd;
    }

    public override void Print(StringBuilder text)
    {
        text.Append('(');
        for (var i = 0; i < operands.Length; i++)
        {
            if (i > 0)
                text.Append(isAnd ? " && " : " || ");
            operands[i].Print(text);
        }
        text.Append(')');
    }

    public override SelectorNode Prefixed(string prefix) =>
        new ChainNode([.. operands.Select(o => o.Prefixed(prefix))], isAnd);

    public override bool MentionsGlobal => operands.Any(o => o.MentionsGlobal);

    public override IEnumerable<LabelRequirement> Requirements =>
        isAnd ? AllOf(operands.Select(o => o.Requirements)) : AnyOf(operands.Select(o => o.Requirements));

    // De Morgan: the negation of an and is the or of the negations.
    public override IEnumerable<LabelRequirement> NegatedRequirements =>
        isAnd ? AnyOf(operands.Select(o => o.NegatedRequirements)) : AllOf(operands.Select(o => o.NegatedRequirements));

    private static IEnumerable<LabelRequirement> AllOf(IEnumerable<IEnumerable<LabelRequirement>> parts) =>
        parts.SelectMany(p => p).GroupBy(r => r.Key, StringComparer.Ordinal).Select(g => g.Aggregate((a, b) => a.And(b)));

    // An impossible branch can be left out of an or; if all are impossible so is the whole.
    private static Dictionary<string, LabelRequirement>.ValueCollection AnyOf(IEnumerable<IEnumerable<LabelRequirement>> parts)
    {
        var branches = parts.Select(p => p.ToDictionary(r => r.Key, StringComparer.Ordinal)).ToList();
        var possible = branches.Where(b => !b.Values.Any(r => r.IsImpossible)).ToList();
        if (possible.Count == 0)
            return branches[0].Values;
        var common = possible[0];
        foreach (var branch in possible.Skip(1))
        {
            common = common.Values
                .Select(r => branch.TryGetValue(r.Key, out var other) ? r.Or(other) : null)
                .OfType<LabelRequirement>()
                .ToDictionary(r => r.Key, StringComparer.Ordinal);
        }
        return common.Values;
    }
}
