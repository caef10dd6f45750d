using Calico.Kernel.Netlink;

namespace Calico.Kernel.Nft;

/// <summary>Which header a payload expression counts from.</summary>
internal enum NftHeader : uint
{
    Network = 1,
    Transport = 2,
}

/// <summary>
/// Writes nf_tables expressions: the instructions of the kernel's register machine. Registers hold 4 bytes
/// each from number 8 on; number 1 is the first four of them together. All numbers are big-endian, data is in packet
/// order except for what lives in host order inside the kernel (marks, states, interface indexes).
/// <code>
/// NFTA_LIST_ELEM { NFTA_EXPR_NAME "cmp", NFTA_EXPR_DATA { NFTA_CMP_SREG 1, NFTA_CMP_OP 0, NFTA_CMP_DATA { … } } }
/// </code>
/// </summary>
internal static class NftExpressions
{
    public const uint Verdict = 0;
    public const uint Register1 = 1;

    private const int ExpressionName = 1;
    private const int ExpressionData = 2;

    private readonly record struct Open(NetlinkWriter.Token Element, NetlinkWriter.Token Data);

    /// <summary>The register that begins so many bytes into the register file.</summary>
    public static uint Register(int offset) => offset == 0 ? Register1 : 8 + (uint)(offset / 4);

    public static void Meta(ref NetlinkWriter w, uint key, uint register = Register1)
    {
        var e = Begin(ref w, "meta");
        w.AttributeUInt32BigEndian(2, key);
        w.AttributeUInt32BigEndian(1, register);
        End(ref w, e);
    }

    public static void MetaSet(ref NetlinkWriter w, uint key)
    {
        var e = Begin(ref w, "meta");
        w.AttributeUInt32BigEndian(2, key);
        w.AttributeUInt32BigEndian(3, Register1);
        End(ref w, e);
    }

    public static void Ct(ref NetlinkWriter w, uint key)
    {
        var e = Begin(ref w, "ct");
        w.AttributeUInt32BigEndian(2, key);
        w.AttributeUInt32BigEndian(1, Register1);
        End(ref w, e);
    }

    public static void CtSet(ref NetlinkWriter w, uint key)
    {
        var e = Begin(ref w, "ct");
        w.AttributeUInt32BigEndian(2, key);
        w.AttributeUInt32BigEndian(4, Register1);
        End(ref w, e);
    }

    public static void Payload(ref NetlinkWriter w, NftHeader header, int offset, int length, uint register = Register1)
    {
        var e = Begin(ref w, "payload");
        w.AttributeUInt32BigEndian(1, register);
        w.AttributeUInt32BigEndian(2, (uint)header);
        w.AttributeUInt32BigEndian(3, (uint)offset);
        w.AttributeUInt32BigEndian(4, (uint)length);
        End(ref w, e);
    }

    /// <summary>
    /// Writes register 1 into the network header; <paramref name="checksumAt"/> is the IPv4 header's checksum or null.
    /// </summary>
    public static void PayloadSet(ref NetlinkWriter w, int offset, int length, int? checksumAt)
    {
        var e = Begin(ref w, "payload");
        w.AttributeUInt32BigEndian(5, Register1);
        w.AttributeUInt32BigEndian(2, (uint)NftHeader.Network);
        w.AttributeUInt32BigEndian(3, (uint)offset);
        w.AttributeUInt32BigEndian(4, (uint)length);
        w.AttributeUInt32BigEndian(6, checksumAt is null ? 0u : 1u);
        w.AttributeUInt32BigEndian(7, (uint)(checksumAt ?? 0));
        End(ref w, e);
    }

    public static void Compare(ref NetlinkWriter w, bool equal, scoped ReadOnlySpan<byte> data) =>
        Compare(ref w, equal ? NftCompare.Equal : NftCompare.NotEqual, data);

    public static void Compare(ref NetlinkWriter w, uint how, scoped ReadOnlySpan<byte> data)
    {
        var e = Begin(ref w, "cmp");
        w.AttributeUInt32BigEndian(1, Register1);
        w.AttributeUInt32BigEndian(2, how);
        Data(ref w, 3, data);
        End(ref w, e);
    }

    /// <summary>Compares four bytes in host order.</summary>
    public static void CompareHost(ref NetlinkWriter w, bool equal, uint value) =>
        Compare(ref w, equal, BitConverter.GetBytes(value));

    public static void OutsideRange(ref NetlinkWriter w, scoped ReadOnlySpan<byte> from, scoped ReadOnlySpan<byte> to)
    {
        var e = Begin(ref w, "range");
        w.AttributeUInt32BigEndian(1, Register1);
        w.AttributeUInt32BigEndian(2, NftCompare.NotEqual);
        Data(ref w, 3, from);
        Data(ref w, 4, to);
        End(ref w, e);
    }

    /// <summary><c>register = register &amp; mask ^ xor</c>, on register 1.</summary>
    public static void Bitwise(ref NetlinkWriter w, scoped ReadOnlySpan<byte> mask, scoped ReadOnlySpan<byte> xor)
    {
        var e = Begin(ref w, "bitwise");
        w.AttributeUInt32BigEndian(1, Register1);
        w.AttributeUInt32BigEndian(2, Register1);
        w.AttributeUInt32BigEndian(3, (uint)mask.Length);
        Data(ref w, 4, mask);
        Data(ref w, 5, xor);
        End(ref w, e);
    }

    public static void BitwiseHost(ref NetlinkWriter w, uint mask, uint xor) =>
        Bitwise(ref w, BitConverter.GetBytes(mask), BitConverter.GetBytes(xor));

    /// <summary>
    /// Looks register 1 up in a set; an id names a set that is made in the same batch and has no name yet.
    /// </summary>
    public static void Lookup(ref NetlinkWriter w, string set, bool negate, bool verdicts = false, uint id = 0)
    {
        var e = Begin(ref w, "lookup");
        w.AttributeString(1, set);
        w.AttributeUInt32BigEndian(2, Register1);
        if (verdicts)
            w.AttributeUInt32BigEndian(3, Verdict);
        if (id != 0)
            w.AttributeUInt32BigEndian(4, id);
        if (negate)
            w.AttributeUInt32BigEndian(5, 1);
        End(ref w, e);
    }

    public static void Immediate(ref NetlinkWriter w, uint register, scoped ReadOnlySpan<byte> data)
    {
        var e = Begin(ref w, "immediate");
        w.AttributeUInt32BigEndian(1, register);
        Data(ref w, 2, data);
        End(ref w, e);
    }

    public static void ImmediateVerdict(ref NetlinkWriter w, int code, string? chain)
    {
        var e = Begin(ref w, "immediate");
        w.AttributeUInt32BigEndian(1, Verdict);
        VerdictData(ref w, 2, code, chain);
        End(ref w, e);
    }

    /// <summary>The kernel's own numbers of counters are not given: they start at zero.</summary>
    public static void Counter(ref NetlinkWriter w) => End(ref w, Begin(ref w, "counter"));

    public static void NoTrack(ref NetlinkWriter w)
    {
        var element = w.BeginNested(NftDataAttribute.Element);
        w.AttributeString(ExpressionName, "notrack");
        w.EndNested(element);
    }

    public static void Log(ref NetlinkWriter w, string prefix, uint level, ushort? group)
    {
        var e = Begin(ref w, "log");
        w.AttributeString(2, prefix);
        if (group is { } g)
        {
            w.AttributeUInt16BigEndian(1, g);
        }
        else
        {
            w.AttributeUInt32BigEndian(5, level);
        }
        End(ref w, e);
    }

    public static void Limit(ref NetlinkWriter w, ulong rate, uint perSeconds, uint burst, bool over)
    {
        var e = Begin(ref w, "limit");
        w.AttributeUInt64BigEndian(1, rate);
        w.AttributeUInt64BigEndian(2, perSeconds);
        w.AttributeUInt32BigEndian(3, burst);
        w.AttributeUInt32BigEndian(4, 0);
        w.AttributeUInt32BigEndian(5, over ? 1u : 0u);
        End(ref w, e);
    }

    public static void ConnectionLimit(ref NetlinkWriter w, uint count, bool over)
    {
        var e = Begin(ref w, "connlimit");
        w.AttributeUInt32BigEndian(1, count);
        w.AttributeUInt32BigEndian(2, over ? 1u : 0u);
        End(ref w, e);
    }

    public static void Fib(ref NetlinkWriter w, uint flags, uint result)
    {
        var e = Begin(ref w, "fib");
        w.AttributeUInt32BigEndian(1, Register1);
        w.AttributeUInt32BigEndian(2, result);
        w.AttributeUInt32BigEndian(3, flags);
        End(ref w, e);
    }

    public static void Reject(ref NetlinkWriter w, uint type, byte code)
    {
        var e = Begin(ref w, "reject");
        w.AttributeUInt32BigEndian(1, type);
        w.AttributeUInt8(2, code);
        End(ref w, e);
    }

    /// <summary>Ports, if any, are in the registers given.</summary>
    public static void Masquerade(ref NetlinkWriter w, uint flags, uint portMin, uint portMax)
    {
        var e = Begin(ref w, "masq");
        if (flags != 0)
            w.AttributeUInt32BigEndian(1, flags);
        if (portMin != 0)
            w.AttributeUInt32BigEndian(2, portMin);
        if (portMax != 0)
            w.AttributeUInt32BigEndian(3, portMax);
        End(ref w, e);
    }

    /// <summary>The address is in register 1; ports, if any, are in the registers given.</summary>
    public static void Nat(ref NetlinkWriter w, bool destination, byte family, uint flags, uint portMin, uint portMax)
    {
        var e = Begin(ref w, "nat");
        w.AttributeUInt32BigEndian(1, destination ? 1u : 0u);
        w.AttributeUInt32BigEndian(2, family);
        w.AttributeUInt32BigEndian(3, Register1);
        if (portMin != 0)
            w.AttributeUInt32BigEndian(5, portMin);
        if (portMax != 0)
            w.AttributeUInt32BigEndian(6, portMax);
        if (flags != 0)
            w.AttributeUInt32BigEndian(7, flags);
        End(ref w, e);
    }

    public static void VerdictData(ref NetlinkWriter w, int attribute, int code, string? chain)
    {
        var data = w.BeginNested(attribute);
        var verdict = w.BeginNested(NftDataAttribute.Verdict);
        w.AttributeUInt32BigEndian(NftDataAttribute.VerdictCode, (uint)code);
        if (chain is not null)
            w.AttributeString(NftDataAttribute.VerdictChain, chain);
        w.EndNested(verdict);
        w.EndNested(data);
    }

    public static void Data(ref NetlinkWriter w, int attribute, scoped ReadOnlySpan<byte> value)
    {
        var data = w.BeginNested(attribute);
        w.Attribute(NftDataAttribute.Value, value);
        w.EndNested(data);
    }

    private static Open Begin(ref NetlinkWriter w, string name)
    {
        var element = w.BeginNested(NftDataAttribute.Element);
        w.AttributeString(ExpressionName, name);
        return new Open(element, w.BeginNested(ExpressionData));
    }

    private static void End(ref NetlinkWriter w, Open open)
    {
        w.EndNested(open.Data);
        w.EndNested(open.Element);
    }
}
