using System.Globalization;

namespace Calico.Core.Bfd;

/// <summary>What one session is configured to be. Check with <see cref="Problem"/> before use.</summary>
public sealed record BfdParameters
{
    public static readonly TimeSpan MinInterval = TimeSpan.FromMilliseconds(10);
    public static readonly TimeSpan MaxInterval = TimeSpan.FromSeconds(60);

    /// <summary>How often to send at most and to hear at most; the slower of both ends counts for each direction. Default 300 ms.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>How many of our intervals the neighbour may hear nothing before it gives us up. Default 3.</summary>
    public int Multiplier { get; init; } = 3;

    public BfdRole Role { get; init; } = BfdRole.Active;

    /// <summary>
    /// The C bit: our BFD does not share the fate of our control plane (RFC 5880 section 4.1). False, because it is a thread of
    /// the same process.
    /// </summary>
    public bool ControlPlaneIndependent { get; init; }

    /// <summary>After how long the neighbour gives us up if it takes what we offer.</summary>
    public TimeSpan DetectionTime => Interval * Multiplier;

    /// <summary>What is wrong with them, for the one who set them; null if nothing.</summary>
    public string? Problem =>
        Interval < MinInterval || Interval > MaxInterval
            ? string.Create(CultureInfo.InvariantCulture, $"BFD interval {Interval.TotalMilliseconds} ms: must be between 10 ms and 60 s")
            : Interval.Ticks % TimeSpan.TicksPerMicrosecond != 0
                ? string.Create(CultureInfo.InvariantCulture, $"BFD interval {Interval.TotalMicroseconds} us: must be whole microseconds")
                : Multiplier is < 1 or > 255
                    ? string.Create(CultureInfo.InvariantCulture, $"BFD multiplier {Multiplier}: must be between 1 and 255")
                    : null;

    /// <summary>
    /// One set for several who watch the same neighbour: that of the shortest detection time, so that each learns of a failure at
    /// least as soon as it asked for; active if one is, independent only if all are.
    /// </summary>
    public static BfdParameters Fastest(IEnumerable<BfdParameters> wishes)
    {
        var all = wishes.ToList();
        return all.OrderBy(w => w.DetectionTime).ThenBy(w => w.Interval).First() with
        {
            Role = all.Exists(w => w.Role == BfdRole.Active) ? BfdRole.Active : BfdRole.Passive,
            ControlPlaneIndependent = all.TrueForAll(w => w.ControlPlaneIndependent),
        };
    }
}
