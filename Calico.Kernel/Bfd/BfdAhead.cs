using System.Runtime.InteropServices;
using Calico.Core.Bfd;

namespace Calico.Kernel.Bfd;

/// <summary>
/// Sends ahead: while a session is up and its packets are all the same, those of the next two seconds are with the kernel already, each
/// with its time. A garbage collection that stops every thread of the process, ours included, then does not stop the packets, and
/// the neighbour goes on hearing us. When the process ends they end with it; when the thread hangs they end after two to three
/// seconds, and the neighbour's detection time begins.
/// <para>Whatever changes what a packet says takes the rest back first (<see cref="Cancel"/>).</para>
/// </summary>
internal sealed class BfdAhead : IDisposable
{
    /// <summary>The pause that is survived at the least.</summary>
    public static readonly TimeSpan Horizon = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Full = Horizon * 1.5;

    // A neighbour that is more patient than this survives a pause of ours without help.
    private static readonly TimeSpan Patience = Horizon * 2;

    private const ulong CancelTag = ulong.MaxValue;
    private const int SendKind = 1;

    private readonly IoUring _ring;
    private readonly List<BfdPlan?> _plans = [];
    private bool _isQueued;

    private BfdAhead(IoUring ring) => _ring = ring;

    /// <summary>Null where the kernel cannot do it.</summary>
    public static BfdAhead? TryOpen() => IoUring.TryOpen() is { } ring ? new BfdAhead(ring) : null;

    /// <summary>When to look after the session's packets again.</summary>
    public static TimeSpan Due(BfdPeer peer) => peer.Plan is null ? TimeSpan.MaxValue : peer.Session.NextSend - Horizon;

    /// <summary>Takes back what the kernel has of a session whose packets say something else by now.</summary>
    public void Review(BfdPeer peer, TimeSpan now)
    {
        if (peer.Plan is { } plan
            && (!IsWanted(peer) || plan.Interval != peer.Session.TransmitInterval || plan.Packet != peer.Session.Compose()))
            Cancel(peer, now);
    }

    /// <summary>Gives the kernel the packets of the next seconds, if it has few.</summary>
    public unsafe void Fill(BfdPeer peer, TimeSpan now)
    {
        if (!IsWanted(peer) || peer.Session.NextSend >= now + Horizon)
            return;
        var plan = peer.Plan ??= Begin(peer);
        while (peer.Session.NextSend < now + Full && plan.HasRoom(now))
        {
            if (!_ring.HasRoom)
                Flush();
            var at = peer.Session.TakeSend();
            plan.Add(at);
            _ring.SendAt(at, plan.Fd, plan.Message, plan.WaitTag, plan.WaitTag | SendKind);
            _isQueued = true;
        }
    }

    /// <summary>No packet of the session is with the kernel any more when this returns.</summary>
    public void Cancel(BfdPeer peer, TimeSpan now)
    {
        if (peer.Plan is not { } plan)
            return;
        _ring.Cancel(plan.WaitTag, CancelTag);
        Flush();
        peer.Session.GiveBackSend(plan.FirstAfter(now));
        peer.Plan = null;
        plan.Peer = null;
        Reap();
    }

    /// <summary>Hands over what was filled.</summary>
    public void Flush()
    {
        _ring.Flush();
        _isQueued = false;
    }

    /// <summary>At the end of a round: hands over, and counts what was sent.</summary>
    public void EndRound()
    {
        if (_isQueued)
            Flush();
        Reap();
    }

    public void Dispose()
    {
        foreach (var plan in _plans)
        {
            if (plan is not null)
                _ring.Cancel(plan.WaitTag, CancelTag);
        }
        _ring.Flush();
        // A plan with packets under way keeps its memory: there is nobody left to wait for it.
        Reap();
        _ring.Dispose();
    }

    private static bool IsWanted(BfdPeer peer) =>
        peer is { Sender: not null, IsLeaving: false } && peer.Session.IsSteady && peer.Session.RemoteDetectionTime <= Patience;

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

    private void Reap()
    {
        while (_ring.TryReap(out var tag, out var result))
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
    private const int Most = 512;

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
