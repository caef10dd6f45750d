using System.Text;
using Calico.Core.Net;

namespace Calico.Core.Cni;

//     +---------+---------+---------+
//     | command | plugin  |  flags  |      flags: 1 the netns descriptor is attached, 2 an IPAM result follows,
//                                        4 only the configuration is wanted (usePodCidr replaced)
//     +---------+---------+---------+---------+
//     | length (16) | container id  (UTF-8)   |
//     | length (16) | netns path              |
//     | length (16) | interface name          |
//     | length (16) | CNI_ARGS                |
//     | length (16) | CNI_PATH                |
//     | length (32) | network configuration, as it came on standard input |
//     | length (32) | result of the IPAM plugin, if flagged               |
//     +---------------------------------------+

/// <summary>One plugin call as the runtime made it: environment and standard input, nothing interpreted.</summary>
public sealed record CniRequest(CniCommand Command, CniPlugin Plugin)
{
    private const byte NetnsFlag = 1;
    private const byte IpamFlag = 2;
    private const byte ExpandFlag = 4;

    public string ContainerId { get; init; } = "";

    /// <summary>For messages and the result's <c>sandbox</c>; the namespace itself comes as a descriptor.</summary>
    public string NetnsPath { get; init; } = "";
    public string InterfaceName { get; init; } = "";
    public string Args { get; init; } = "";
    public string Path { get; init; } = "";
    public ReadOnlyMemory<byte> Config { get; init; }

    /// <summary>A descriptor of the namespace accompanies the request; DEL may come without.</summary>
    public bool NetnsAttached { get; init; }

    /// <summary>What another's IPAM plugin printed for this call; empty where the node gives the addresses.</summary>
    public ReadOnlyMemory<byte> IpamResult { get; init; }

    /// <summary>
    /// Nothing is to be done: the answer is the configuration for another's IPAM plugin, with this node's pod network in
    /// the place of <c>usePodCidr</c>.
    /// </summary>
    public bool OnlyExpand { get; init; }

    /// <summary>The whole frame, header included.</summary>
    /// <exception cref="ArgumentException">The request is longer than a frame may be.</exception>
    public byte[] ToFrame()
    {
        string[] texts = [ContainerId, NetnsPath, InterfaceName, Args, Path];
        var length = 3 + 4 + Config.Length + (IpamResult.IsEmpty ? 0 : 4 + IpamResult.Length);
        foreach (var text in texts)
        {
            var bytes = Encoding.UTF8.GetByteCount(text);
            if (bytes > ushort.MaxValue)
                throw new ArgumentException("a field of the request is longer than 64 KiB");
            length += 2 + bytes;
        }
        if (length > CniFrame.MaxBodyLength)
            throw new ArgumentException($"the request has {length} bytes, more than {CniFrame.MaxBodyLength}");

        var frame = new byte[CniFrame.HeaderLength + length];
        var writer = new WireWriter(frame);
        new CniFrame(CniFrameKind.Request, length).Write(ref writer);
        writer.WriteByte((byte)Command);
        writer.WriteByte((byte)Plugin);
        writer.WriteByte((byte)((NetnsAttached ? NetnsFlag : 0) | (IpamResult.IsEmpty ? 0 : IpamFlag) | (OnlyExpand ? ExpandFlag : 0)));
        foreach (var text in texts)
        {
            var token = writer.BeginLength16();
            writer.WriteBytes(Encoding.UTF8.GetBytes(text));
            writer.EndLength16(token);
        }
        writer.WriteUInt32((uint)Config.Length);
        writer.WriteBytes(Config.Span);
        if (!IpamResult.IsEmpty)
        {
            writer.WriteUInt32((uint)IpamResult.Length);
            writer.WriteBytes(IpamResult.Span);
        }
        return frame;
    }

    /// <summary>
    /// Decodes a body; <paramref name="error"/> says which field was wrong. Whatever names a file or an interface has the form
    /// that the specification gives it.
    /// </summary>
    public static bool TryDecode(ReadOnlySpan<byte> body, out CniRequest? request, out string? error)
    {
        request = null;
        var reader = new WireReader(body);
        if (!reader.TryReadByte(out var command) || command is < (byte)CniCommand.Add or > (byte)CniCommand.Version)
            return Fail("command", out error);
        if (!reader.TryReadByte(out var plugin) || plugin is not ((byte)CniPlugin.Interface or (byte)CniPlugin.Ipam))
            return Fail("plugin", out error);
        if (!reader.TryReadByte(out var flags) || flags > (NetnsFlag | IpamFlag | ExpandFlag))
            return Fail("flags", out error);
        if (!TryReadText(ref reader, out var containerId))
            return Fail("container id", out error);
        if (!TryReadText(ref reader, out var netns))
            return Fail("netns path", out error);
        if (!TryReadText(ref reader, out var interfaceName))
            return Fail("interface name", out error);
        if (!TryReadText(ref reader, out var args))
            return Fail("arguments", out error);
        if (!TryReadText(ref reader, out var path))
            return Fail("path", out error);
        if (!reader.TryReadUInt32(out var length) || length > CniFrame.MaxBodyLength
            || !reader.TryReadBytes((int)length, out var config))
            return Fail("network configuration", out error);
        ReadOnlySpan<byte> ipam = default;
        if ((flags & IpamFlag) != 0 && (!reader.TryReadUInt32(out length) || length is 0 or > CniFrame.MaxBodyLength
            || !reader.TryReadBytes((int)length, out ipam)))
            return Fail("IPAM result", out error);
        if (!reader.AtEnd)
            return Fail("end", out error);
        if (((CniCommand)command).ConcernsContainer() && containerId.Length == 0)
            return Fail("container id", out error);
        if (((CniCommand)command).ConcernsContainer() && interfaceName.Length == 0)
            return Fail("interface name", out error);
        error = CniInvocation.FaultOf(containerId, interfaceName, args);
        if (error is not null)
            return false;
        request = new CniRequest((CniCommand)command, (CniPlugin)plugin)
        {
            ContainerId = containerId,
            NetnsPath = netns,
            InterfaceName = interfaceName,
            Args = args,
            Path = path,
            Config = config.ToArray(),
            NetnsAttached = (flags & NetnsFlag) != 0,
            IpamResult = ipam.ToArray(),
            OnlyExpand = (flags & ExpandFlag) != 0,
        };
        return true;
    }

    public bool Equals(CniRequest? other) => other is not null && Command == other.Command && Plugin == other.Plugin
        && ContainerId == other.ContainerId && NetnsPath == other.NetnsPath && InterfaceName == other.InterfaceName
        && Args == other.Args && Path == other.Path && NetnsAttached == other.NetnsAttached
        && OnlyExpand == other.OnlyExpand && Config.Span.SequenceEqual(other.Config.Span) && IpamResult.Span.SequenceEqual(other.IpamResult.Span);

    public override int GetHashCode() => HashCode.Combine(Command, Plugin, ContainerId, InterfaceName, Config.Length);

    private static bool TryReadText(ref WireReader reader, out string text)
    {
        text = "";
        if (!reader.TryReadUInt16(out var length) || !reader.TryReadBytes(length, out var bytes))
            return false;
        text = Encoding.UTF8.GetString(bytes);
        return true;
    }

    private static bool Fail(string field, out string? error)
    {
        error = $"the request's {field} is missing or malformed";
        return false;
    }
}
