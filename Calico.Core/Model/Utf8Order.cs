namespace Calico.Core.Model;

/// <summary>
/// Orders strings by their UTF-8 bytes, as Go sorts map keys and selector sets. It differs from ordinal order only
/// where a surrogate pair meets a character from U+E000 to U+FFFF.
/// </summary>
public sealed class Utf8Order : IComparer<string>
{
    public static readonly Utf8Order Instance = new();

    public int Compare(string? x, string? y)
    {
        if (x is null || y is null)
            return x is null ? y is null ? 0 : -1 : 1;
        var shorter = Math.Min(x.Length, y.Length);
        for (var i = 0; i < shorter; i++)
        {
            if (x[i] != y[i])
                return Weight(x[i]).CompareTo(Weight(y[i]));
        }
        return x.Length.CompareTo(y.Length);
    }

    // A surrogate starts or continues a code point above U+FFFF, which sorts behind every other UTF-16 unit.
    private static int Weight(char unit) => char.IsSurrogate(unit) ? unit + 0x10000 : unit;
}
