using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Calico.Core.Model;

namespace Calico.Core.Bfd;

/// <summary>
/// How a path is watched, as people write it: <c>off</c>, an interval, or an interval and how many of them may pass in silence
/// (<c>300ms*3</c>), and <c>multihop</c> behind it if routers are between.
/// </summary>
/// <param name="Multihop">RFC 5883: what neighbours that take their session for one over several hops listen to.</param>
public sealed record BfdSetting(BfdParameters Parameters, bool Multihop = false)
{
    /// <summary>On a BGPPeer: the same for the sessions of that peer alone.</summary>
    public const string Annotation = "projectcalico.org/bfd";

    public const string Expected = "off, or an interval and a multiplier such as 300ms*3 (10ms to 60s, 1 to 255), followed by multihop if routers are between";

    private const string Off = "off";
    private const string Routers = "multihop";

    /// <param name="text">What is set; nothing is off.</param>
    /// <param name="setting">Null for off.</param>
    public static bool TryParse(string? text, out BfdSetting? setting)
    {
        setting = null;
        if (string.IsNullOrEmpty(text) || text.Equals(Off, StringComparison.OrdinalIgnoreCase))
            return true;
        var words = text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words.Length is 0 or > 2 || (words.Length == 2 && !words[1].Equals(Routers, StringComparison.OrdinalIgnoreCase)) || !TryParseTimes(words[0], out var parameters))
            return false;
        setting = new BfdSetting(parameters, words.Length == 2);
        return true;
    }

    /// <summary>What the peer of these annotations shall have; the setting of all peers if they say nothing that can be read.</summary>
    public static BfdSetting? Of(StringMap annotations, BfdSetting? ofAll) =>
        annotations.GetOrNull(Annotation) is { } text && Problem(text) is null && TryParse(text, out var own) ? own : ofAll;

    /// <summary>What is wrong with the value of the annotation; null if nothing.</summary>
    public static string? Problem(string text) => text.Length > 0 && TryParse(text, out _) ? null : $"{Annotation} must be {Expected}";

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Parameters.Interval.TotalMilliseconds}ms*{Parameters.Multiplier}{(Multihop ? " " + Routers : "")}");

    private static bool TryParseTimes(string text, [NotNullWhen(true)] out BfdParameters? parameters)
    {
        parameters = null;
        var parts = text.Split('*');
        var wanted = new BfdParameters();
        var multiplier = wanted.Multiplier;
        if (parts.Length > 2 || !GoDuration.TryParse(parts[0], out var interval)
            || (parts.Length == 2 && !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out multiplier)))
            return false;
        wanted = wanted with { Interval = interval.ToTimeSpan(), Multiplier = multiplier };
        if (wanted.Problem is not null)
            return false;
        parameters = wanted;
        return true;
    }
}
