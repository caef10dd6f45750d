using Calico.Core.Net;
using Calico.Core.Nft;

namespace Calico.Kernel.Nft;

/// <summary>Numbers that both directions of the codec need.</summary>
internal static class NftCodes
{
    public static int Of(NftVerdictKind kind) => kind switch
    {
        NftVerdictKind.Accept => NftVerdictCode.Accept,
        NftVerdictKind.Drop => NftVerdictCode.Drop,
        NftVerdictKind.Return => NftVerdictCode.Return,
        NftVerdictKind.Jump => NftVerdictCode.Jump,
        _ => NftVerdictCode.Goto,
    };

    /// <summary>The packet's family as meta nfproto has it.</summary>
    public static byte Family(IpVersion version) => (byte)(version == IpVersion.V4 ? NftFamily.Ip : NftFamily.Ip6);

    public static NftVerdict? Verdict(int code, string? chain) => code switch
    {
        NftVerdictCode.Accept => NftVerdict.Accept,
        NftVerdictCode.Drop => NftVerdict.Drop,
        NftVerdictCode.Return => NftVerdict.Return,
        NftVerdictCode.Jump when chain is not null => NftVerdict.Jump(chain),
        NftVerdictCode.Goto when chain is not null => NftVerdict.Goto(chain),
        _ => null,
    };

    /// <summary>
    /// Codes of RFC 792 and 1812, of RFC 4443, and for both families at once (icmpx) the kernel's own.
    /// </summary>
    public static (uint Type, byte Code) Reject(NftRejectWith with, IpVersion? version) => (with, version) switch
    {
        (NftRejectWith.TcpReset, _) => (NftRejectType.TcpReset, 0),
        (NftRejectWith.AdminProhibited, IpVersion.V4) => (NftRejectType.IcmpUnreachable, 13),
        (NftRejectWith.AdminProhibited, IpVersion.V6) => (NftRejectType.IcmpUnreachable, 1),
        (NftRejectWith.AdminProhibited, _) => (NftRejectType.IcmpxUnreachable, 3),
        (_, IpVersion.V4) => (NftRejectType.IcmpUnreachable, 3),
        (_, IpVersion.V6) => (NftRejectType.IcmpUnreachable, 4),
        _ => (NftRejectType.IcmpxUnreachable, 1),
    };

    /// <summary>The kernel's number of a hook, which depends on the family.</summary>
    public static uint Hook(NftFamily family, NftHook hook) => (family, hook) switch
    {
        (NftFamily.Arp, NftHook.Input) => 0,
        (NftFamily.Arp, NftHook.Output) => 1,
        (NftFamily.Arp, _) => throw new ArgumentException($"arp has no {hook} hook"),
        _ => (uint)hook,
    };

    public static NftHook? Hook(NftFamily family, uint number) => (family, number) switch
    {
        (NftFamily.Arp, 0) => NftHook.Input,
        (NftFamily.Arp, 1) => NftHook.Output,
        (NftFamily.Arp, _) or (_, > 4) => null,
        _ => (NftHook)number,
    };

    public static string ChainType(NftChainType type) => type switch
    {
        NftChainType.Nat => "nat",
        NftChainType.Route => "route",
        _ => "filter",
    };
}
