using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Calico.Core.Net;

namespace Calico.Kernel.Netlink;

/// <summary>
/// Writes netlink messages and their attributes. Lengths are filled in by tokens, every attribute is padded to four
/// bytes with zeros, integers are in host order unless the name says big-endian (nf_tables wants those).
/// Over a fixed span it throws when that is full; over a <see cref="NetlinkBatch"/> it grows the batch.
/// <code>
/// | length 32 | type 16 | flags 16 | sequence 32 | port 32 | family header | attribute | attribute | …
///                                                             attribute = | length 16 | type 16 | value | pad |
/// </code>
/// </summary>
public ref struct NetlinkWriter
{
    public const int HeaderLength = 16;
    private const ushort NestedFlag = 0x8000;

    private readonly NetlinkBatch? _batch;
    private Span<byte> _buffer;
    private int _position;
    private uint _nextSequence;

    /// <summary>Writes into a span of fixed size; sequence numbers count from the one given.</summary>
    public NetlinkWriter(Span<byte> buffer, uint firstSequence)
    {
        _buffer = buffer;
        _nextSequence = firstSequence;
    }

    internal NetlinkWriter(NetlinkBatch batch)
    {
        _batch = batch;
        _buffer = batch.Storage;
        _position = batch.Length;
        _nextSequence = batch.FirstSequence + (uint)batch.Count;
    }

    /// <summary>Where an open message or nested attribute began.</summary>
    public readonly record struct Token(int At);

    public readonly int Position => _position;
    public readonly ReadOnlySpan<byte> Written => _buffer[.._position];

    /// <summary>
    /// Starts a message and gives it the next sequence number; <see cref="NetlinkFlags.Request"/> is added.
    /// The family's fixed header and the attributes follow, then <see cref="EndMessage"/>.
    /// </summary>
    public Token BeginMessage(ushort type, NetlinkFlags flags)
    {
        var token = new Token(_position);
        var header = Take(HeaderLength);
        header[..4].Clear();
        MemoryMarshal.Write(header[4..], type);
        MemoryMarshal.Write(header[6..], (ushort)(flags | NetlinkFlags.Request));
        MemoryMarshal.Write(header[8..], _nextSequence++);
        header[12..].Clear();
        return token;
    }

    /// <summary>Fills in the message's length and, in a batch, commits it.</summary>
    public readonly void EndMessage(Token token)
    {
        MemoryMarshal.Write(_buffer[token.At..], (uint)(_position - token.At));
        _batch?.Commit(token.At, _position);
    }

    /// <summary>Takes back a message, or anything else, that was begun at the token and not ended.</summary>
    public void Abandon(Token token)
    {
        if (_batch is not null && token.At >= _batch.Length)
            _nextSequence = _batch.FirstSequence + (uint)_batch.Count;
        _position = token.At;
    }

    /// <summary>Starts an attribute that contains attributes and marks it so (NLA_F_NESTED).</summary>
    public Token BeginNested(int type) => BeginAttribute(type | NestedFlag);

    /// <summary>Starts an attribute whose value is written piece by piece.</summary>
    public Token BeginAttribute(int type)
    {
        var token = new Token(_position);
        var header = Take(4);
        header[..2].Clear();
        MemoryMarshal.Write(header[2..], (ushort)type);
        return token;
    }

    /// <summary>Fills in the attribute's length and pads it.</summary>
    /// <exception cref="InvalidOperationException">The value exceeds the 16-bit length.</exception>
    public void EndNested(Token token)
    {
        var length = _position - token.At;
        if (length > ushort.MaxValue)
            throw new InvalidOperationException($"a netlink attribute of {length} bytes");
        MemoryMarshal.Write(_buffer[token.At..], (ushort)length);
        Pad();
    }

    /// <summary>Fills in an attribute's length and pads it.</summary>
    public void EndAttribute(Token token) => EndNested(token);

    public void Attribute(int type, scoped ReadOnlySpan<byte> value)
    {
        if (value.Length > ushort.MaxValue - 4)
            throw new InvalidOperationException($"a netlink attribute of {value.Length} bytes");
        AttributeHeader(type, value.Length);
        value.CopyTo(Take(value.Length));
        Pad();
    }

    /// <summary>An attribute without value.</summary>
    public void AttributeFlag(int type) => AttributeHeader(type, 0);

    public void AttributeUInt8(int type, byte value)
    {
        AttributeHeader(type, 1);
        WriteUInt32(value: BitConverter.IsLittleEndian ? value : (uint)value << 24);
    }

    public void AttributeUInt16(int type, ushort value)
    {
        AttributeHeader(type, 2);
        WriteUInt16(value);
        WriteUInt16(0);
    }

    public void AttributeUInt32(int type, uint value)
    {
        AttributeHeader(type, 4);
        WriteUInt32(value);
    }

    public void AttributeInt32(int type, int value) => AttributeUInt32(type, (uint)value);

    public void AttributeUInt64(int type, ulong value)
    {
        AttributeHeader(type, 8);
        MemoryMarshal.Write(Take(8), value);
    }

    public void AttributeUInt16BigEndian(int type, ushort value) =>
        AttributeUInt16(type, BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value);

    public void AttributeUInt32BigEndian(int type, uint value) =>
        AttributeUInt32(type, BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value);

    public void AttributeUInt64BigEndian(int type, ulong value) =>
        AttributeUInt64(type, BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value);

    /// <summary>A NUL-terminated UTF-8 string.</summary>
    public void AttributeString(int type, scoped ReadOnlySpan<char> value)
    {
        var bytes = Encoding.UTF8.GetByteCount(value);
        AttributeHeader(type, bytes + 1);
        var target = Take(bytes + 1);
        Encoding.UTF8.GetBytes(value, target);
        target[bytes] = 0;
        Pad();
    }

    /// <summary>4 or 16 bytes in network order.</summary>
    public void AttributeAddress(int type, IpAddr address)
    {
        AttributeHeader(type, address.ByteLength);
        WriteAddress(address);
    }

    public void AttributeMac(int type, MacAddress mac)
    {
        AttributeHeader(type, 6);
        mac.WriteTo(Take(6));
        Pad();
    }

    public void WriteByte(byte value) => Take(1)[0] = value;
    public void WriteUInt16(ushort value) => MemoryMarshal.Write(Take(2), value);
    public void WriteUInt32(uint value) => MemoryMarshal.Write(Take(4), value);
    public void WriteInt32(int value) => MemoryMarshal.Write(Take(4), value);
    public void WriteUInt16BigEndian(ushort value) => BinaryPrimitives.WriteUInt16BigEndian(Take(2), value);
    public void WriteUInt32BigEndian(uint value) => BinaryPrimitives.WriteUInt32BigEndian(Take(4), value);
    public void WriteAddress(IpAddr address) => address.WriteTo(Take(address.ByteLength));
    public void WriteBytes(scoped ReadOnlySpan<byte> value) => value.CopyTo(Take(value.Length));
    public void WriteZeros(int count) => Take(count).Clear();

    private void AttributeHeader(int type, int valueLength)
    {
        var header = Take(4);
        MemoryMarshal.Write(header, (ushort)(valueLength + 4));
        MemoryMarshal.Write(header[2..], (ushort)type);
    }

    private void Pad()
    {
        var padding = -_position & 3;
        if (padding != 0)
            Take(padding).Clear();
    }

    private Span<byte> Take(int count)
    {
        if (_buffer.Length - _position < count)
            Grow(count);
        var taken = _buffer.Slice(_position, count);
        _position += count;
        return taken;
    }

    private void Grow(int count)
    {
        if (_batch is null)
            throw new InvalidOperationException("the netlink message does not fit its buffer");
        _buffer = _batch.Grow(_position, count);
    }
}
