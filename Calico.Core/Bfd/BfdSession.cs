namespace Calico.Core.Bfd;

/// <summary>
/// The state machine of RFC 5880 section 6.8 for one neighbour: asynchronous mode, no echo, no authentication. It has no clock
/// and no socket: time is an argument (monotonic, from any zero), packets come in as values, and what is to be done comes out as
/// <see cref="BfdWork"/>. After construction it makes no object.
/// <code>
///                              +--+
///                              |  | UP, ADMIN DOWN, TIMER
///                              |  V
///                      DOWN  +------+  INIT
///               +------------|      |------------+
///               |            | DOWN |            |
///               |  +--------&gt;|      |&lt;--------+  |
///               |  |         +------+         |  |
///               |  |               ADMIN DOWN,|  |
///               |  |ADMIN DOWN,          DOWN,|  |
///               |  |TIMER                TIMER|  |
///               V  |                          |  V
///             +------+                      +------+
///        +----|      |                      |      |----+
///    DOWN|    | INIT |---------------------&gt;|  UP  |    |INIT, UP
///        +---&gt;|      | INIT, UP             |      |&lt;---+
///             +------+                      +------+
/// </code>
/// The words on the arrows are the states that the neighbour says it is in. The caller lets every packet in that arrived before
/// an instant, and only then calls <see cref="Advance"/> with that instant: a neighbour is silent only if nothing of it is there.
/// </summary>
public sealed partial class BfdSession
{
    /// <summary>RFC 5880 section 6.8.3: no faster than this while not Up.</summary>
    public static readonly TimeSpan SlowInterval = TimeSpan.FromSeconds(1);

    // bfd.RemoteMinRxInterval before the neighbour said anything (section 6.8.1).
    private static readonly TimeSpan UnknownMinRx = TimeSpan.FromMicroseconds(1);

    private readonly Random _random;
    private BfdParameters _wanted;

    public BfdSession(uint localDiscriminator, BfdParameters parameters, Random random, TimeSpan now)
    {
        if (localDiscriminator == 0)
            throw new ArgumentOutOfRangeException(nameof(localDiscriminator), "a discriminator is not zero (RFC 5880 section 6.8.1)");
        if (parameters.Problem is { } problem)
            throw new ArgumentException(problem, nameof(parameters));
        LocalDiscriminator = localDiscriminator;
        _wanted = parameters;
        _random = random;
        DesiredMinTx = _usedMinTx = Slower(parameters.Interval, SlowInterval);
        RequiredMinRx = _usedMinRx = parameters.Interval;
        ForgetNeighbour();
        TransmitInterval = Slower(_usedMinTx, _remoteMinRx);
        _nextSend = now;
    }

    public BfdState State { get; private set; } = BfdState.Down;
    public BfdState RemoteState { get; private set; } = BfdState.Down;
    public uint LocalDiscriminator { get; }

    /// <summary>Zero until the neighbour is heard, and again after a detection time without it.</summary>
    public uint RemoteDiscriminator { get; private set; }

    public BfdDiagnostic Diagnostic { get; private set; }
    public BfdDiagnostic RemoteDiagnostic { get; private set; }

    /// <summary>How often the session came Up, and how often it left that state.</summary>
    public long Ups { get; private set; }

    public long Downs { get; private set; }

    /// <summary>How often a detection time began anew because the caller had been kept from listening.</summary>
    public long Excused { get; private set; }

    /// <summary>Takes a packet that was decoded and found to be of this session (the rest of section 6.8.6).</summary>
    /// <returns>Why it does not count; then there is no work.</returns>
    public BfdDiscard Receive(in BfdPacket packet, TimeSpan now, out BfdWork work)
    {
        work = BfdWork.None;
        if (packet.HasAuthentication)
            return BfdDiscard.Authentication;
        RemoteDiscriminator = packet.MyDiscriminator;
        RemoteState = packet.State;
        RemoteDiagnostic = packet.Diagnostic;
        _remoteDemand = packet.Demand;
        _remoteMinRx = packet.RequiredMinRx;
        _remoteMinTx = packet.DesiredMinTx;
        _remoteMult = packet.DetectMult;
        HearFinal(packet.Final, now);
        UpdateTransmitInterval(now);
        if (State == BfdState.AdminDown)
            return BfdDiscard.AdminDown;

        work = Step(packet.State, now);
        Heard(now);
        if (packet.Poll)
            work = (work & ~BfdWork.Send) | BfdWork.Final;
        return BfdDiscard.None;
    }

    /// <summary>
    /// Does what is due at an instant before which every packet has been let in: gives up a silent neighbour, sends.
    /// </summary>
    /// <param name="back">
    /// When the caller last came back late, from a pause in which it could not read (a pause of the runtime, a suspended machine);
    /// zero for never. What may have been lost then is not the neighbour's silence.
    /// </param>
    public BfdWork Advance(TimeSpan now, TimeSpan back = default)
    {
        var work = BfdWork.None;
        if (now >= _silentAt && !Excuse(now, back))
        {
            if (State is BfdState.Init or BfdState.Up)
                work = Enter(BfdState.Down, BfdDiagnostic.ControlDetectionTimeExpired, now);
            ForgetNeighbour();
            UpdateTransmitInterval(now);
        }
        if (now >= _nextSend && SendsPeriodically)
            work |= BfdWork.Send;
        if ((work & BfdWork.Send) != 0 && !MaySend)
            work &= ~BfdWork.Send;
        if ((work & BfdWork.Send) != 0)
            Sent(now);
        return work;
    }

    /// <summary>Switches the session off (section 6.8.16): the neighbour is told, and goes on being told.</summary>
    public BfdWork Disable(TimeSpan now)
    {
        if (State == BfdState.AdminDown)
            return BfdWork.None;
        var work = Enter(BfdState.AdminDown, BfdDiagnostic.AdministrativelyDown, now);
        _silentAt = TimeSpan.MaxValue;
        return work;
    }

    /// <summary>Switches the session on again.</summary>
    public BfdWork Enable(TimeSpan now)
    {
        if (State != BfdState.AdminDown)
            return BfdWork.None;
        ForgetNeighbour();
        return Enter(BfdState.Down, BfdDiagnostic.None, now);
    }

    /// <summary>New parameters, negotiated without leaving Up (section 6.8.3).</summary>
    public void Change(BfdParameters parameters, TimeSpan now)
    {
        if (parameters.Problem is { } problem)
            throw new ArgumentException(problem, nameof(parameters));
        _wanted = parameters;
        Announce(now);
    }

    /// <summary>The packet that is due; carries the Poll bit while the neighbour must confirm new intervals.</summary>
    public BfdPacket Compose() => Packet(poll: _poll == PollSequence.Active && RemoteDiscriminator != 0, final: false);

    /// <summary>The answer to a Poll.</summary>
    public BfdPacket ComposeFinal() => Packet(poll: false, final: true);

    private BfdPacket Packet(bool poll, bool final) => new()
    {
        Diagnostic = Diagnostic,
        State = State,
        Poll = poll,
        Final = final,
        ControlPlaneIndependent = _wanted.ControlPlaneIndependent,
        DetectMult = (byte)_wanted.Multiplier,
        MyDiscriminator = LocalDiscriminator,
        YourDiscriminator = RemoteDiscriminator,
        DesiredMinTx = DesiredMinTx,
        RequiredMinRx = RequiredMinRx,
    };

    private BfdWork Step(BfdState remote, TimeSpan now) => (State, remote) switch
    {
        (BfdState.Down, BfdState.Down) => Enter(BfdState.Init, Diagnostic, now),
        (BfdState.Down, BfdState.Init) => Enter(BfdState.Up, BfdDiagnostic.None, now),
        (BfdState.Init, BfdState.Init or BfdState.Up) => Enter(BfdState.Up, BfdDiagnostic.None, now),
        (BfdState.Init or BfdState.Up, BfdState.AdminDown) => Enter(BfdState.Down, BfdDiagnostic.NeighborSignaledSessionDown, now),
        (BfdState.Up, BfdState.Down) => Enter(BfdState.Down, BfdDiagnostic.NeighborSignaledSessionDown, now),
        _ => BfdWork.None,
    };

    // A change is told at once (section 6.8.7): the neighbour need not wait for the timer.
    private BfdWork Enter(BfdState state, BfdDiagnostic diagnostic, TimeSpan now)
    {
        Ups += state == BfdState.Up ? 1 : 0;
        Downs += State == BfdState.Up ? 1 : 0;
        State = state;
        Diagnostic = diagnostic;
        Announce(now);
        if (!MaySend)
            return BfdWork.StateChanged;
        Sent(now);
        return BfdWork.StateChanged | BfdWork.Send;
    }
}
