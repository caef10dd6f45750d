using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// Owns who holds one block. One per CIDR in the mesh: claims queue here instead of racing in the datastore, and
/// each decision is one transaction over affinity, block and handles, so that it is true or did not happen. Holds no
/// state that the datastore lacks: its death loses nothing, and a second instance elsewhere loses the compare-and-swap.
/// Commands of one block are carried out one after another, in order of arrival.
/// </summary>
public sealed class BlockActor : ReceiveActor, IWithUnboundedStash
{
    private sealed record Done(object? Reply, Exception? Failure, IActorRef ReplyTo) : Protocol.ITick;

    /// <summary>More commands than this waiting for one block means that callers retry faster than we answer.</summary>
    private const int MaxWaiting = 1000;

    private readonly BlockDecisions _decisions;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly CancellationTokenSource _stopped = new();
    private string? _lastFailure;
    private int _waiting;

    public IStash Stash { get; set; } = null!;

    public static Props Props(IDatastore datastore, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new BlockActor(datastore, time));

    public BlockActor(IDatastore datastore, TimeProvider time)
    {
        _decisions = new BlockDecisions(datastore, time, _log);
        Become(Serving);
    }

    protected override void PostStop()
    {
        _stopped.Cancel();
        _stopped.Dispose();
    }

    private void Serving()
    {
        Receive<BlockProtocol.ClaimBlock>(c => Start(() => _decisions.ClaimAsync(c, _stopped.Token)));
        Receive<BlockProtocol.ReleaseBlock>(r => Start(() => _decisions.ReleaseAsync(r, _stopped.Token)));
        Receive<BlockProtocol.RetireHolder>(r => Start(() => _decisions.RetireAsync(r, _stopped.Token)));
    }

    private void Working()
    {
        Receive<Done>(OnDone);
        Receive<IWithBlock>(OnBusy);
    }

    private void OnDone(Done done)
    {
        if (done.Failure is not null)
        {
            Report(done.Failure);
        }
        else if (done.Reply is not null)
        {
            _lastFailure = null;
            done.ReplyTo.Tell(done.Reply);
        }
        _waiting = 0;
        Become(Serving);
        Stash.UnstashAll();
    }

    // Callers repeat what they want, so dropping the excess loses nothing.
    private void OnBusy(IWithBlock command)
    {
        if (_waiting++ < MaxWaiting)
            Stash.Stash();
    }

    private void Start(Func<Task<object?>> work)
    {
        var replyTo = Sender;
        Become(Working);
        work().PipeTo(Self, success: reply => new Done(reply, null, replyTo), failure: e => new Done(null, e, replyTo));
    }

    // Askers repeat what they want every few seconds: said is what is new.
    private void Report(Exception e)
    {
        if (e.Message == _lastFailure)
            return;
        _lastFailure = e.Message;
        if (e is DatastoreException)
            _log.Warning("block {Block}: the datastore did not answer, the asker repeats it: {Cause}", Uri.UnescapeDataString(Self.Path.Name), e.Message);
        else
            _log.Error(e, "block {Block}: a request failed, the asker repeats it", Uri.UnescapeDataString(Self.Path.Name));
    }
}
