using System.Runtime.InteropServices;

namespace Calico.Kernel.Netlink;

/// <summary>
/// The end of a request: NLMSG_ERROR (0 is success) or NLMSG_DONE, with the extended acknowledgement behind it.
/// <code>
/// NLMSG_ERROR  | -errno 32 | header of the request 16 bytes | its payload unless capped | attributes |
/// NLMSG_DONE   | -errno 32 | attributes |
/// </code>
/// </summary>
internal readonly record struct NetlinkError(Errno Errno, string? Text, int Offset)
{
    private const int AttributeText = 1;
    private const int AttributeOffset = 2;

    public static NetlinkError Read(in NetlinkMessage message, bool withText)
    {
        var payload = message.Payload;
        // The kernel always sends the code with an error; a bare DONE is success.
        var code = payload.Length >= 4 ? MemoryMarshal.Read<int>(payload) : 0;
        var errno = code < 0 ? (Errno)(-(long)code) : Errno.None;
        if (!withText || (message.Flags & NetlinkFlags.AckAttributes) == 0)
            return new NetlinkError(errno, null, 0);
        var skip = 4;
        if (message.Type == NetlinkMessageType.Error)
        {
            skip += NetlinkWriter.HeaderLength;
            if ((message.Flags & NetlinkFlags.Capped) == 0 && payload.Length >= 8)
            {
                var original = (long)MemoryMarshal.Read<uint>(payload[4..]) - NetlinkWriter.HeaderLength;
                skip = (int)Math.Clamp(skip + ((original + 3) & ~3L), skip, payload.Length);
            }
        }
        string? text = null;
        var offset = 0;
        var attributes = message.Attributes(skip);
        while (attributes.TryNext(out var attribute))
        {
            if (attribute.Type == AttributeText)
                text = attribute.String;
            else if (attribute.Type == AttributeOffset)
                offset = attribute.Int32;
        }
        return new NetlinkError(errno, text, offset);
    }
}
