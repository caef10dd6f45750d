namespace Calico.Core.Model.Selectors;

/// <summary>
/// Cuts selector text into tokens. The words <c>contains</c>, <c>starts with</c>, <c>ends with</c>, <c>in</c> and
/// <c>not in</c> are operators only right behind a label, so every one of them is a valid label name too. Blanks are
/// space and tab; a literal ends at the quote that opened it and knows no escapes.
/// </summary>
public static class SelectorTokenizer
{
    /// <summary>Longest label name that the language accepts.</summary>
    public const int MaxLabelLength = 512;

    public static bool TryTokenize(string text, out List<SelectorToken> tokens, out SelectorError? error)
    {
        tokens = new List<SelectorToken>(16);
        error = null;
        var at = 0;
        while (true)
        {
            at = SkipBlanks(text, at);
            var start = at;
            if (at == text.Length)
            {
                tokens.Add(new SelectorToken(SelectorTokenKind.Eof, "", at));
                return true;
            }
            var reason = Next(text, ref at, tokens);
            if (reason is null)
                continue;
            error = new SelectorError(reason, start, text);
            return false;
        }
    }

    /// <summary>True for a name that a selector can mention: letters, digits and <c>_ . / -</c>, at most 512 of them.</summary>
    public static bool IsLabelName(ReadOnlySpan<char> name) =>
        name.Length is > 0 and <= MaxLabelLength && IdentifierLength(name) == name.Length;

    // Adds one token and moves on, or says why it cannot.
    private static string? Next(string text, ref int at, List<SelectorToken> tokens)
    {
        var next = at + 1 < text.Length ? text[at + 1] : '\0';
        switch (text[at])
        {
            case '(': return Add(SelectorTokenKind.LParen, 1, ref at, tokens);
            case ')': return Add(SelectorTokenKind.RParen, 1, ref at, tokens);
            case '{': return Add(SelectorTokenKind.LBrace, 1, ref at, tokens);
            case '}': return Add(SelectorTokenKind.RBrace, 1, ref at, tokens);
            case ',': return Add(SelectorTokenKind.Comma, 1, ref at, tokens);
            case '=' when next == '=': return Add(SelectorTokenKind.Eq, 2, ref at, tokens);
            case '=': return "expected '=='";
            case '!' when next == '=': return Add(SelectorTokenKind.Ne, 2, ref at, tokens);
            case '!': return Add(SelectorTokenKind.Not, 1, ref at, tokens);
            case '&' when next == '&': return Add(SelectorTokenKind.And, 2, ref at, tokens);
            case '&': return "expected '&&'";
            case '|' when next == '|': return Add(SelectorTokenKind.Or, 2, ref at, tokens);
            case '|': return "expected '||'";
            case '"' or '\'': return Literal(text, ref at, tokens);
            default:
                return tokens.Count > 0 && tokens[^1].Kind == SelectorTokenKind.Label
                    ? Operator(text, ref at, tokens)
                    : Term(text, ref at, tokens);
        }
    }

    private static string? Add(SelectorTokenKind kind, int length, ref int at, List<SelectorToken> tokens)
    {
        tokens.Add(new SelectorToken(kind, "", at));
        at += length;
        return null;
    }

    private static string? Literal(string text, ref int at, List<SelectorToken> tokens)
    {
        var end = text.IndexOf(text[at], at + 1);
        if (end < 0)
            return $"the string opened with {text[at]} is not closed";
        tokens.Add(new SelectorToken(SelectorTokenKind.StringLiteral, text[(at + 1)..end], at));
        at = end + 1;
        return null;
    }

    private static string? Operator(string text, ref int at, List<SelectorToken> tokens)
    {
        ReadOnlySpan<(SelectorTokenKind Kind, string First, string Second)> operators =
        [
            (SelectorTokenKind.Contains, "contains", ""),
            (SelectorTokenKind.StartsWith, "starts", "with"),
            (SelectorTokenKind.EndsWith, "ends", "with"),
            (SelectorTokenKind.NotIn, "not", "in"),
            (SelectorTokenKind.In, "in", ""),
        ];
        foreach (var (kind, first, second) in operators)
        {
            var end = at;
            if (!Eat(text, ref end, first))
                continue;
            if (second.Length > 0)
            {
                end = SkipBlanks(text, end);
                if (!Eat(text, ref end, second))
                    continue;
            }
            if (end < text.Length && IsNameCharacter(text[end]))
                continue;
            tokens.Add(new SelectorToken(kind, "", at));
            at = end;
            return null;
        }
        return $"expected an operator behind label '{tokens[^1].Text}'";
    }

    private static string? Term(string text, ref int at, List<SelectorToken> tokens)
    {
        var start = at;
        if (Eat(text, ref at, "has("))
        {
            at = SkipBlanks(text, at);
            var reason = Name(text, ref at, out var label);
            return reason ?? Close(text, ref at, new SelectorToken(SelectorTokenKind.Has, label, start), "has(", tokens);
        }
        if (Eat(text, ref at, "all("))
            return Close(text, ref at, new SelectorToken(SelectorTokenKind.All, "", start), "all(", tokens);
        if (Eat(text, ref at, "global("))
            return Close(text, ref at, new SelectorToken(SelectorTokenKind.Global, "", start), "global(", tokens);
        var bad = Name(text, ref at, out var name);
        if (bad is null)
            tokens.Add(new SelectorToken(SelectorTokenKind.Label, name, start));
        return bad;
    }

    private static string? Close(string text, ref int at, SelectorToken token, string opened, List<SelectorToken> tokens)
    {
        at = SkipBlanks(text, at);
        if (!Eat(text, ref at, ")"))
            return $"no ')' closes {opened}";
        tokens.Add(token);
        return null;
    }

    private static string? Name(string text, ref int at, out string name)
    {
        name = "";
        var length = IdentifierLength(text.AsSpan(at));
        if (length == 0)
            return "expected a label name";
        if (length > MaxLabelLength)
            return $"the label name has {length} characters, {MaxLabelLength} is the most";
        name = text.Substring(at, length);
        at += length;
        return null;
    }

    private static bool Eat(string text, ref int at, string expected)
    {
        if (!text.AsSpan(at).StartsWith(expected, StringComparison.Ordinal))
            return false;
        at += expected.Length;
        return true;
    }

    private static int SkipBlanks(string text, int at)
    {
        while (at < text.Length && text[at] is (' ' or '\t'))
            at++;
        return at;
    }

    private static int IdentifierLength(ReadOnlySpan<char> text)
    {
        var length = 0;
        while (length < text.Length && IsNameCharacter(text[length]))
            length++;
        return length;
    }

    private static bool IsNameCharacter(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or '/' or '-';
}
