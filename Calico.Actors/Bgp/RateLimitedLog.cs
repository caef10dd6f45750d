namespace Calico.Actors.Bgp;

/// <summary>Lets one line through per period and counts the others: a peer must not fill a disk.</summary>
internal sealed class RateLimitedLog(TimeProvider time, TimeSpan period)
{
    private long? _last;
    private int _suppressed;

    public bool ShouldLog(out int suppressed)
    {
        suppressed = _suppressed;
        if (_last is { } last && time.GetElapsedTime(last) < period)
        {
            _suppressed++;
            return false;
        }
        _last = time.GetTimestamp();
        _suppressed = 0;
        return true;
    }
}
