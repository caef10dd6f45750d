using System.Collections.Concurrent;
using System.Collections.Immutable;
using Calico.Core.Bgp.Wire;

namespace Calico.Actors.Bgp;

/// <summary>What is counted of a peer over all its sessions. Written by the threads of its sockets and its actor, read by anybody.</summary>
internal sealed class SessionCounters
{
    /// <summary>Codes come from outside: what is beyond so many different ones is counted as 0/0.</summary>
    private const int MaxNotifications = 64;

    private readonly ConcurrentDictionary<(bool IsSent, ErrorCode Code, byte Subcode), int> _notifications = [];
    private long _in;
    private long _out;
    private long _withdrawn;
    private long _discarded;
    private int _established;
    private int _pathFailures;

    public void CountIn(int messages) => Interlocked.Add(ref _in, messages);
    public void CountOut(int messages) => Interlocked.Add(ref _out, messages);
    public void CountEstablished() => Interlocked.Increment(ref _established);

    /// <summary>BFD ended a session.</summary>
    public void CountPathFailure() => Interlocked.Increment(ref _pathFailures);

    public void CountNotification(bool isSent, ErrorCode code, byte subcode)
    {
        var key = (isSent, code, subcode);
        if (!_notifications.ContainsKey(key) && _notifications.Count >= MaxNotifications)
            key = (isSent, default, 0);
        _notifications.AddOrUpdate(key, 1, (_, count) => count + 1);
    }

    /// <summary>An UPDATE with faults that did not cost the session.</summary>
    public void CountFaulty(AttributeVerdict verdict)
    {
        if (verdict == AttributeVerdict.TreatAsWithdraw)
            Interlocked.Increment(ref _withdrawn);
        else if (verdict == AttributeVerdict.AttributeDiscard)
            Interlocked.Increment(ref _discarded);
    }

    /// <summary>As of now, without the routes.</summary>
    public PeerCounters ToPeer() => new(0, 0, Interlocked.Read(ref _in), Interlocked.Read(ref _out), Volatile.Read(ref _established))
    {
        PathFailures = Volatile.Read(ref _pathFailures),
        TreatedAsWithdrawn = Interlocked.Read(ref _withdrawn),
        AttributesDiscarded = Interlocked.Read(ref _discarded),
        Notifications = [.. _notifications.Select(n => new NotificationCount(n.Key.IsSent, n.Key.Code, n.Key.Subcode, n.Value)).OrderBy(n => (n.IsSent, n.Code, n.Subcode))],
    };
}
