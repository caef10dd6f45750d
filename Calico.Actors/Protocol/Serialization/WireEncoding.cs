using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text;
using Calico.Core.Net;

namespace Calico.Actors.Protocol.Serialization;

/// <summary>Writes the body of a wire message: little fields, length-prefixed text, variable-length integers.</summary>
public sealed class MessageWriter
{
    private readonly ArrayBufferWriter<byte> _buffer = new(256);

    public byte[] ToArray() => _buffer.WrittenSpan.ToArray();

    public MessageWriter Byte(byte value)
    {
        _buffer.GetSpan(1)[0] = value;
        _buffer.Advance(1);
        return this;
    }

    public MessageWriter Bool(bool value) => Byte(value ? (byte)1 : (byte)0);

    public MessageWriter Int64(long value)
    {
        BinaryPrimitives.WriteInt64BigEndian(_buffer.GetSpan(8), value);
        _buffer.Advance(8);
        return this;
    }

    /// <summary>An unsigned integer, seven bits a byte, least significant first.</summary>
    public MessageWriter Varint(uint value)
    {
        while (value >= 0x80)
        {
            Byte((byte)(value | 0x80));
            value >>= 7;
        }
        return Byte((byte)value);
    }

    public MessageWriter Bytes(ReadOnlySpan<byte> value)
    {
        Varint((uint)value.Length);
        value.CopyTo(_buffer.GetSpan(value.Length));
        _buffer.Advance(value.Length);
        return this;
    }

    public MessageWriter Text(string value) => Bytes(Encoding.UTF8.GetBytes(value));

    public MessageWriter OptionalText(string? value)
    {
        Bool(value is not null);
        return value is null ? this : Text(value);
    }

    public MessageWriter OptionalBytes(ReadOnlyMemory<byte>? value)
    {
        Bool(value is not null);
        return value is { } bytes ? Bytes(bytes.Span) : this;
    }

    public MessageWriter Address(IpAddr? value)
    {
        if (value is not { } address)
            return Byte(0);
        Span<byte> bytes = stackalloc byte[16];
        return Bytes(bytes[..address.WriteTo(bytes)]);
    }

    public MessageWriter Cidr(Cidr value) => Address(value.Address).Byte(value.PrefixLength);

    public MessageWriter List<T>(ImmutableArray<T> items, Action<MessageWriter, T> write)
    {
        Varint((uint)items.Length);
        foreach (var item in items)
            write(this, item);
        return this;
    }
}

/// <summary>
/// Reads what <see cref="MessageWriter"/> wrote. A body that is cut or overlong throws
/// <see cref="FormatException"/>, which the remoting layer logs and drops.
/// </summary>
public sealed class MessageReader(byte[] buffer)
{
    private int _position;

    public bool AtEnd => _position == buffer.Length;

    public byte Byte() => _position < buffer.Length ? buffer[_position++] : throw Cut();

    public bool Bool() => Byte() != 0;

    public long Int64() => BinaryPrimitives.ReadInt64BigEndian(Take(8));

    public uint Varint()
    {
        uint value = 0;
        for (var shift = 0; shift < 35; shift += 7)
        {
            var b = Byte();
            value |= (uint)(b & 0x7F) << shift;
            if ((b & 0x80) == 0)
                return value;
        }
        throw new FormatException("wire message: integer too long");
    }

    public byte[] Bytes() => Take(Length()).ToArray();

    public string Text() => Encoding.UTF8.GetString(Take(Length()));

    public string? OptionalText() => Bool() ? Text() : null;

    // Spelled out: a bare null would become an empty memory on its way.
    public ReadOnlyMemory<byte>? OptionalBytes() => Bool() ? new ReadOnlyMemory<byte>(Bytes()) : default(ReadOnlyMemory<byte>?);

    public IpAddr? Address()
    {
        var length = Length();
        return length switch
        {
            0 => null,
            4 or 16 => IpAddr.FromBytes(Take(length)),
            _ => throw new FormatException("wire message: not an address"),
        };
    }

    public Cidr Cidr()
    {
        var address = Address() ?? throw new FormatException("wire message: a CIDR without address");
        var length = Byte();
        return length <= address.BitLength ? new Cidr(address, length) : throw new FormatException("wire message: not a CIDR");
    }

    public ImmutableArray<T> List<T>(Func<MessageReader, T> read)
    {
        var count = Length();
        var items = ImmutableArray.CreateBuilder<T>(count);
        for (var i = 0; i < count; i++)
            items.Add(read(this));
        return items.MoveToImmutable();
    }

    // No item is smaller than a byte, so no count or length can exceed what is left.
    private int Length()
    {
        var length = Varint();
        return length <= buffer.Length - _position ? (int)length : throw Cut();
    }

    private ReadOnlySpan<byte> Take(int length)
    {
        if (buffer.Length - _position < length)
            throw Cut();
        var span = buffer.AsSpan(_position, length);
        _position += length;
        return span;
    }

    private static FormatException Cut() => new("wire message: cut short");
}
