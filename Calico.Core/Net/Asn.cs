using System.Globalization;

namespace Calico.Core.Net;

/// <summary>A four-octet autonomous system number (RFC 6793). Reads <c>64512</c> and the dotted <c>0.64512</c> (RFC 5396).</summary>
public readonly record struct Asn(uint Value) : IComparable<Asn>
{
    /// <summary>AS_TRANS, which stands in two-octet fields for a number that does not fit (RFC 6793 section 9).</summary>
    public static Asn Trans => new(23456);

    /// <summary>Calico's default for a cluster that names none.</summary>
    public static Asn CalicoDefault => new(64512);

    public bool FitsTwoOctets => Value <= ushort.MaxValue;

    public static bool TryParse(ReadOnlySpan<char> text, out Asn asn)
    {
        asn = default;
        var dot = text.IndexOf('.');
        if (dot < 0)
        {
            if (!uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var plain))
                return false;
            asn = new Asn(plain);
            return true;
        }
        if (!ushort.TryParse(text[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out var high)
            || !ushort.TryParse(text[(dot + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var low))
            return false;
        asn = new Asn(((uint)high << 16) | low);
        return true;
    }

    public int CompareTo(Asn other) => Value.CompareTo(other.Value);
    public static bool operator <(Asn a, Asn b) => a.Value < b.Value;
    public static bool operator >(Asn a, Asn b) => a.Value > b.Value;
    public static bool operator <=(Asn a, Asn b) => a.Value <= b.Value;
    public static bool operator >=(Asn a, Asn b) => a.Value >= b.Value;

    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}
