namespace Calico.Core.Bgp.Wire;

/// <summary>
/// What a path attribute does to its UPDATE, from harmless to worst (RFC 7606 section 2); of several the worst counts.
/// </summary>
public enum AttributeVerdict : byte
{
    Accept,

    /// <summary>The attribute is dropped, the routes stay.</summary>
    AttributeDiscard,

    /// <summary>All routes of the UPDATE are handled as if they had been withdrawn.</summary>
    TreatAsWithdraw,

    /// <summary>The message cannot be understood: NOTIFICATION and close.</summary>
    SessionReset,
}

/// <summary>One thing wrong with one attribute; <paramref name="Subcode"/> is of <see cref="ErrorCode.UpdateMessage"/>.</summary>
public readonly record struct AttributeProblem(AttributeType Type, AttributeVerdict Verdict, byte Subcode,
    string Reason)
{
    public static AttributeProblem None => default;

    public override string ToString() => $"attribute {(byte)Type} ({Type}): {Reason}";
}
