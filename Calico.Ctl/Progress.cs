namespace Calico.Ctl;

/// <summary>A line on a terminal that says how far long work is; silent elsewhere, and about what is done at once.</summary>
internal sealed class Progress(CtlContext context, int count)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private long _toldAt = context.Time.GetTimestamp();
    private int _done;
    private bool _hasTold;

    public void Step()
    {
        _done++;
        if (!context.ShowsProgress || context.Time.GetElapsedTime(_toldAt) < Interval)
            return;
        _toldAt = context.Time.GetTimestamp();
        _hasTold = true;
        context.Error.Write($"\r{_done} of {count} …");
    }

    /// <summary>Leaves the line empty.</summary>
    public void End()
    {
        if (_hasTold)
            context.Error.Write("\r\u001b[K");
    }
}
