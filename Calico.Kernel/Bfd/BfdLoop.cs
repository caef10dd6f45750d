using System.Collections.Immutable;
using System.Diagnostics;
using Calico.Core.Bfd;
using Calico.Core.Net;

namespace Calico.Kernel.Bfd;

/// <summary>
/// What the BFD thread does, one round after another: sessions, sockets, timers. Only that thread calls it. A round without a
/// change of any session makes no object and takes no lock.
/// </summary>
/// <param name="report">Is told of each change of state, on the thread.</param>
/// <param name="ahead">Sends while the thread is held up; null where the kernel cannot.</param>
internal sealed class BfdLoop(Action<BfdChange> report, BfdAhead? ahead) : IDisposable
{
    // A neighbour that was told once may have missed it; after a second it has noticed by itself.
    private static readonly TimeSpan LongestFarewell = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    // The kernel wakes within a millisecond even on a busy machine; what takes longer kept us from listening.
    private static readonly TimeSpan Late = TimeSpan.FromMilliseconds(5);

    // More than a receive buffer holds, so that one round takes all that was there when it began; a flood must not stop the timers.
    private const int MostInOneRound = 16_384;

    private readonly Random _random = new();
    private readonly BfdTimers _timers = new();
    private readonly Dictionary<BfdEndpoint, BfdPeer> _peers = [];
    private readonly Dictionary<uint, BfdPeer> _byDiscriminator = [];
    private readonly Dictionary<BfdSource, BfdPeer> _bySource = [];
    private readonly List<BfdReceiver> _receivers = [];
    private readonly long[] _strangers = new long[Enum.GetValues<BfdDiscard>().Length];
    private TimeSpan _back;

    private readonly record struct BfdSource(IpAddr Neighbour, IpAddr Local, ushort Port, int DeviceIndex);

    /// <summary>CLOCK_MONOTONIC.</summary>
    public static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>When the next round is due; <see cref="TimeSpan.MaxValue"/> for never.</summary>
    public TimeSpan NextDeadline => _timers.First?.Deadline ?? TimeSpan.MaxValue;

    /// <summary>The sockets that bring work; changes only by commands and failures.</summary>
    public List<BfdReceiver> Receivers => _receivers;

    public bool IsEmpty => _peers.Count == 0;

    /// <summary>
    /// One round. What arrived before it began is read before anybody is judged: a thread that was held up does not take its
    /// own absence for the silence of a neighbour.
    /// </summary>
    /// <param name="due">When the round should have begun.</param>
    public void Round(TimeSpan due)
    {
        var began = Now;
        if (began - due > Late)
            _back = began;
        foreach (var receiver in _receivers)
            Drain(receiver);
        while (_timers.First is { } peer && peer.Deadline <= began)
            Advance(peer, began);
        ahead?.Reap();
    }

    public void Watch(BfdEndpoint endpoint, BfdParameters parameters)
    {
        var now = Now;
        if (!_peers.TryGetValue(endpoint, out var peer))
        {
            peer = new BfdPeer(endpoint, parameters, FreeDiscriminator(), _random, now);
            _peers.Add(endpoint, peer);
            _byDiscriminator.Add(peer.Session.LocalDiscriminator, peer);
            _timers.Add(peer);
            Open(peer, now, port: 0);
            Report(peer);
            Perform(peer, BfdWork.None);
            return;
        }
        var work = BfdWork.None;
        if (peer.IsLeaving)
        {
            peer.RemoveAt = TimeSpan.MaxValue;
            work = peer.Session.Enable(now);
        }
        peer.Parameters = parameters;
        peer.Session.Change(parameters, now);
        Report(peer);
        Perform(peer, work & ~BfdWork.StateChanged);
    }

    public void Unwatch(BfdEndpoint endpoint)
    {
        if (!_peers.TryGetValue(endpoint, out var peer) || peer.IsLeaving)
            return;
        var now = Now;
        // As the neighbour counts: afterwards it needs no farewell.
        var patience = peer.Session.RemoteDetectionTime;
        peer.RemoveAt = now + (patience < LongestFarewell ? patience : LongestFarewell);
        Perform(peer, peer.Session.Disable(now) & ~BfdWork.StateChanged);
    }

    public void UnwatchAll()
    {
        foreach (var peer in _peers.Values)
            Unwatch(peer.Endpoint);
    }

    public void SetEnabled(BfdEndpoint endpoint, bool enabled)
    {
        if (_peers.TryGetValue(endpoint, out var peer) && !peer.IsLeaving)
            Perform(peer, enabled ? peer.Session.Enable(Now) : peer.Session.Disable(Now));
    }

    public ImmutableArray<BfdSessionStatus> Status() =>
        [.. _peers.Values.Where(p => !p.IsLeaving).OrderBy(p => p.Endpoint.Neighbour).Select(p => p.Status())];

    /// <summary>Packets that were of no session, by reason.</summary>
    public long Strangers(BfdDiscard reason) => _strangers[(int)reason];

    public void Dispose()
    {
        foreach (var peer in _peers.Values)
            Close(peer);
        ahead?.Dispose();
    }

    private void Drain(BfdReceiver receiver)
    {
        for (var i = 0; i < MostInOneRound && receiver.TryReceive(out var payload, out var arrival); i++)
            Arrive(receiver, payload, arrival);
    }

    // RFC 5881 sections 4 and 5, RFC 5880 section 6.8.6.
    private void Arrive(BfdReceiver receiver, ReadOnlySpan<byte> payload, in BfdArrival arrival)
    {
        if (receiver.Key.Port == BfdEndpoint.SingleHopPort && arrival.HopLimit != 255)
        {
            Discard(BySource(receiver, arrival), BfdDiscard.HopLimit);
            return;
        }
        var reason = BfdPacket.TryDecode(payload, out var packet);
        if (reason != BfdDiscard.None)
        {
            Discard(BySource(receiver, arrival), reason);
            return;
        }
        var peer = packet.YourDiscriminator == 0 ? BySource(receiver, arrival) : _byDiscriminator.GetValueOrDefault(packet.YourDiscriminator);
        if (peer is null)
        {
            Discard(BySource(receiver, arrival), BfdDiscard.NoSession);
            return;
        }
        // A discriminator must not lead a packet past the check of its port or device.
        if (peer.Receiver != receiver || (peer.Sender is { DeviceIndex: > 0 } sender && sender.DeviceIndex != arrival.DeviceIndex))
        {
            peer.Discard(BfdDiscard.WrongPath);
            return;
        }
        peer.CountIn();
        reason = peer.Session.Receive(packet, Now, out var work);
        if (reason != BfdDiscard.None)
            peer.Discard(reason);
        Perform(peer, work);
    }

    private BfdPeer? BySource(BfdReceiver receiver, in BfdArrival arrival)
    {
        var source = new BfdSource(arrival.Source, receiver.Key.Local, receiver.Key.Port, arrival.DeviceIndex);
        return _bySource.GetValueOrDefault(source) ?? _bySource.GetValueOrDefault(source with { DeviceIndex = 0 });
    }

    private void Discard(BfdPeer? peer, BfdDiscard reason)
    {
        if (peer is null)
            _strangers[(int)reason]++;
        else
            peer.Discard(reason);
    }

    private void Advance(BfdPeer peer, TimeSpan now)
    {
        if (peer.RemoveAt <= now)
        {
            Remove(peer);
            return;
        }
        if (peer.RetryAt <= now)
        {
            var port = peer.Sender?.SourcePort ?? 0;
            Close(peer);
            Open(peer, now, port);
        }
        Perform(peer, peer.Session.Advance(now, _back));
    }

    // What the kernel has of the session must not follow a packet that says something else, and it must have the new ones before
    // the neighbour learns that there will be many.
    private void Perform(BfdPeer peer, BfdWork work)
    {
        var now = Now;
        ahead?.Review(peer, now);
        ahead?.Fill(peer, now);
        HandOver(now);
        if ((work & BfdWork.Final) != 0)
            peer.Send(peer.Session.ComposeFinal());
        if ((work & BfdWork.Send) != 0)
            peer.Send(peer.Session.Compose());
        if (peer.IsBroken && peer.RetryAt == TimeSpan.MaxValue)
            peer.RetryAt = now + RetryAfter;
        if ((work & BfdWork.StateChanged) != 0)
            Report(peer);
        peer.Refresh();
        _timers.Moved(peer);
    }

    // Without the kernel everybody's next packet is the thread's again, and may be due before the thread would have looked.
    private void HandOver(TimeSpan now)
    {
        if (ahead is null || ahead.Flush(now))
            return;
        foreach (var peer in _peers.Values)
        {
            peer.Refresh();
            _timers.Moved(peer);
        }
    }

    private void Report(BfdPeer peer) =>
        report(new BfdChange(peer.Endpoint, peer.Session.State, peer.Session.RemoteState, peer.Session.Diagnostic));

    // An address or a device that is not there yet, or anew, is no fault of the session: it stays down and tries again.
    private void Open(BfdPeer peer, TimeSpan now, ushort port)
    {
        try
        {
            peer.Sender = BfdSender.Open(peer.Endpoint, port, _random);
            peer.Receiver = Receiver(BfdReceiverKey.Of(peer.Endpoint));
            peer.Receiver.Users++;
            _bySource[Source(peer)] = peer;
            (peer.Closed, peer.RetryAt) = (null, TimeSpan.MaxValue);
            peer.ForgetError();
        }
        catch (KernelException e)
        {
            peer.Sender?.Dispose();
            peer.Sender = null;
            (peer.Closed, peer.RetryAt) = (e.Message, now + RetryAfter);
        }
    }

    private void Close(BfdPeer peer)
    {
        var now = Now;
        ahead?.Cancel(peer, now);
        HandOver(now);
        if (peer.Sender is not { } sender || peer.Receiver is not { } receiver)
            return;
        _bySource.Remove(Source(peer));
        (peer.Sender, peer.Receiver) = (null, null);
        sender.Dispose();
        if (--receiver.Users > 0)
            return;
        _receivers.Remove(receiver);
        receiver.Dispose();
    }

    private void Remove(BfdPeer peer)
    {
        Close(peer);
        _timers.Remove(peer);
        _byDiscriminator.Remove(peer.Session.LocalDiscriminator);
        _peers.Remove(peer.Endpoint);
    }

    private BfdReceiver Receiver(BfdReceiverKey key)
    {
        foreach (var receiver in _receivers)
        {
            if (receiver.Key == key)
                return receiver;
        }
        var opened = BfdReceiver.Open(key);
        _receivers.Add(opened);
        return opened;
    }

    private static BfdSource Source(BfdPeer peer) =>
        new(peer.Endpoint.Neighbour, peer.Endpoint.Local, peer.Endpoint.Port, peer.Sender!.DeviceIndex);

    private uint FreeDiscriminator()
    {
        while (true)
        {
            var candidate = (uint)_random.NextInt64(1, 1L << 32);
            if (!_byDiscriminator.ContainsKey(candidate))
                return candidate;
        }
    }
}
