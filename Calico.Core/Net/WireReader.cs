using System.Buffers.Binary;

namespace Calico.Core.Net;

/// <summary>
/// Reads big-endian fields from a span and never past its end: each read says whether the bytes were there.
/// Decoders of peer input turn a false into their protocol's error; nothing here throws.
/// </summary>
public ref struct WireReader(ReadOnlySpan<byte> buffer)
{
    private readonly ReadOnlySpan<byte> _buffer = buffer;
    private int _position;

    public readonly int Position => _position;
    public readonly int Remaining => _buffer.Length - _position;
    public readonly bool AtEnd => _position == _buffer.Length;
    public readonly ReadOnlySpan<byte> Rest => _buffer[_position..];

    public bool TryReadByte(out byte value)
    {
        if (Remaining < 1)
        {
            value = 0;
            return false;
        }
        value = _buffer[_position++];
        return true;
    }

    public bool TryReadUInt16(out ushort value)
    {
        if (!BinaryPrimitives.TryReadUInt16BigEndian(Rest, out value))
            return false;
        _position += 2;
        return true;
    }

    public bool TryReadUInt32(out uint value)
    {
        if (!BinaryPrimitives.TryReadUInt32BigEndian(Rest, out value))
            return false;
        _position += 4;
        return true;
    }

    public bool TryReadUInt64(out ulong value)
    {
        if (!BinaryPrimitives.TryReadUInt64BigEndian(Rest, out value))
            return false;
        _position += 8;
        return true;
    }

    /// <summary>Takes the next <paramref name="length"/> bytes as a span of the same buffer.</summary>
    public bool TryReadBytes(int length, out ReadOnlySpan<byte> value)
    {
        if (length < 0 || Remaining < length)
        {
            value = default;
            return false;
        }
        value = _buffer.Slice(_position, length);
        _position += length;
        return true;
    }

    /// <summary>Takes the next <paramref name="length"/> bytes as a reader of their own.</summary>
    public bool TryReadNested(int length, out WireReader nested)
    {
        if (!TryReadBytes(length, out var bytes))
        {
            nested = default;
            return false;
        }
        nested = new WireReader(bytes);
        return true;
    }
}
