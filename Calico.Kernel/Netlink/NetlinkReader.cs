using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Calico.Core.Net;

namespace Calico.Kernel.Netlink;

/// <summary>One message of a datagram.</summary>
public readonly ref struct NetlinkMessage
{
    internal NetlinkMessage(ReadOnlySpan<byte> message)
    {
        Type = MemoryMarshal.Read<ushort>(message[4..]);
        Flags = (NetlinkFlags)MemoryMarshal.Read<ushort>(message[6..]);
        Sequence = MemoryMarshal.Read<uint>(message[8..]);
        Payload = message[NetlinkWriter.HeaderLength..];
    }

    public ushort Type { get; }
    public NetlinkFlags Flags { get; }
    public uint Sequence { get; }
    public ReadOnlySpan<byte> Payload { get; }

    /// <summary>The attributes behind the family's fixed header; none if the message is shorter than that.</summary>
    public NetlinkReader Attributes(int fixedHeader)
    {
        var aligned = (fixedHeader + 3) & ~3;
        return new NetlinkReader(Payload.Length >= aligned ? Payload[aligned..] : default);
    }
}

/// <summary>Walks the messages of a datagram and stops at the first that is malformed.</summary>
public ref struct NetlinkMessages(ReadOnlySpan<byte> datagram)
{
    private ReadOnlySpan<byte> _rest = datagram;

    public bool TryNext(out NetlinkMessage message)
    {
        message = default;
        if (_rest.Length < NetlinkWriter.HeaderLength)
            return false;
        var length = MemoryMarshal.Read<uint>(_rest);
        if (length < NetlinkWriter.HeaderLength || length > (uint)_rest.Length)
            return false;
        message = new NetlinkMessage(_rest[..(int)length]);
        _rest = _rest[Math.Min(((int)length + 3) & ~3, _rest.Length)..];
        return true;
    }
}

/// <summary>
/// Walks attributes and stops at the first that is malformed; nothing here throws, and nothing reads past the span.
/// </summary>
public ref struct NetlinkReader(ReadOnlySpan<byte> attributes)
{
    private ReadOnlySpan<byte> _rest = attributes;

    public bool TryNext(out NetlinkAttribute attribute)
    {
        attribute = default;
        if (_rest.Length < 4)
            return false;
        var length = MemoryMarshal.Read<ushort>(_rest);
        if (length < 4 || length > _rest.Length)
            return false;
        attribute = new NetlinkAttribute(MemoryMarshal.Read<ushort>(_rest[2..]), _rest[4..length]);
        _rest = _rest[Math.Min((length + 3) & ~3, _rest.Length)..];
        return true;
    }

    /// <summary>The first attribute of that type from here on; the walk itself does not move.</summary>
    public readonly bool TryFind(int type, out NetlinkAttribute attribute)
    {
        var walk = this;
        while (walk.TryNext(out attribute))
        {
            if (attribute.Type == type)
                return true;
        }
        return false;
    }
}

/// <summary>An attribute. A typed view of a value that is too short for it is zero, empty or null.</summary>
public readonly ref struct NetlinkAttribute
{
    // NLA_F_NESTED and NLA_F_NET_BYTEORDER share the type field.
    private const int TypeMask = 0x3FFF;

    internal NetlinkAttribute(ushort type, ReadOnlySpan<byte> value)
    {
        Type = type & TypeMask;
        Value = value;
    }

    public int Type { get; }
    public ReadOnlySpan<byte> Value { get; }

    public byte UInt8 => Value.Length >= 1 ? Value[0] : (byte)0;
    public ushort UInt16 => Value.Length >= 2 ? MemoryMarshal.Read<ushort>(Value) : (ushort)0;
    public uint UInt32 => Value.Length >= 4 ? MemoryMarshal.Read<uint>(Value) : 0;
    public int Int32 => (int)UInt32;
    public ulong UInt64 => Value.Length >= 8 ? MemoryMarshal.Read<ulong>(Value) : 0;
    public ushort UInt16BigEndian => Value.Length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(Value) : (ushort)0;
    public uint UInt32BigEndian => Value.Length >= 4 ? BinaryPrimitives.ReadUInt32BigEndian(Value) : 0;
    public ulong UInt64BigEndian => Value.Length >= 8 ? BinaryPrimitives.ReadUInt64BigEndian(Value) : 0;

    /// <summary>The text up to the first NUL or the end.</summary>
    public string String => Encoding.UTF8.GetString(StringBytes);

    /// <summary>The bytes of the text up to the first NUL or the end.</summary>
    public ReadOnlySpan<byte> StringBytes
    {
        get
        {
            var end = Value.IndexOf((byte)0);
            return end < 0 ? Value : Value[..end];
        }
    }

    /// <summary>An address of 4 or 16 bytes; null for any other length.</summary>
    public IpAddr? Address => Value.Length is 4 or 16 ? IpAddr.FromBytes(Value) : null;

    /// <summary>A hardware address of 6 bytes; null for any other length.</summary>
    public MacAddress? Mac => Value.Length == 6 ? MacAddress.FromBytes(Value) : null;

    public NetlinkReader Nested() => new(Value);
}
