using System.Buffers;
using System.Globalization;
using System.Text;

namespace Calico.Core.Model;

/// <summary>A duration as Go and Kubernetes write it, such as <c>1m30s</c> or <c>300ms</c>, in nanoseconds.</summary>
public readonly record struct GoDuration(long Nanoseconds) : IComparable<GoDuration>
{
    private static readonly SearchValues<char> NumberCharacters = SearchValues.Create("0123456789.");

    private static readonly (string Unit, long Nanoseconds)[] Units =
    [
        ("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ];

    public TimeSpan ToTimeSpan() => TimeSpan.FromTicks(Nanoseconds / 100);

    public static GoDuration From(TimeSpan span) => new(checked(span.Ticks * 100));

    /// <summary>Reads a sequence of decimal numbers with units ns, us, ms, s, m or h; a bare <c>0</c> too.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out GoDuration duration)
    {
        duration = default;
        var negative = text.Length > 0 && text[0] == '-';
        if (text.Length > 0 && text[0] is ('-' or '+'))
            text = text[1..];
        if (text is "0")
            return true;
        if (text.IsEmpty)
            return false;
        decimal total = 0;
        while (!text.IsEmpty)
        {
            var digits = text.IndexOfAnyExcept(NumberCharacters);
            if (digits <= 0 || digits > 24 || !decimal.TryParse(text[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value))
                return false;
            text = text[digits..];
            var end = text.IndexOfAny(NumberCharacters);
            var unit = text[..(end < 0 ? text.Length : end)];
            text = text[unit.Length..];
            var scale = 0L;
            foreach (var (name, nanoseconds) in Units)
            {
                if (unit.SequenceEqual(name))
                    scale = nanoseconds;
            }
            if (scale == 0 || value > long.MaxValue / scale)
                return false;
            total += value * scale;
            if (total > long.MaxValue)
                return false;
        }
        duration = new GoDuration((long)total * (negative ? -1 : 1));
        return true;
    }

    public static GoDuration Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var d) ? d : throw new FormatException($"'{text}' is not a duration such as 90s or 1m30s");

    public int CompareTo(GoDuration other) => Nanoseconds.CompareTo(other.Nanoseconds);
    public static bool operator <(GoDuration a, GoDuration b) => a.Nanoseconds < b.Nanoseconds;
    public static bool operator >(GoDuration a, GoDuration b) => a.Nanoseconds > b.Nanoseconds;
    public static bool operator <=(GoDuration a, GoDuration b) => a.Nanoseconds <= b.Nanoseconds;
    public static bool operator >=(GoDuration a, GoDuration b) => a.Nanoseconds >= b.Nanoseconds;

    /// <summary>Go's spelling: below a second the largest fitting unit, else hours, minutes and seconds.</summary>
    public override string ToString()
    {
        if (Nanoseconds == 0)
            return "0s";
        var text = new StringBuilder(Nanoseconds < 0 ? "-" : "");
        var size = (ulong)Math.Abs((decimal)Nanoseconds);
        if (size < 1_000_000_000)
        {
            var (unit, scale) = size < 1_000 ? ("ns", 1m) : size < 1_000_000 ? ("µs", 1_000m) : ("ms", 1_000_000m);
            return text.Append(Number(size / scale)).Append(unit).ToString();
        }
        var hours = size / 3_600_000_000_000;
        var minutes = size / 60_000_000_000 % 60;
        if (hours > 0)
            text.Append(CultureInfo.InvariantCulture, $"{hours}h");
        if (hours > 0 || minutes > 0)
            text.Append(CultureInfo.InvariantCulture, $"{minutes}m");
        return text.Append(Number(size % 60_000_000_000 / 1_000_000_000m)).Append('s').ToString();
    }

    private static string Number(decimal value) => value.ToString("0.#########", CultureInfo.InvariantCulture);
}
