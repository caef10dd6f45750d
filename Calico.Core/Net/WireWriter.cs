using System.Buffers.Binary;

namespace Calico.Core.Net;

/// <summary>
/// Writes big-endian fields into a caller's span. A length field that precedes its content is reserved with
/// <see cref="BeginLength16"/> and filled in by <see cref="EndLength16"/>, so nobody computes offsets by hand.
/// A span that is too small is the caller's bug and throws.
/// </summary>
public ref struct WireWriter(Span<byte> buffer)
{
    private readonly Span<byte> _buffer = buffer;
    private int _position;

    /// <summary>Where a length field was reserved.</summary>
    public readonly record struct LengthToken(int At);

    public readonly int Position => _position;
    public readonly int Remaining => _buffer.Length - _position;
    public readonly Span<byte> Written => _buffer[.._position];

    public void WriteByte(byte value) => _buffer[_position++] = value;

    public void WriteUInt16(ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(_buffer[_position..], value);
        _position += 2;
    }

    public void WriteUInt32(uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(_buffer[_position..], value);
        _position += 4;
    }

    public void WriteUInt64(ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(_buffer[_position..], value);
        _position += 8;
    }

    public void WriteBytes(scoped ReadOnlySpan<byte> value)
    {
        value.CopyTo(_buffer[_position..]);
        _position += value.Length;
    }

    /// <summary>Reserves one byte for the length of what follows.</summary>
    public LengthToken BeginLength8() => Reserve(1);

    /// <summary>Reserves two bytes for the length of what follows.</summary>
    public LengthToken BeginLength16() => Reserve(2);

    public readonly void EndLength8(LengthToken token) =>
        _buffer[token.At] = checked((byte)(_position - token.At - 1));

    public readonly void EndLength16(LengthToken token) =>
        BinaryPrimitives.WriteUInt16BigEndian(_buffer[token.At..], checked((ushort)(_position - token.At - 2)));

    private LengthToken Reserve(int bytes)
    {
        var token = new LengthToken(_position);
        _buffer.Slice(_position, bytes).Clear();
        _position += bytes;
        return token;
    }
}
