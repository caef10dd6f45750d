using System.Globalization;
using Calico.Core.Bfd;
using Calico.Core.Model;

namespace Calico.Actors.Routing;

/// <summary>
/// BFD as the environment has it: <c>off</c>, an interval, or an interval and how many of them may pass in silence: <c>300ms*3</c>.
/// </summary>
public static class BfdSetting
{
    public const string Expected = "off, or an interval and a multiplier such as 300ms*3 (10ms to 60s, 1 to 255)";

    /// <param name="text">What is set; nothing is off.</param>
    /// <param name="parameters">Null for off.</param>
    public static bool TryParse(string? text, out BfdParameters? parameters)
    {
        parameters = null;
        if (string.IsNullOrEmpty(text) || text.Equals("off", StringComparison.OrdinalIgnoreCase))
            return true;
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
