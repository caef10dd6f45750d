using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Threading.Channels;
using Akka.Actor;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Session;
using Calico.Core.Bgp.Wire;

namespace Calico.Actors.Bgp;

/// <summary>
/// One TCP connection of a session, served by three loops on the thread pool that tell the session actor what they
/// read and take what it sends.
/// <code>
///   socket ==receive==> pipe ==parse==> events and route batches ==tell==> session actor
///     ^                                        ^ at most four batches unprocessed, then parsing waits,
///     |                                          then the pipe is full, then TCP slows the peer down
///     +======send====== queue of messages and chunks &lt;====================== session actor
/// </code>
/// Nothing here knows the state machine; an octet stream that is not BGP ends in one rejected-message event.
/// </summary>
internal sealed class BgpConnection(ConnectionId id, Direction direction, Socket socket, IActorRef session,
    SessionCounters counters, TimeProvider time) : IDisposable
{
    private const int UnprocessedBatches = 4;
    private const int UnprocessedNews = 16;
    private const int BatchBytes = 64 * 1024;
    private const int SegmentBytes = 16 * 1024;

    private static readonly TimeSpan FarewellTime = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LeaveTime = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(30);

    private readonly record struct Outgoing(ReadOnlyMemory<byte> Bytes, byte[]? Rented, int Epoch);

    private sealed record Agreed(WireContext Context);

    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _credits = new(UnprocessedBatches);
    private readonly SemaphoreSlim _newsCredits = new(UnprocessedNews);
    private readonly RateLimitedLog _problems = new(time, QuietTime);
    private readonly Channel<Outgoing> _queue = Channel.CreateUnbounded<Outgoing>(new() { SingleReader = true });
    private readonly System.Collections.Concurrent.ConcurrentBag<RouteBatch> _spare = [];
    private readonly Pipe _pipe = new(new PipeOptions(pauseWriterThreshold: 512 * 1024,
        resumeWriterThreshold: 256 * 1024,
        minimumSegmentSize: SegmentBytes, useSynchronizationContext: false));
    private readonly UpdateDecoder _decoder = new();
    // Set by the receiver before it completes the pipe; told by the parser behind the last message.
    private SessionEvent? _end;

    // What the message just parsed wants told, behind the routes that came before it.
    private IBgpInternal? _news;
    private volatile Agreed? _agreed;
    private volatile bool _leaving;

    // When the octets in hand were given to the kernel; 0 while there are none.
    private long _sendingSince;
    private RouteBatch _batch = new();

    public ConnectionId Id { get; } = id;
    public Direction Direction { get; } = direction;

    public Core.Net.IpAddr LocalAddress { get; } = BgpSockets.LocalAddress(socket);

    /// <summary>Messages were read that the RIB has not taken yet: silence is our fault then, not the peer's.</summary>
    public bool IsBehind => _credits.CurrentCount < UnprocessedBatches;

    /// <summary>How long the peer has taken nothing although we have something for it (RFC 9687).</summary>
    public TimeSpan SendStalled => Volatile.Read(ref _sendingSince) is var since and not 0
        ? time.GetElapsedTime(since)
        : TimeSpan.Zero;

    public void Start()
    {
        var received = ReceiveAsync();
        _ = SendAsync(received, ParseAsync());
    }

    /// <summary>From now on UPDATEs have a meaning. Called before the KEEPALIVE that allows the peer to send one.</summary>
    public void Agree(WireContext context) => _agreed = new(context);

    public void Send(ReadOnlyMemory<byte> message)
    {
        counters.CountOut(1);
        _queue.Writer.TryWrite(new(message, null, -1));
    }

    /// <summary>Sends a chunk of UPDATEs from a rented buffer and says so with <see cref="ChunkSent"/>.</summary>
    public void SendChunk(SendUpdates chunk)
    {
        if (!_queue.Writer.TryWrite(new(chunk.Buffer.AsMemory(0, chunk.Length), chunk.Buffer, chunk.Epoch)))
            ArrayPool<byte>.Shared.Return(chunk.Buffer);
    }

    /// <summary>The RIB is done with a batch: the parser may fill another.</summary>
    public void Processed(RouteBatch batch)
    {
        batch.Clear();
        _spare.Add(batch);
        _credits.Release();
    }

    /// <summary>The session took an event: the parser may tell another. A flood of KEEPALIVEs fills no mailbox.</summary>
    public void Heard() => _newsCredits.Release();

    /// <summary>
    /// Closes once everything queued has been sent, so that a NOTIFICATION gets out; a peer that does not take it is
    /// not waited for long.
    /// </summary>
    public void Close()
    {
        _leaving = true;
        _queue.Writer.TryComplete();
        _stop.CancelAfter(LeaveTime);
    }

    /// <summary>Closes at once and without a word.</summary>
    public void Abort()
    {
        _leaving = true;
        _queue.Writer.TryComplete();
        _stop.Cancel();
        socket.Dispose();
    }

    public void Dispose() => Abort();

    private async Task ReceiveAsync()
    {
        string? detail = null;
        var discarding = false;
        var fault = TransportFault.ClosedByPeer;
        try
        {
            while (true)
            {
                // Waiting with nothing in hand: an idle session holds no buffer.
                await socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None, _stop.Token);
                var count = await socket.ReceiveAsync(_pipe.Writer.GetMemory(SegmentBytes), SocketFlags.None,
                    _stop.Token);
                if (count == 0)
                    break;
                // Once nobody parses any more, what arrives is read and dropped, so that closing does not become a reset.
                if (discarding || _leaving)
                    continue;
                _pipe.Writer.Advance(count);
                discarding = (await _pipe.Writer.FlushAsync(_stop.Token)).IsCompleted;
            }
        }
        catch (SocketException e)
        {
            fault = BgpSockets.FaultOf(e.SocketErrorCode);
            detail = e.Message;
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            detail = "closed here";
        }
        _end = new SessionEvent.TransportFailed(Id, fault, detail ?? "end of stream");
        await _pipe.Writer.CompleteAsync();
    }

    private async Task ParseAsync()
    {
        try
        {
            while (true)
            {
                var result = await _pipe.Reader.ReadAsync(_stop.Token);
                var buffer = result.Buffer;
                var good = true;
                while (good && TryReadMessage(ref buffer, out var type, out var body, out good))
                {
                    good = Read(type, body);
                    if (_news is not null || _batch.Size >= BatchBytes)
                        await FlushAsync();
                }
                _pipe.Reader.AdvanceTo(buffer.Start, buffer.End);
                if (good && result.IsCompleted)
                    Say(_end!);
                await FlushAsync();
                if (!good || result.IsCompleted)
                    break;
            }
            await _pipe.Reader.CompleteAsync();
        }
        catch (OperationCanceledException)
        {
            // Whatever the reason: a session must not go on with a transport that is gone.
            if (!_leaving)
                session.Tell(new MessageRead(Id, _end ?? new SessionEvent.TransportFailed(Id, TransportFault.Other, "nothing can be sent any more")));
            await _pipe.Reader.CompleteAsync();
        }
        catch (Exception e)
        {
            // A decoder must not throw; if one does, this session ends and the others do not.
            session.Tell(new MessageRead(Id,
                new SessionEvent.TransportFailed(Id, TransportFault.Other, $"internal error: {e}")));
            await _pipe.Reader.CompleteAsync(e);
        }
    }

    private bool TryReadMessage(ref ReadOnlySequence<byte> buffer, out MessageType type,
        out ReadOnlySequence<byte> body, out bool good)
    {
        var max = _agreed?.Context.MaxMessageLength ?? BgpFraming.MaxLength;
        var status = BgpFraming.TryRead(ref buffer, max, out type, out body, out var error);
        good = status != FrameStatus.Malformed;
        if (!good)
            Reject(error!);
        return status == FrameStatus.Complete;
    }

    // False: the stream is of no use any more.
    private bool Read(MessageType type, in ReadOnlySequence<byte> sequence)
    {
        counters.CountIn(1);
        if (sequence.IsSingleSegment)
            return Read(type, sequence.FirstSpan);
        var length = (int)sequence.Length;
        var copy = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            sequence.CopyTo(copy);
            return Read(type, copy.AsSpan(0, length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(copy);
        }
    }

    private bool Read(MessageType type, ReadOnlySpan<byte> body)
    {
        NotificationError? error = null;
        switch (type)
        {
            case MessageType.Open:
                if (OpenMessage.TryDecode(body, out var open, out error))
                    Say(new SessionEvent.OpenReceived(Id, open!));
                break;
            case MessageType.Keepalive:
                Say(new SessionEvent.KeepaliveReceived(Id));
                break;
            case MessageType.Notification:
                NotificationMessage.TryDecode(body, out var notification);
                Say(new SessionEvent.NotificationReceived(Id, notification));
                return false;
            case MessageType.Update when _agreed is { } agreed:
                if (_decoder.TryDecode(body, agreed.Context, out var update, out error))
                    _batch.Add(update);
                counters.CountFaulty(update.Verdict);
                if (update.Verdict == AttributeVerdict.TreatAsWithdraw && _problems.ShouldLog(out var suppressed))
                    session.Tell(new ProblemSeen(_decoder.Problems[^1].ToString(), suppressed));
                break;
            case MessageType.Update:
                Say(new SessionEvent.UpdatesReceived(Id));
                break;
            case MessageType.RouteRefresh:
                if (RouteRefreshMessage.TryDecode(body, out var refresh, out error))
                    ReadRefresh(refresh);
                break;
        }
        if (error is null)
            return true;
        Reject(error);
        return false;
    }

    private void ReadRefresh(RouteRefreshMessage refresh)
    {
        var family = refresh.Family.Family;
        if (_agreed is not { } agreed)
            Say(new SessionEvent.RefreshReceived(Id));
        else if (!agreed.Context.Families.Has(family))
            return;
        else if (refresh.Subtype == RefreshSubtype.Request)
            _news = new RefreshAsked(Id, family);
        else if (refresh.Subtype is RefreshSubtype.BeginOfRouteRefresh or RefreshSubtype.EndOfRouteRefresh)
            _batch.AddMark(refresh.Subtype == RefreshSubtype.BeginOfRouteRefresh ? RouteAction.RefreshBegin
                : RouteAction.RefreshEnd, family);
    }

    private async ValueTask FlushAsync()
    {
        if (!_batch.IsEmpty || _batch.Messages > 0)
        {
            await _credits.WaitAsync(_stop.Token);
            session.Tell(new RoutesRead(Id, _batch));
            _batch = _spare.TryTake(out var spare) ? spare : new RouteBatch();
        }
        if (_news is null)
            return;
        await _newsCredits.WaitAsync(_stop.Token);
        session.Tell(_news);
        _news = null;
    }

    private void Say(SessionEvent e) => _news = new MessageRead(Id, e);

    private void Reject(NotificationError error) => Say(new SessionEvent.MessageRejected(Id, error));

    private async Task SendAsync(Task received, Task parsed)
    {
        var failed = false;
        try
        {
            await foreach (var item in _queue.Reader.ReadAllAsync(_stop.Token))
            {
                for (var rest = item.Bytes; !rest.IsEmpty;)
                {
                    Volatile.Write(ref _sendingSince, time.GetTimestamp() | 1);
                    rest = rest[await socket.SendAsync(rest, SocketFlags.None, _stop.Token)..];
                }
                Volatile.Write(ref _sendingSince, 0);
                if (item.Rented is null)
                    continue;
                ArrayPool<byte>.Shared.Return(item.Rented);
                session.Tell(new ChunkSent(Id, item.Epoch));
            }
            // Closing with unread octets would make the kernel send a reset, which can overtake the NOTIFICATION.
            socket.Shutdown(SocketShutdown.Send);
            await received.WaitAsync(FarewellTime);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException or TimeoutException)
        {
            // The receiving side notices the same and reports it, behind what the peer said before.
            failed = !_leaving;
        }
        _queue.Writer.TryComplete();
        while (_queue.Reader.TryRead(out var item))
        {
            if (item.Rented is not null)
                ArrayPool<byte>.Shared.Return(item.Rented);
        }
        if (failed)
            await Task.WhenAny(parsed, Task.Delay(FarewellTime));
        await _stop.CancelAsync();
        socket.Dispose();
    }
}
