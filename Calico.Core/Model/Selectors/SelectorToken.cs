namespace Calico.Core.Model.Selectors;

/// <summary>The terminals of the selector language.</summary>
public enum SelectorTokenKind : byte
{
    Label,
    StringLiteral,
    LBrace,
    RBrace,
    Comma,
    Eq,
    Ne,
    In,
    Not,
    NotIn,
    Contains,
    StartsWith,
    EndsWith,
    All,
    Has,
    LParen,
    RParen,
    And,
    Or,
    Global,
    Eof,
}

/// <summary>One token: labels, literals and <c>has()</c> carry their text, and all know where they start.</summary>
public readonly record struct SelectorToken(SelectorTokenKind Kind, string Text, int Position);

/// <summary>Why and where a selector is not one. Positions count characters from 0.</summary>
public sealed record SelectorError(string Reason, int Position, string Selector)
{
    public override string ToString() => $"selector '{Selector}': {Reason} at character {Position + 1}";
}

/// <summary>Text that does not parse as a selector; the message names the reason and the place.</summary>
public sealed class SelectorException(SelectorError error) : FormatException(error.ToString())
{
    public SelectorError Error { get; } = error;
}
