using System.Collections.Immutable;
using Calico.Core.Bfd;

namespace Calico.Kernel.Bfd;

/// <summary>One session on the BFD thread: its machine, its sockets, its counters. Nobody else touches it.</summary>
internal sealed class BfdPeer(BfdEndpoint endpoint, BfdParameters parameters, uint discriminator, Random random, TimeSpan now)
{
    private static readonly BfdDiscard[] Reasons = Enum.GetValues<BfdDiscard>();

    private readonly long[] _discarded = new long[Reasons.Length];
    private long _in;
    private long _out;
    private long _sendErrors;
    private Errno _lastError;

    public BfdEndpoint Endpoint { get; } = endpoint;
    public BfdSession Session { get; } = new(discriminator, parameters, random, now);
    public BfdParameters Parameters { get; set; } = parameters;
    public BfdReceiver? Receiver { get; set; }
    public BfdSender? Sender { get; set; }

    /// <summary>What the kernel sends for us; null while the thread sends itself.</summary>
    public BfdPlan? Plan { get; set; }

    /// <summary>Why there are no sockets.</summary>
    public string? Closed { get; set; }

    /// <summary>When to open the sockets anew.</summary>
    public TimeSpan RetryAt { get; set; } = TimeSpan.MaxValue;

    /// <summary>Nobody wants the session any more; until then the neighbour is told.</summary>
    public TimeSpan RemoveAt { get; set; } = TimeSpan.MaxValue;

    public bool IsLeaving => RemoveAt != TimeSpan.MaxValue;

    /// <summary>The place in <see cref="BfdTimers"/>.</summary>
    public int Place { get; set; }

    /// <summary>When something is due, as of the last <see cref="Refresh"/>.</summary>
    public TimeSpan Deadline { get; private set; }

    public void Refresh()
    {
        var send = Plan is null ? Session.NextSend : BfdAhead.Due(this);
        var deadline = send < Session.SilentAt ? send : Session.SilentAt;
        deadline = RetryAt < deadline ? RetryAt : deadline;
        Deadline = RemoveAt < deadline ? RemoveAt : deadline;
    }

    public void Discard(BfdDiscard reason) => _discarded[(int)reason]++;

    public void CountIn() => _in++;

    public void Send(in BfdPacket packet)
    {
        if (Sender is not null)
            CountOut(Sender.Send(packet));
    }

    /// <summary>A packet was sent, or could not be.</summary>
    public void CountOut(Errno error)
    {
        _lastError = error;
        if (error == Errno.None)
            _out++;
        else
            _sendErrors++;
    }

    /// <summary>The last packet could not be sent, and not for want of room: the sockets may have to be opened anew.</summary>
    public bool IsBroken => _lastError is not (Errno.None or Errno.EAGAIN or Errno.ENOBUFS);

    /// <summary>New sockets have not failed yet.</summary>
    public void ForgetError() => _lastError = Errno.None;

    public BfdSessionStatus Status() => new(Endpoint, Session.State, Session.RemoteState, Session.Diagnostic, Session.RemoteDiagnostic,
        Session.LocalDiscriminator, Session.RemoteDiscriminator, Parameters, Session.TransmitInterval, Session.ReceiveInterval, Session.DetectionTime,
        new BfdCounters(_in, _out, _sendErrors, Reasons.Where(r => _discarded[(int)r] > 0).ToImmutableDictionary(r => r, r => _discarded[(int)r]),
            Session.Ups, Session.Downs, Session.Excused),
        Closed ?? (_lastError == Errno.None ? null : $"send to {Endpoint}: {_lastError}"));
}
