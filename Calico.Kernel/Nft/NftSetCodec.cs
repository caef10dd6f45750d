using System.Buffers.Binary;
using System.Text;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Nft;

/// <summary>
/// Keys of set members as the kernel holds them. A key alone has its natural length; in a concatenation each component
/// is padded to four bytes. A network in an interval set is two members: its first address, and the address behind
/// its last one marked as an end; the end is left out where the address space ends.
/// </summary>
internal static class NftSetCodec
{
    public const int MaxKeyLength = 32;

    /// <summary>Member flags that say "end of an interval".</summary>
    public const uint End = NftElementAttribute.IntervalEnd;

    public static uint KeyLength(NftSet set) => set.Key.Length == 1
        ? (uint)Length(set.Key[0])
        : (uint)set.Key.Sum(type => (Length(type) + 3) & ~3);

    /// <summary>nft's number of the key: six bits a component, the first highest.</summary>
    public static uint KeyType(NftSet set) => set.Key.Aggregate(0u, (number, type) => (number << 6) | (uint)type);

    /// <summary>Reads a key type number; null if a component is none of ours.</summary>
    public static NftDataType[]? KeyTypes(uint number)
    {
        var types = new List<NftDataType>();
        for (var rest = number; rest != 0; rest >>= 6)
        {
            var type = (NftDataType)(rest & 63);
            if (!Enum.IsDefined(type))
                return null;
            types.Insert(0, type);
        }
        return types.Count == 0 ? null : [.. types];
    }

    /// <summary>Writes the key of a member, or of the start of its interval; returns the length.</summary>
    public static int WriteKey(NftSet set, NftElement element, Span<byte> key)
    {
        var at = 0;
        foreach (var type in set.Key)
        {
            var length = Length(type);
            var padded = set.Key.Length == 1 ? length : (length + 3) & ~3;
            var field = key.Slice(at, padded);
            field.Clear();
            switch (type)
            {
                case NftDataType.InetProto:
                    field[0] = element.Protocol;
                    break;
                case NftDataType.InetService:
                    BinaryPrimitives.WriteUInt16BigEndian(field, element.Port);
                    break;
                case NftDataType.IfName:
                    Encoding.UTF8.GetBytes(element.InterfaceName, field[..15]);
                    break;
                default:
                    if (element.Address.ByteLength != length)
                        throw new ArgumentException($"{element} is no member for {set.Name} ({type})");
                    element.Address.WriteTo(field);
                    break;
            }
            at += padded;
        }
        return at;
    }

    /// <summary>Writes the key behind an interval; 0 if the interval reaches the end of the address space.</summary>
    public static int WriteEnd(NftElement element, Span<byte> key)
    {
        var last = element.Network.Last;
        if (last.Low == (last.IsV4 ? uint.MaxValue : ulong.MaxValue) && (last.IsV4 || last.High == ulong.MaxValue))
            return 0;
        return last.Add(1).WriteTo(key);
    }

    /// <summary>Reads a member's key; false if the length is wrong.</summary>
    public static bool TryReadKey(NftSet set, ReadOnlySpan<byte> key, out NftElement element)
    {
        element = default;
        if (key.Length != KeyLength(set))
            return false;
        IpAddr? address = null;
        string? name = null;
        byte protocol = 0;
        ushort port = 0;
        foreach (var type in set.Key)
        {
            var length = Length(type);
            var field = key[..length];
            switch (type)
            {
                case NftDataType.InetProto:
                    protocol = field[0];
                    break;
                case NftDataType.InetService:
                    port = BinaryPrimitives.ReadUInt16BigEndian(field);
                    break;
                case NftDataType.IfName:
                    var zero = field.IndexOf((byte)0);
                    name = Encoding.UTF8.GetString(zero < 0 ? field : field[..zero]);
                    break;
                default:
                    address = IpAddr.FromBytes(field);
                    break;
            }
            key = key[(set.Key.Length == 1 ? length : (length + 3) & ~3)..];
        }
        if (name is { Length: 0 } || name?.Length > 15)
            return false;
        element = name is not null ? NftElement.OfInterface(name)
            : address is { } a ? NftElement.Of(a, protocol, port)
            : NftElement.OfProtocol(protocol, port);
        return true;
    }

    private static int Length(NftDataType type) => type switch
    {
        NftDataType.Ipv4Addr => 4,
        NftDataType.Ipv6Addr => 16,
        NftDataType.InetProto => 1,
        NftDataType.InetService => 2,
        _ => 16,
    };
}

/// <summary>
/// What nft keeps beside rules and sets: entries <c>| type 8 | length 8 | value |</c>, of which comments, with a NUL,
/// are ours.
/// </summary>
internal static class NftUserDataCodec
{
    public static void WriteRule(ref NetlinkWriter w, NftRule rule)
    {
        var data = w.BeginAttribute(NftRuleAttribute.UserData);
        Comment(ref w, NftUserData.RuleComment, rule.Comment);
        w.EndAttribute(data);
    }

    public static void WriteSet(ref NetlinkWriter w, NftSet set)
    {
        var data = w.BeginAttribute(NftSetAttribute.UserData);
        if (set.Key.Length == 1)
        {
            w.WriteByte(NftUserData.SetKeyByteOrder);
            w.WriteByte(4);
            w.WriteUInt32(set.Key[0] == NftDataType.IfName ? NftUserData.HostEndian : NftUserData.BigEndian);
        }
        if (!set.Cause.IsNone)
            Comment(ref w, NftUserData.SetComment, set.Cause.ToString());
        w.EndAttribute(data);
    }

    private static void Comment(ref NetlinkWriter w, byte type, string comment)
    {
        var text = NftText.Printable(comment, NftRule.MaxCommentLength);
        Span<byte> bytes = stackalloc byte[NftRule.MaxCommentLength + 1];
        bytes.Clear();
        w.WriteByte(type);
        w.WriteByte((byte)(text.Length + 1));
        w.WriteBytes(bytes[..(Encoding.ASCII.GetBytes(text, bytes) + 1)]);
    }

    /// <summary>The comment in a piece of user data, or null.</summary>
    public static string? ReadComment(ReadOnlySpan<byte> data, byte type)
    {
        while (data.Length >= 2 && data[1] <= data.Length - 2)
        {
            var value = data.Slice(2, data[1]);
            if (data[0] == type)
            {
                var zero = value.IndexOf((byte)0);
                return Encoding.UTF8.GetString(zero < 0 ? value : value[..zero]);
            }
            data = data[(2 + data[1])..];
        }
        return null;
    }
}
