using Calico.Core.Net;

namespace Calico.Core.Cni;

// The conversation between the CNI shim and the node, one per plugin call:
//
//     container runtime          shim (calico-cni)                    node (calico-node)
//        | exec, env, stdin          |                                     |
//        |-------------------------->| checks what needs no node,          |
//        |                           | opens CNI_NETNS                     |
//        |                           |-- frame Request + the netns fd ---->|
//        |                           |                                     | address, veth, routes,
//        |                           |                                     | policy, all committed
//        |                           |<------------- frame Reply ----------|
//        |<--------------------------| stdout, exit status                 |
//
// The descriptor travels with SCM_RIGHTS, so the node needs neither the runtime's mounts nor its path. The shim holds
// no credentials and knows no datastore. A frame:
//
//      0               2               4               6               8
//     +-------+-------+-------+-------+---------------+---------------+
//     |            "CCNI"             |    version    |     kind      |
//     +-------------------------------+---------------+---------------+
//     |      length of the body       |  body ...
//     +-------------------------------+
//
// All numbers are big-endian. A body is at most 1 MiB. Version 1 is the only one; a node that meets a newer shim says
// so in a version 1 reply. Nothing here throws on a peer's bytes.

/// <summary>What a frame carries.</summary>
public enum CniFrameKind : ushort
{
    Request = 1,
    Reply = 2,
}

/// <summary>Why a frame was refused.</summary>
public enum CniFrameFault
{
    None,

    /// <summary>Fewer bytes than a header or the announced body: read more, or the peer went away.</summary>
    Incomplete,
    BadMagic,
    UnsupportedVersion,
    UnknownKind,
    TooLong,
}

/// <summary>The header of a frame; framing is apart from decoding, so that partial reads are handled in one place.</summary>
public readonly record struct CniFrame(CniFrameKind Kind, int Length)
{
    public const uint Magic = 0x43_43_4E_49;
    public const ushort Version = 1;
    public const int HeaderLength = 12;
    public const int MaxBodyLength = 1 << 20;

    /// <summary>Reads a header from the start of <paramref name="bytes"/>; a version other than ours is a fault.</summary>
    public static CniFrameFault TryRead(ReadOnlySpan<byte> bytes, out CniFrame frame)
    {
        frame = default;
        var reader = new WireReader(bytes);
        if (!reader.TryReadUInt32(out var magic))
            return CniFrameFault.Incomplete;
        if (magic != Magic)
            return CniFrameFault.BadMagic;
        if (!reader.TryReadUInt16(out var version) || !reader.TryReadUInt16(out var kind)
            || !reader.TryReadUInt32(out var length))
            return CniFrameFault.Incomplete;
        if (version != Version)
            return CniFrameFault.UnsupportedVersion;
        if (kind is not ((ushort)CniFrameKind.Request or (ushort)CniFrameKind.Reply))
            return CniFrameFault.UnknownKind;
        if (length > MaxBodyLength)
            return CniFrameFault.TooLong;
        frame = new CniFrame((CniFrameKind)kind, (int)length);
        return CniFrameFault.None;
    }

    /// <summary>Writes the header of a body of <see cref="Length"/> bytes.</summary>
    public void Write(ref WireWriter writer)
    {
        writer.WriteUInt32(Magic);
        writer.WriteUInt16(Version);
        writer.WriteUInt16((ushort)Kind);
        writer.WriteUInt32((uint)Length);
    }

    /// <summary>The sentence a person reads about a fault.</summary>
    public static string Describe(CniFrameFault fault) => fault switch
    {
        CniFrameFault.None => "the frame is complete",
        CniFrameFault.Incomplete => "the connection ended in the middle of a frame",
        CniFrameFault.BadMagic => "the peer does not speak the CNI shim's protocol",
        CniFrameFault.UnsupportedVersion => "the peer speaks another version of the CNI shim's protocol; install shim and node of one release",
        CniFrameFault.UnknownKind => "the frame is neither a request nor a reply",
        _ => "the frame is longer than 1 MiB",
    };
}
