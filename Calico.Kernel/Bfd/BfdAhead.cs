using System.Runtime.InteropServices;
using Calico.Core.Bfd;

namespace Calico.Kernel.Bfd;

/// <summary>
/// Sends ahead: while a session is up, its packets of the next seconds are with the kernel already, each with its time. A garbage
/// collection that stops every thread of the process, ours included, then does not stop the packets, and the neighbour goes on
/// hearing us. When the process ends or is stopped they end with it; when only this thread hangs they end after
/// <see cref="Horizon"/> at the least, and the neighbour's detection time begins.
/// <para>Whatever changes what a packet says takes the rest back (<see cref="Review"/>) in the step that hands over the new ones,
/// before anything else is sent: there is no moment in which the kernel has nothing and the neighbour expects a lot.</para>
/// <para>A kernel that takes no more requests is given up for good, with what it has: the thread sends by itself from then on.</para>
/// </summary>
internal sealed class BfdAhead : IDisposable
{
    /// <summary>The pause that is survived at the least, but of short intervals no more than <see cref="Packets"/>.</summary>
    public static readonly TimeSpan Horizon = TimeSpan.FromSeconds(5);

    public const int Packets = 256;

    // Handed over each second.
    private const double Full = 1.2;

    private const ulong CancelTag = ulong.MaxValue;
    private const int SendKind = 1;

    private readonly IoUring _ring;
    private readonly List<BfdPlan?> _plans = [];
    private bool _isQueued;
    private volatile bool _isGivenUp;

    private BfdAhead(IoUring ring) => _ring = ring;

    /// <summary>Null where the kernel cannot do it.</summary>
    public static BfdAhead? TryOpen() => IoUring.TryOpen() is { } ring ? new BfdAhead(ring) : null;

    /// <summary>False once the kernel was given up. May be asked by any thread.</summary>
    public bool IsOpen => !_isGivenUp;

    /// <summary>When to look after the session's packets again.</summary>
    public static TimeSpan Due(BfdPeer peer) => peer.Plan is null ? TimeSpan.MaxValue : peer.Session.NextSend - Reach(peer);

    /// <summary>Takes back what the kernel has of a session whose packets say something else by now, with the next <see cref="Flush"/>.</summary>
    public void Review(BfdPeer peer, TimeSpan now)
    {
        if (peer.Plan is { } plan
            && (!IsWanted(peer) || plan.Interval != peer.Session.TransmitInterval || plan.Packet != peer.Session.Compose()))
            TakeBack(peer, plan, now);
    }

    /// <summary>Has the kernel's packets of the session reach as far as they shall, with the next <see cref="Flush"/>.</summary>
    public unsafe void Fill(BfdPeer peer, TimeSpan now)
    {
        if (_isGivenUp || !IsWanted(peer))
            return;
        var reach = Reach(peer);
        if (peer.Session.NextSend >= now + reach)
            return;
        var plan = peer.Plan ??= Begin(peer);
        for (var more = plan.HasRoom(now); more;)
        {
            var at = peer.Session.TakeSend();
            plan.Add(at);
            more = peer.Session.NextSend < now + (reach * Full) && plan.HasRoom(now);
            _ring.SendAt(at, plan.Fd, plan.Message, plan.WaitTag, plan.WaitTag | SendKind, isLast: !more);
        }
        _isQueued = true;
    }

    /// <summary>Takes back all that the kernel has of a session, with the next <see cref="Flush"/>.</summary>
    public void Cancel(BfdPeer peer, TimeSpan now)
    {
        if (peer.Plan is { } plan)
            TakeBack(peer, plan, now);
    }

    /// <summary>
    /// Hands over what was filled, reviewed and cancelled. False if the kernel did not take it: then it was given up, it has nothing of
    /// any session any more, and each has its next packet to send.
    /// </summary>
    public bool Flush(TimeSpan now)
    {
        if (!_isQueued)
            return true;
        _isQueued = false;
        if (_ring.Flush())
            return true;
        _isGivenUp = true;
        _ring.Dispose();
        foreach (var plan in _plans)
        {
            if (plan?.Peer is { } peer)
                Forget(peer, plan, now);
        }
        return false;
    }

    /// <summary>Every session was cancelled before.</summary>
    public void Dispose()
    {
        // A plan with packets under way keeps its memory: there is nobody left to wait for it.
        if (!_isGivenUp)
            Reap();
        _ring.Dispose();
    }

    private static bool IsWanted(BfdPeer peer) =>
        peer is { Sender: not null, IsLeaving: false } && peer.Session.IsPacing && peer.Session.RemoteDetectionTime <= Horizon;

    private static TimeSpan Reach(BfdPeer peer)
    {
        var most = peer.Session.TransmitInterval * Packets;
        return most < Horizon ? most : Horizon;
    }

    private void TakeBack(BfdPeer peer, BfdPlan plan, TimeSpan now)
    {
        _ring.Cancel(plan.WaitTag, CancelTag);
        _isQueued = true;
        Forget(peer, plan, now);
    }

    private static void Forget(BfdPeer peer, BfdPlan plan, TimeSpan now)
    {
        peer.Session.GiveBackSend(plan.FirstAfter(now));
        peer.Plan = null;
        plan.Peer = null;
    }

    private BfdPlan Begin(BfdPeer peer)
    {
        var slot = _plans.IndexOf(null);
        if (slot < 0)
        {
            slot = _plans.Count;
            _plans.Add(null);
        }
        var plan = new BfdPlan(peer, (ulong)slot << 1);
        _plans[slot] = plan;
        return plan;
    }

    /// <summary>Counts what was sent.</summary>
    public void Reap()
    {
        while (!_isGivenUp && _ring.TryReap(out var tag, out var result))
        {
            if (tag == CancelTag || (tag & SendKind) == 0)
                continue;
            var slot = (int)(tag >> 1);
            var plan = _plans[slot]!;
            plan.Done();
            if (result != IoUring.Canceled)
                plan.Peer?.CountOut(result < 0 ? (Errno)(-result) : Errno.None);
            if (plan is not { Peer: null, IsIdle: true })
                continue;
            _plans[slot] = null;
            plan.Free();
        }
    }
}

/// <summary>The packets of a session that the kernel has: all of one content, with their times.</summary>
internal sealed unsafe class BfdPlan
{
    // As many as reach far enough at three quarters of the interval.
    private const int Most = IoUring.LongestChain;

    private readonly byte* _memory;
    private readonly TimeSpan[] _times = new TimeSpan[Most];
    private int _first;
    private int _count;
    private int _underWay;

    public BfdPlan(BfdPeer peer, ulong waitTag)
    {
        Peer = peer;
        WaitTag = waitTag;
        Fd = peer.Sender!.Fd;
        Packet = peer.Session.Compose();
        Interval = peer.Session.TransmitInterval;
        _memory = (byte*)NativeMemory.AllocZeroed((nuint)(sizeof(BfdNative.MsgHdr) + sizeof(BfdNative.IoVec) + BfdPacket.Length + BfdNative.SockAddrSize));
        var vector = (BfdNative.IoVec*)(_memory + sizeof(BfdNative.MsgHdr));
        var octets = (byte*)(vector + 1);
        var address = octets + BfdPacket.Length;
        Packet.Encode(new Span<byte>(octets, BfdPacket.Length));
        new ReadOnlySpan<byte>(peer.Sender.Address, BfdNative.SockAddrSize).CopyTo(new Span<byte>(address, BfdNative.SockAddrSize));
        *vector = new BfdNative.IoVec { Base = octets, Length = BfdPacket.Length };
        *Message = new BfdNative.MsgHdr { Name = address, NameLength = peer.Sender.AddressLength, Vectors = vector, VectorCount = 1 };
    }

    /// <summary>Null once the session wants nothing sent by it any more.</summary>
    public BfdPeer? Peer { get; set; }

    public ulong WaitTag { get; }
    public int Fd { get; }
    public BfdPacket Packet { get; }
    public TimeSpan Interval { get; }
    public BfdNative.MsgHdr* Message => (BfdNative.MsgHdr*)_memory;
    public bool IsIdle => _underWay == 0;

    public bool HasRoom(TimeSpan now)
    {
        while (_count > 0 && _times[_first] <= now)
            (_first, _count) = ((_first + 1) % Most, _count - 1);
        return _count < Most;
    }

    public void Add(TimeSpan at)
    {
        _times[(_first + _count++) % Most] = at;
        _underWay++;
    }

    /// <summary>When the next packet would have been sent.</summary>
    public TimeSpan FirstAfter(TimeSpan now)
    {
        HasRoom(now);
        return _count > 0 ? _times[_first] : now;
    }

    public void Done() => _underWay--;

    public void Free() => NativeMemory.Free(_memory);
}
