namespace Calico.Core.Nft;

// nftables as data.
//
// Everything that this product wants the kernel's nf_tables to hold is a value of this namespace, at the level at
// which policy rendering thinks ("source in set X, protocol tcp, ports 80 and 443: jump"), not at the level of the
// kernel's registers; Calico.Kernel translates one into the other.
//
//   policy rendering                         this namespace                              Calico.Kernel.Nft
//   ----------------  SetChain, AddElements  --------------  NftTransaction (a value)    -----------------
//   chains, sets  ------------------------>  NftDelta  ------------------------------->  INftTable.Commit
//                                               ^                                            |
//                                               +--- Adopt(dump), Committed(handles) <-------+
//
// Invariants
//   - A rule's identity is the hash of what it does and of the resource that caused it; the kernel keeps the hash in
//     the rule's comment, so a restart recognises its own rules and writes only the difference.
//   - A transaction is ordered so that the kernel can take it as one batch: whatever is referred to exists before.
//   - NftEvaluator walks the same values as the kernel would; explain and the policy tests use it.
//
// Deliberate gaps: flowtables, dynamic sets, concatenations with intervals, quota, synproxy, tproxy.

/// <summary>Address family of a table, with the kernel's numbers (NFPROTO_*).</summary>
public enum NftFamily : byte
{
    Inet = 1,
    Ip = 2,
    Arp = 3,
    Ip6 = 10,
}

/// <summary>What identifies a table to the kernel.</summary>
public readonly record struct NftTable(NftFamily Family, string Name)
{
    /// <summary>The words of the nft language: <c>ip calico</c>.</summary>
    public override string ToString() => $"{NftText.Word(Family)} {Name}";
}

/// <summary>
/// Where a base chain is attached. The first five have the kernel's numbers for ip, ip6 and inet; in an arp table
/// only <see cref="Input"/> and <see cref="Output"/> exist (numbered 0 and 1 there, which the codec knows).
/// </summary>
public enum NftHook : byte
{
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

public enum NftChainType : byte
{
    Filter,
    Nat,

    /// <summary>
    /// As filter, but a changed mark or address makes the kernel look the route up again (output hook only).
    /// </summary>
    Route,
}

/// <summary>What happens to a packet that reaches the end of a base chain.</summary>
public enum NftPolicy : byte
{
    Drop = 0,
    Accept = 1,
}

/// <summary>Attaches a chain to a hook; lower priorities run first.</summary>
public readonly record struct NftBaseHook(NftChainType Type, NftHook Hook, int Priority,
    NftPolicy Policy = NftPolicy.Accept);

/// <summary>A chain without its rules: a base chain when it has a <see cref="Base"/>, else one to jump to.</summary>
public sealed record NftChain(string Name, NftBaseHook? Base = null)
{
    /// <summary>The kernel's limit for names of chains, sets and tables, with the terminating zero.</summary>
    public const int MaxNameLength = 255;
}

/// <summary>
/// Which resource, at which of its revisions, put an object into the kernel: <c>NetworkPolicy/default/web@812</c>.
/// The revision is the one at which the object got its content; a later revision that changes nothing here writes
/// nothing.
/// </summary>
public readonly record struct Cause(string Resource, string Revision = "")
{
    public static Cause None => default;

    public bool IsNone => string.IsNullOrEmpty(Resource);

    public override string ToString() => string.IsNullOrEmpty(Revision) ? Resource ?? "" : $"{Resource}@{Revision}";

    /// <summary>Reads what <see cref="ToString"/> wrote; text without an at sign has no revision.</summary>
    public static Cause Parse(string text)
    {
        if (text.Length == 0)
            return None;
        var at = text.LastIndexOf('@');
        return at < 0 ? new Cause(text) : new Cause(text[..at], text[(at + 1)..]);
    }
}
