namespace Calico.Kernel.Nft;

/// <summary>
/// nf_tables message types (linux/netfilter/nf_tables.h), which follow the subsystem's number in the type.
/// </summary>
internal static class NftMessage
{
    public const int Subsystem = 10;
    public const ushort BatchBegin = 0x10;
    public const ushort BatchEnd = 0x11;
    public const ushort NewTable = (Subsystem << 8) | 0;
    public const ushort GetTable = (Subsystem << 8) | 1;
    public const ushort DeleteTable = (Subsystem << 8) | 2;
    public const ushort NewChain = (Subsystem << 8) | 3;
    public const ushort GetChain = (Subsystem << 8) | 4;
    public const ushort DeleteChain = (Subsystem << 8) | 5;
    public const ushort NewRule = (Subsystem << 8) | 6;
    public const ushort GetRule = (Subsystem << 8) | 7;
    public const ushort DeleteRule = (Subsystem << 8) | 8;
    public const ushort NewSet = (Subsystem << 8) | 9;
    public const ushort GetSet = (Subsystem << 8) | 10;
    public const ushort DeleteSet = (Subsystem << 8) | 11;
    public const ushort NewElements = (Subsystem << 8) | 12;
    public const ushort GetElements = (Subsystem << 8) | 13;
    public const ushort DeleteElements = (Subsystem << 8) | 14;
    public const ushort NewGeneration = (Subsystem << 8) | 15;
    public const ushort GetGeneration = (Subsystem << 8) | 16;
}

internal static class NftTableAttribute
{
    public const int Name = 1;
}

internal static class NftChainAttribute
{
    public const int Table = 1;
    public const int Name = 3;
    public const int Hook = 4;
    public const int Policy = 5;
    public const int Type = 7;
    public const int HookNumber = 1;
    public const int HookPriority = 2;
}

internal static class NftRuleAttribute
{
    public const int Table = 1;
    public const int Chain = 2;
    public const int Handle = 3;
    public const int Expressions = 4;
    public const int Position = 6;
    public const int UserData = 7;
}

internal static class NftSetAttribute
{
    public const int Table = 1;
    public const int Name = 2;
    public const int Flags = 3;
    public const int KeyType = 4;
    public const int KeyLength = 5;
    public const int DataType = 6;
    public const int DataLength = 7;
    public const int Description = 9;
    public const int Id = 10;
    public const int UserData = 13;
    public const int DescriptionSize = 1;
}

internal static class NftSetFlag
{
    public const uint Anonymous = 0x1;
    public const uint Constant = 0x2;
    public const uint Interval = 0x4;
    public const uint Map = 0x8;
    public const uint DataVerdict = 0xffffff00;
}

internal static class NftElementAttribute
{
    public const int ListTable = 1;
    public const int ListSet = 2;
    public const int ListElements = 3;
    public const int ListSetId = 4;
    public const int Key = 1;
    public const int Data = 2;
    public const int Flags = 3;
    public const int KeyEnd = 10;
    public const uint IntervalEnd = 1;
}

internal static class NftDataAttribute
{
    public const int Element = 1;
    public const int Value = 1;
    public const int Verdict = 2;
    public const int VerdictCode = 1;
    public const int VerdictChain = 2;
}

/// <summary>Verdict codes; accept and drop are netfilter's, the negative ones nf_tables' own.</summary>
internal static class NftVerdictCode
{
    public const int Drop = 0;
    public const int Accept = 1;
    public const int Jump = -3;
    public const int Goto = -4;
    public const int Return = -5;
}

internal static class NftMetaKey
{
    public const uint Mark = 3;
    public const uint InInterfaceName = 6;
    public const uint OutInterfaceName = 7;
    public const uint Family = 15;
    public const uint L4Protocol = 16;
}

internal static class NftCtKey
{
    public const uint State = 0;
    public const uint Status = 2;
    public const uint Mark = 3;

    /// <summary>IPS_DST_NAT in nf_conntrack_common.h.</summary>
    public const uint StatusDnat = 1 << 5;
}

internal static class NftCompare
{
    public const uint Equal = 0;
    public const uint NotEqual = 1;
    public const uint LessOrEqual = 3;
    public const uint GreaterOrEqual = 5;
}

internal static class NftFib
{
    public const uint Source = 1 << 0;
    public const uint Destination = 1 << 1;
    public const uint Mark = 1 << 2;
    public const uint InInterface = 1 << 3;
    public const uint OutInterface = 1 << 4;
    public const uint ResultOutInterface = 1;
    public const uint ResultAddressType = 3;
}

internal static class NftRejectType
{
    public const uint IcmpUnreachable = 0;
    public const uint TcpReset = 1;
    public const uint IcmpxUnreachable = 2;
}

internal static class NftNatFlag
{
    public const uint ProtoSpecified = 1 << 1;
    public const uint FullyRandom = 1 << 4;
}

/// <summary>Types of the entries in the user data that nft keeps beside rules and sets (libnftnl/udata.h).</summary>
internal static class NftUserData
{
    public const byte RuleComment = 0;
    public const byte SetKeyByteOrder = 0;
    public const byte SetComment = 7;

    /// <summary>Values of <see cref="SetKeyByteOrder"/>: without it nft misreads interface names.</summary>
    public const uint HostEndian = 1;
    public const uint BigEndian = 2;
}
