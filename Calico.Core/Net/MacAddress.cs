using System.Globalization;

namespace Calico.Core.Net;

/// <summary>A 48-bit Ethernet address in the low bits, printed as <c>ee:ee:ee:ee:ee:ee</c>.</summary>
public readonly record struct MacAddress(ulong Bits)
{
    /// <summary>The address of the host side of every workload interface (Calico's convention).</summary>
    public static MacAddress WorkloadHostSide => new(0xEEEE_EEEE_EEEE);

    public static MacAddress FromBytes(ReadOnlySpan<byte> six)
    {
        ulong bits = 0;
        foreach (var b in six[..6])
            bits = (bits << 8) | b;
        return new MacAddress(bits);
    }

    public void WriteTo(Span<byte> six)
    {
        for (var i = 0; i < 6; i++)
            six[i] = (byte)(Bits >> (40 - (8 * i)));
    }

    public static bool TryParse(ReadOnlySpan<char> text, out MacAddress mac)
    {
        mac = default;
        if (text.Length != 17)
            return false;
        ulong bits = 0;
        for (var i = 0; i < 6; i++)
        {
            if (i < 5 && text[(3 * i) + 2] is not (':' or '-'))
                return false;
            if (!byte.TryParse(text.Slice(3 * i, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var b))
                return false;
            bits = (bits << 8) | b;
        }
        mac = new MacAddress(bits);
        return true;
    }

    public static MacAddress Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var mac) ? mac : throw new FormatException($"'{text}' is not a MAC address");

    public override string ToString() =>
        $"{(Bits >> 40) & 255:x2}:{(Bits >> 32) & 255:x2}:{(Bits >> 24) & 255:x2}:{(Bits >> 16) & 255:x2}:{(Bits >> 8) & 255:x2}:{Bits & 255:x2}";
}
