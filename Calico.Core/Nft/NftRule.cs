using System.Buffers.Binary;
using System.Buffers.Text;
using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Calico.Core.Nft;

/// <summary>
/// 96 bits that identify what a rule does: the beginning of SHA-256 over its text and the resource that caused it.
/// Written as 16 characters of base64url.
/// </summary>
public readonly record struct NftRuleHash(ulong High, uint Low)
{
    public const int TextLength = 16;

    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, High);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], Low);
        return Base64Url.EncodeToString(bytes);
    }

    public static NftRuleHash Of(ReadOnlySpan<char> text)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        var length = Encoding.UTF8.GetByteCount(text);
        var utf8 = length <= 1024 ? stackalloc byte[length] : new byte[length];
        Encoding.UTF8.GetBytes(text, utf8);
        SHA256.HashData(utf8, digest);
        return FromBytes(digest);
    }

    public static bool TryParse(ReadOnlySpan<char> text, out NftRuleHash hash)
    {
        hash = default;
        Span<byte> bytes = stackalloc byte[12];
        if (text.Length != TextLength || !Base64Url.IsValid(text)
            || !Base64Url.TryDecodeFromChars(text, bytes, out var n) || n != bytes.Length)
            return false;
        hash = FromBytes(bytes);
        return true;
    }

    private static NftRuleHash FromBytes(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadUInt64BigEndian(bytes), BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]));
}

/// <summary>
/// One rule: conditions and actions in order, and why it is there. Two rules are the same when their
/// <see cref="Hash"/> is: same terms, same causing resource, whatever its revision.
/// </summary>
public sealed class NftRule : IEquatable<NftRule>
{
    /// <summary>What nft and the kernel allow for a comment, in bytes.</summary>
    public const int MaxCommentLength = 128;

    private const string CommentPrefix = "cali:";
    private NftRuleHash? _hash;

    /// <exception cref="ArgumentException">
    /// A port is matched without a protocol that has ports, TCP reset without tcp, or terms follow a verdict.
    /// </exception>
    public NftRule(ImmutableArray<NftTerm> terms, Cause cause = default)
    {
        Validate(terms);
        Terms = terms;
        Cause = cause;
    }

    public NftRule(Cause cause, params ReadOnlySpan<NftTerm> terms) : this([.. terms], cause) { }

    public ImmutableArray<NftTerm> Terms { get; }
    public Cause Cause { get; }

    public NftRuleHash Hash => _hash ??= NftRuleHash.Of($"{NftText.Render(this)} # {Cause.Resource}");

    /// <summary>
    /// What the kernel keeps beside the rule: <c>cali:</c>, the hash, and the cause as far as it fits.
    /// </summary>
    public string Comment => NftText.Printable($"{CommentPrefix}{Hash}; {Cause}".TrimEnd(' ', ';'), MaxCommentLength);

    /// <summary>Reads hash and cause back from a comment of ours.</summary>
    public static bool TryParseComment([NotNullWhen(true)] string? comment, out NftRuleHash hash, out Cause cause)
    {
        hash = default;
        cause = Cause.None;
        if (comment is null || !comment.StartsWith(CommentPrefix, StringComparison.Ordinal)
            || comment.Length < CommentPrefix.Length + NftRuleHash.TextLength
            || !NftRuleHash.TryParse(comment.AsSpan(CommentPrefix.Length, NftRuleHash.TextLength), out hash))
            return false;
        var rest = comment.AsSpan(CommentPrefix.Length + NftRuleHash.TextLength);
        if (rest.StartsWith("; "))
            cause = Cause.Parse(rest[2..].ToString());
        return rest.IsEmpty || rest.StartsWith("; ");
    }

    /// <summary>Chains that the rule jumps or goes to.</summary>
    public IEnumerable<string> ReferencedChains =>
        Terms.OfType<NftStatement.Verdict>().Select(v => v.Value.Chain).OfType<string>();

    /// <summary>Sets and maps that the rule looks into.</summary>
    public IEnumerable<string> ReferencedSets
    {
        get
        {
            foreach (var term in Terms)
            {
                if (term is NftMatch.InSet { Set: var set })
                    yield return set;
                else if (term is NftStatement.VerdictMap { Map: var map })
                    yield return map;
            }
        }
    }

    public bool Equals(NftRule? other) => ReferenceEquals(this, other) || (other is not null && Hash == other.Hash);
    public override bool Equals(object? obj) => Equals(obj as NftRule);
    public override int GetHashCode() => Hash.GetHashCode();

    /// <summary>The rule in nft's words, with its comment.</summary>
    public override string ToString() => $"{NftText.Render(this)} comment \"{Comment}\"";

    private static void Validate(ImmutableArray<NftTerm> terms)
    {
        byte? protocol = null;
        var ended = false;
        foreach (var term in terms)
        {
            if (ended)
                throw new ArgumentException($"{NftText.Render(term)} comes after the end of the rule", nameof(terms));
            switch (term)
            {
                case NftMatch.Protocol { Negate: false, Number: var number }:
                    protocol = number;
                    break;
                case NftMatch.Port when protocol is not (6 or 17 or 33 or 132 or 136):
                    throw new ArgumentException("a port is matched without a protocol that has ports", nameof(terms));
                case NftStatement.Reject { With: NftRejectWith.TcpReset } when protocol != 6:
                    throw new ArgumentException("a TCP reset is sent without tcp being matched", nameof(terms));
                case NftStatement.Verdict or NftStatement.Reject:
                    ended = true;
                    break;
            }
        }
    }
}
