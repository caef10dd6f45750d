namespace Calico.Core.Bfd;

/// <summary>
/// The timers of a session (RFC 5880 sections 6.5, 6.8.2 to 6.8.4 and 6.8.7). What is announced and what is used can differ:
/// while Up, a longer transmit interval and a shorter receive interval are announced with the Poll bit and used only once the
/// neighbour's Final says that it knows of them. One change is under way at a time: the next waits for a packet without Final
/// after the Final of the first, or that Final could be taken for its own.
/// </summary>
public sealed partial class BfdSession
{
    private enum PollSequence : byte
    {
        Idle,

        /// <summary>Packets carry the Poll bit.</summary>
        Active,

        /// <summary>The Final came; another copy of it may be under way.</summary>
        Settling,
    }

    private PollSequence _poll;
    private TimeSpan _usedMinTx;
    private TimeSpan _usedMinRx;
    private TimeSpan _remoteMinRx;
    private TimeSpan _remoteMinTx;
    private byte _remoteMult;
    private bool _remoteDemand;
    private TimeSpan _nextSend;
    private TimeSpan _lastSent;
    private TimeSpan _lastHeard;
    private TimeSpan _silentAt = TimeSpan.MaxValue;
    private bool _excused;

    /// <summary>bfd.DesiredMinTxInterval, as announced.</summary>
    public TimeSpan DesiredMinTx { get; private set; }

    /// <summary>bfd.RequiredMinRxInterval, as announced.</summary>
    public TimeSpan RequiredMinRx { get; private set; }

    /// <summary>Between two packets of ours, before jitter.</summary>
    public TimeSpan TransmitInterval { get; private set; }

    /// <summary>Between two packets of the neighbour's at most; zero before it is heard.</summary>
    public TimeSpan ReceiveInterval => RemoteDiscriminator == 0 ? TimeSpan.Zero : Slower(_usedMinRx, _remoteMinTx);

    /// <summary>After how much silence the neighbour is given up; zero before it is heard.</summary>
    public TimeSpan DetectionTime => ReceiveInterval * _remoteMult;

    /// <summary>After how much silence of ours the neighbour gives us up, as far as we know.</summary>
    public TimeSpan RemoteDetectionTime => TransmitInterval * _wanted.Multiplier;

    /// <summary>When <see cref="Advance"/> is due next; <see cref="TimeSpan.MaxValue"/> for never.</summary>
    public TimeSpan Deadline => SendsPeriodically && _nextSend < _silentAt ? _nextSend : _silentAt;

    /// <summary>When the next packet of ours is due; <see cref="TimeSpan.MaxValue"/> for never.</summary>
    public TimeSpan NextSend => SendsPeriodically ? _nextSend : TimeSpan.MaxValue;

    /// <summary>When the neighbour will have been silent for a detection time; <see cref="TimeSpan.MaxValue"/> while none is heard.</summary>
    public TimeSpan SilentAt => _silentAt;

    /// <summary>Up, and packets are sent at the agreed pace: what they say stays the same until somebody says something new.</summary>
    public bool IsPacing => State == BfdState.Up && SendsPeriodically;

    /// <summary>A pause before the next packet: an interval less jitter (section 6.8.7).</summary>
    public TimeSpan Jittered()
    {
        // 75 to 100 percent; a neighbour that gives up after one interval must not get close to it.
        var range = _wanted.Multiplier == 1 ? 0.15 : 0.25;
        return new TimeSpan((long)(TransmitInterval.Ticks * (0.75 + (range * _random.NextDouble()))));
    }

    /// <summary>Somebody else sends the packet that is due at <see cref="NextSend"/>, which is returned; the one after it is due next.</summary>
    public TimeSpan TakeSend()
    {
        var at = _nextSend;
        Sent(at);
        return at;
    }

    /// <summary>Packets that were taken will not be sent, from the one of this time on.</summary>
    public void GiveBackSend(TimeSpan at)
    {
        // Outside of Up the machine has set the pace anew already.
        if (State == BfdState.Up)
            _nextSend = Faster(_nextSend, at);
    }

    private bool MaySend => _wanted.Role == BfdRole.Active || RemoteDiscriminator != 0;

    private bool SendsPeriodically => MaySend && _remoteMinRx > TimeSpan.Zero && !(RemoteDemands && _poll != PollSequence.Active);

    // Section 6.8.7: a neighbour in Demand mode must not be sent to.
    private bool RemoteDemands => _remoteDemand && State == BfdState.Up && RemoteState == BfdState.Up;

    private void HearFinal(bool final, TimeSpan now)
    {
        if (final && _poll == PollSequence.Active)
        {
            _poll = PollSequence.Settling;
            (_usedMinTx, _usedMinRx) = (DesiredMinTx, RequiredMinRx);
        }
        else if (!final && _poll == PollSequence.Settling)
        {
            _poll = PollSequence.Idle;
            Announce(now);
        }
    }

    private void Heard(TimeSpan now)
    {
        _lastHeard = now;
        _excused = false;
        _silentAt = now + DetectionTime;
    }

    private void Sent(TimeSpan now)
    {
        _lastSent = now;
        _nextSend = now + Jittered();
    }

    // Once between two packets: a caller that is always late must learn of a failure, too.
    private bool Excuse(TimeSpan now, TimeSpan back)
    {
        if (_excused || back <= _lastHeard || now >= back + DetectionTime)
            return false;
        _excused = true;
        Excused++;
        _silentAt = back + DetectionTime;
        return true;
    }

    private void Announce(TimeSpan now)
    {
        var isUp = State == BfdState.Up;
        var tx = isUp ? _wanted.Interval : Slower(_wanted.Interval, SlowInterval);
        var rx = _wanted.Interval;
        var isNew = tx != DesiredMinTx || rx != RequiredMinRx;
        if (isUp && isNew && _poll != PollSequence.Idle)
            return;
        if (isNew)
        {
            (DesiredMinTx, RequiredMinRx) = (tx, rx);
            _poll = PollSequence.Active;
        }
        if (!isUp)
            (_usedMinTx, _usedMinRx) = (tx, rx);
        else if (isNew)
            (_usedMinTx, _usedMinRx) = (Faster(_usedMinTx, tx), Slower(_usedMinRx, rx));
        UpdateTransmitInterval(now);
        if (RemoteDiscriminator != 0 && State != BfdState.AdminDown)
            _silentAt = _lastHeard + DetectionTime;
    }

    private void UpdateTransmitInterval(TimeSpan now)
    {
        var interval = Slower(_usedMinTx, _remoteMinRx);
        if (interval == TransmitInterval)
            return;
        var isFaster = interval < TransmitInterval;
        TransmitInterval = interval;
        var next = (isFaster ? now : _lastSent) + Jittered();
        _nextSend = isFaster ? Faster(_nextSend, next) : Slower(now, next);
    }

    // What is known of a neighbour that has not been heard for a detection time is not known of its successor.
    private void ForgetNeighbour()
    {
        RemoteDiscriminator = 0;
        RemoteState = BfdState.Down;
        _remoteMinRx = UnknownMinRx;
        _remoteMinTx = TimeSpan.Zero;
        _remoteMult = 0;
        _remoteDemand = false;
        _silentAt = TimeSpan.MaxValue;
    }

    private static TimeSpan Slower(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private static TimeSpan Faster(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
