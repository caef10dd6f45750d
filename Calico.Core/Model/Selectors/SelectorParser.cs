using System.Collections.Immutable;

namespace Calico.Core.Model.Selectors;

// Recursive descent over
//
//   or        := and ( '||' and )*
//   and       := operation ( '&&' operation )*
//   operation := '!'* ( has | all | global | '(' or ')' | label comparison )
//
// Chains stay flat and the user's parentheses around an and/or stay a group, since the canonical text shows both.
internal sealed class SelectorParser(string text, List<SelectorToken> tokens)
{
    // 1,024 characters, the limit of a selector in the API, cannot nest this deep.
    private const int MaxDepth = 512;

    private int _at;
    private int _depth;
    private SelectorError? _error;

    private SelectorToken Current => tokens[_at];

    public static SelectorNode? Parse(string text, out SelectorError? error)
    {
        if (!SelectorTokenizer.TryTokenize(text, out var tokens, out error))
            return null;
        if (tokens[0].Kind == SelectorTokenKind.Eof)
            return new AllNode();
        var parser = new SelectorParser(text, tokens);
        var root = parser.Chain(isAnd: false);
        if (root is not null && parser.Current.Kind != SelectorTokenKind.Eof)
            root = parser.Fail("unexpected text behind the end of the selector");
        error = parser._error;
        return root;
    }

    private SelectorNode? Fail(string reason)
    {
        _error ??= new SelectorError(reason, Current.Position, text);
        return null;
    }

    private SelectorNode? Chain(bool isAnd)
    {
        var separator = isAnd ? SelectorTokenKind.And : SelectorTokenKind.Or;
        var operands = ImmutableArray.CreateBuilder<SelectorNode>(1);
        while (true)
        {
            var operand = isAnd ? Operation() : Chain(isAnd: true);
            if (operand is null)
                return null;
            operands.Add(operand);
            if (Current.Kind != separator)
                return operands.Count == 1 ? operands[0] : new ChainNode(operands.ToImmutable(), isAnd);
            _at++;
        }
    }

    private SelectorNode? Operation()
    {
        var negated = false;
        for (; Current.Kind == SelectorTokenKind.Not; _at++)
            negated = !negated;
        var operand = Positive();
        return operand is null || !negated ? operand : new NotNode(operand);
    }

    private SelectorNode? Positive()
    {
        var token = Current;
        switch (token.Kind)
        {
            case SelectorTokenKind.Has:
                _at++;
                return new HasNode(token.Text);
            case SelectorTokenKind.All:
                _at++;
                return new AllNode();
            case SelectorTokenKind.Global:
                _at++;
                return new GlobalNode();
            case SelectorTokenKind.Label:
                _at++;
                return Comparison(token.Text);
            case SelectorTokenKind.LParen:
                return Group();
            case SelectorTokenKind.Eof:
                return Fail("the selector ends where a label, '!', '(', has(), all() or global() should stand");
            default:
                return Fail("expected a label, '!', '(', has(), all() or global()");
        }
    }

    private SelectorNode? Group()
    {
        if (++_depth > MaxDepth)
            return Fail($"parentheses are nested more than {MaxDepth} deep");
        _at++;
        var inner = Chain(isAnd: false);
        if (inner is null)
            return null;
        if (Current.Kind != SelectorTokenKind.RParen)
            return Fail("expected ')'");
        _at++;
        _depth--;
        return inner;
    }

    private SelectorNode? Comparison(string label)
    {
        var op = Current;
        switch (op.Kind)
        {
            case SelectorTokenKind.Eq or SelectorTokenKind.Ne or SelectorTokenKind.Contains
                or SelectorTokenKind.StartsWith or SelectorTokenKind.EndsWith:
                _at++;
                if (Current.Kind != SelectorTokenKind.StringLiteral)
                    return Fail("expected a string in single or double quotes");
                return Compare(label, op.Kind, tokens[_at++].Text);
            case SelectorTokenKind.In or SelectorTokenKind.NotIn:
                _at++;
                return Set(label, op.Kind == SelectorTokenKind.NotIn);
            default:
                return Fail($"expected an operator behind label '{label}'");
        }
    }

    private static SelectorNode Compare(string label, SelectorTokenKind op, string value) => op switch
    {
        SelectorTokenKind.Eq => new EqualNode(label, value),
        SelectorTokenKind.Ne => new NotEqualNode(label, value),
        SelectorTokenKind.StartsWith => new SubstringNode(label, SubstringPlace.Start, value),
        SelectorTokenKind.EndsWith => new SubstringNode(label, SubstringPlace.End, value),
        _ => new SubstringNode(label, SubstringPlace.Anywhere, value),
    };

    private SelectorNode? Set(string label, bool negated)
    {
        if (Current.Kind != SelectorTokenKind.LBrace)
            return Fail("expected '{' and a list of strings");
        _at++;
        var values = new SortedSet<string>(Utf8Order.Instance);
        while (Current.Kind == SelectorTokenKind.StringLiteral)
        {
            values.Add(Current.Text);
            _at++;
            if (Current.Kind != SelectorTokenKind.Comma)
                break;
            _at++;
        }
        if (Current.Kind != SelectorTokenKind.RBrace)
            return Fail("expected '}'");
        _at++;
        return new InSetNode(label, [.. values], negated);
    }
}
