using Akka.Actor;
using Calico.Core.Bgp.Session;

namespace Calico.Actors.Bgp;

/// <summary>
/// The machine's timers on the actor's. Starting a timer over is only a new deadline: the tick that comes at the old
/// one is armed again for the rest, so that a session that reads a million updates touches no scheduler.
/// </summary>
internal sealed class SessionTimers(ITimerScheduler scheduler, TimeProvider time)
{
    private readonly record struct Running(TimeSpan Duration, long Deadline);

    private readonly Dictionary<SessionTimer, Running> _running = [];

    public void Start(SessionTimer timer, TimeSpan duration)
    {
        _running[timer] = new(duration, DeadlineIn(duration));
        scheduler.StartSingleTimer(timer, new SessionTick(timer), duration);
    }

    /// <summary>Starts a running timer over; one that does not run stays as it is.</summary>
    public void Rewind(SessionTimer timer)
    {
        if (_running.TryGetValue(timer, out var running))
            _running[timer] = running with { Deadline = DeadlineIn(running.Duration) };
    }

    public void Stop(SessionTimer timer)
    {
        if (_running.Remove(timer))
            scheduler.Cancel(timer);
    }

    /// <summary>Whether a tick means that the timer expired; if it does, the timer runs no more.</summary>
    public bool IsExpired(SessionTimer timer)
    {
        if (!_running.TryGetValue(timer, out var running))
            return false;
        var left = TimeSpan.FromSeconds((running.Deadline - time.GetTimestamp()) / (double)time.TimestampFrequency);
        if (left > TimeSpan.FromMilliseconds(5))
        {
            scheduler.StartSingleTimer(timer, new SessionTick(timer), left);
            return false;
        }
        _running.Remove(timer);
        return true;
    }

    private long DeadlineIn(TimeSpan duration) =>
        time.GetTimestamp() + (long)(duration.TotalSeconds * time.TimestampFrequency);
}
