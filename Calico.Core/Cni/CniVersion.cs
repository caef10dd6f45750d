using System.Collections.Immutable;
using System.Globalization;

namespace Calico.Core.Cni;

/// <summary>A version of the CNI specification, three numbers.</summary>
public readonly record struct CniVersion(int Major, int Minor, int Patch) : IComparable<CniVersion>
{
    /// <summary>Every version this plugin speaks, oldest first.</summary>
    public static ImmutableArray<CniVersion> Supported { get; } =
        [new(0, 1, 0), new(0, 2, 0), new(0, 3, 0), new(0, 3, 1), new(0, 4, 0), new(1, 0, 0), new(1, 1, 0)];

    public static CniVersion Newest => new(1, 1, 0);

    /// <summary>What a configuration without <c>cniVersion</c> means, as Calico reads it.</summary>
    public static CniVersion Unspecified => new(0, 2, 0);

    public bool IsSupported => Supported.Contains(this);

    public static bool TryParse(ReadOnlySpan<char> text, out CniVersion version)
    {
        version = default;
        Span<Range> parts = stackalloc Range[4];
        if (text.Split(parts, '.') != 3
            || !TryParsePart(text[parts[0]], out var major)
            || !TryParsePart(text[parts[1]], out var minor)
            || !TryParsePart(text[parts[2]], out var patch))
            return false;
        version = new CniVersion(major, minor, patch);
        return true;
    }

    /// <summary>The supported versions as a person reads them: <c>0.1.0, 0.2.0, …</c></summary>
    public static string SupportedText() => string.Join(", ", Supported.Select(v => v.ToString()));

    public int CompareTo(CniVersion other)
    {
        var byMajor = Major.CompareTo(other.Major);
        if (byMajor != 0)
            return byMajor;
        var byMinor = Minor.CompareTo(other.Minor);
        return byMinor != 0 ? byMinor : Patch.CompareTo(other.Patch);
    }

    public static bool operator <(CniVersion a, CniVersion b) => a.CompareTo(b) < 0;
    public static bool operator >(CniVersion a, CniVersion b) => a.CompareTo(b) > 0;
    public static bool operator <=(CniVersion a, CniVersion b) => a.CompareTo(b) <= 0;
    public static bool operator >=(CniVersion a, CniVersion b) => a.CompareTo(b) >= 0;

    public override string ToString() => $"{Major}.{Minor}.{Patch}";

    private static bool TryParsePart(ReadOnlySpan<char> digits, out int value)
    {
        value = 0;
        return digits.Length is > 0 and <= 4
            && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }
}
