using System.Globalization;

namespace Calico.Core.Model.Kubernetes;

/// <summary>Kubernetes' quantities such as <c>10M</c>, <c>4Gi</c>, <c>1.5k</c> or <c>2e3</c>, as whole numbers rounded up.</summary>
public static class KubeQuantity
{
    private static readonly (string Suffix, decimal Scale)[] Suffixes =
    [
        ("Ki", 1L << 10), ("Mi", 1L << 20), ("Gi", 1L << 30), ("Ti", 1L << 40), ("Pi", 1L << 50), ("Ei", 1L << 60),
        ("n", 1e-9m), ("u", 1e-6m), ("m", 1e-3m), ("k", 1e3m), ("M", 1e6m), ("G", 1e9m), ("T", 1e12m), ("P", 1e15m), ("E", 1e18m),
    ];

    public static bool TryParse(string text, out long value)
    {
        value = 0;
        if (text.Length is 0 or > 40)
            return false;
        var scale = 1m;
        var number = text.AsSpan();
        foreach (var (suffix, factor) in Suffixes)
        {
            if (!number.EndsWith(suffix, StringComparison.Ordinal))
                continue;
            number = number[..^suffix.Length];
            scale = factor;
            break;
        }
        const NumberStyles plain = NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign;
        var style = scale == 1m ? plain | NumberStyles.AllowExponent : plain;
        if (!decimal.TryParse(number, style, CultureInfo.InvariantCulture, out var parsed) || Math.Abs(parsed) > long.MaxValue / scale)
            return false;
        value = (long)Math.Ceiling(parsed * scale);
        return true;
    }
}
