using System.Diagnostics.CodeAnalysis;

namespace Calico.Kernel.Netlink;

/// <summary>The netlink families we speak (linux/netlink.h).</summary>
public enum NetlinkProtocol
{
    Route = 0,
    Netfilter = 12,
}

/// <summary>Message types below NLMSG_MIN_TYPE, which mean the same in every family.</summary>
public static class NetlinkMessageType
{
    public const ushort Noop = 1;
    public const ushort Error = 2;
    public const ushort Done = 3;
    public const ushort Overrun = 4;
    public const ushort FirstOfFamily = 16;
}

/// <summary>nlmsg_flags; the meaning of bits above 0xFF depends on the kind of request.</summary>
[Flags]
[SuppressMessage("Design", "CA1069", Justification = "The kernel uses the same bits again for each kind of request.")]
public enum NetlinkFlags : ushort
{
    None = 0,
    Request = 0x01,
    Multi = 0x02,
    Ack = 0x04,
    Echo = 0x08,

    /// <summary>The dumped table changed while it was dumped: the result may miss or repeat objects.</summary>
    DumpInterrupted = 0x10,
    DumpFiltered = 0x20,

    Root = 0x100,
    Match = 0x200,
    Atomic = 0x400,
    Dump = Root | Match,

    Replace = 0x100,
    Exclusive = 0x200,
    Create = 0x400,
    Append = 0x800,

    NonRecursive = 0x100,
    Bulk = 0x200,

    /// <summary>In an error message: the payload of the refused request was left out.</summary>
    Capped = 0x100,

    /// <summary>In an error or done message: extended acknowledgement attributes follow.</summary>
    AckAttributes = 0x200,
}

/// <summary>Socket options at level SOL_NETLINK.</summary>
internal static class NetlinkOption
{
    public const int AddMembership = 1;
    public const int DropMembership = 2;
    public const int CapAck = 10;
    public const int ExtAck = 11;
    public const int GetStrictCheck = 12;
}
