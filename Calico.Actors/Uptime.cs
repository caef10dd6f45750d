namespace Calico.Actors;

/// <summary>Time since its making. No step of the wall clock moves it: deadlines and silence are measured by it.</summary>
internal sealed class Uptime(TimeProvider time)
{
    private readonly long _start = time.GetTimestamp();

    public TimeSpan Now => time.GetElapsedTime(_start);
}
