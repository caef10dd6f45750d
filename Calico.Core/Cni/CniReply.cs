using Calico.Core.Net;

namespace Calico.Core.Cni;

//     +-------------+--------------+---------------------------------+
//     | exit status | length (32)  | what goes to standard output    |
//     +-------------+--------------+---------------------------------+

/// <summary>What the shim prints and the status it ends with.</summary>
public sealed record CniReply(byte ExitCode, ReadOnlyMemory<byte> Output)
{
    /// <summary>Success without a result (DEL, CHECK, STATUS, GC print nothing).</summary>
    public static CniReply Done { get; } = new(0, ReadOnlyMemory<byte>.Empty);

    /// <summary>The result of an ADD in the shape of the runtime's version.</summary>
    public static CniReply Result(CniResult result, CniVersion version) => new(0, result.ToBytes(version));

    /// <summary>The whole frame, header included.</summary>
    /// <exception cref="ArgumentException">The output is longer than a frame may be.</exception>
    public byte[] ToFrame()
    {
        var length = 5 + Output.Length;
        if (length > CniFrame.MaxBodyLength)
            throw new ArgumentException($"the reply has {length} bytes, more than {CniFrame.MaxBodyLength}");
        var frame = new byte[CniFrame.HeaderLength + length];
        var writer = new WireWriter(frame);
        new CniFrame(CniFrameKind.Reply, length).Write(ref writer);
        writer.WriteByte(ExitCode);
        writer.WriteUInt32((uint)Output.Length);
        writer.WriteBytes(Output.Span);
        return frame;
    }

    /// <summary>Decodes a body; anything but an exact fit is refused.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> body, out CniReply? reply)
    {
        reply = null;
        var reader = new WireReader(body);
        if (!reader.TryReadByte(out var exitCode) || !reader.TryReadUInt32(out var length)
            || length > CniFrame.MaxBodyLength || !reader.TryReadBytes((int)length, out var output) || !reader.AtEnd)
            return false;
        reply = new CniReply(exitCode, output.ToArray());
        return true;
    }

    public bool Equals(CniReply? other) =>
        other is not null && ExitCode == other.ExitCode && Output.Span.SequenceEqual(other.Output.Span);

    public override int GetHashCode() => HashCode.Combine(ExitCode, Output.Length);
}
