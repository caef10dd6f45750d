namespace Calico.Core.Bgp.Wire;

/// <summary>A KEEPALIVE is a header and nothing else (RFC 4271 section 4.4).</summary>
public static class KeepaliveMessage
{
    private static readonly byte[] Octets = Build();

    /// <summary>The whole message.</summary>
    public static ReadOnlyMemory<byte> Bytes => Octets;

    private static byte[] Build()
    {
        var message = new byte[BgpFraming.HeaderLength];
        BgpFraming.BeginMessage(message, MessageType.Keepalive);
        BgpFraming.EndMessage(message, message.Length);
        return message;
    }
}
