using Akka.Actor;
using Calico.Core.Feed;

namespace Calico.Actors.Feed;

/// <summary>
/// Serves a <see cref="FeedLog"/> to readers on behalf of the actor that owns it: answers a pull at once when there is
/// news, else keeps it until there is. At most one pull a reader waits, so the number of readers bounds the memory.
/// A reader and a key that are not for each other are kept apart by <paramref name="isFor"/>.
/// </summary>
internal sealed class LogServer(FeedName name, FeedLog log, Func<string, string, bool>? isFor = null)
{
    private readonly Dictionary<string, (FeedProtocol.Pull Pull, IActorRef ReplyTo)> _waiting = [];

    public FeedLog Log => log;

    /// <summary>An empty log under an epoch that no earlier one had: readers of those start over.</summary>
    public static FeedLog NewLog(TimeProvider time) => new(time.GetUtcNow().UtcTicks);

    public void Serve(FeedProtocol.Pull pull, IActorRef replyTo, IActorRef self)
    {
        if (log.HasNewsFor(pull.Cursor))
        {
            _waiting.Remove(pull.Reader);
            Answer(pull, replyTo, self);
        }
        else
        {
            _waiting[pull.Reader] = (pull, replyTo);
        }
    }

    /// <summary>Applies changes and answers whoever waited for news; returns those that changed something.</summary>
    public List<FeedItem> Apply(IEnumerable<FeedItem> items, IActorRef self)
    {
        var changed = items.Where(log.Apply).ToList();
        if (changed.Count > 0)
            AnswerWaiting(self);
        return changed;
    }

    public void AnswerWaiting(IActorRef self)
    {
        foreach (var (pull, replyTo) in _waiting.Values)
            Answer(pull, replyTo, self);
        _waiting.Clear();
    }

    private void Answer(FeedProtocol.Pull pull, IActorRef replyTo, IActorRef self)
    {
        var maxBytes = Math.Clamp(pull.MaxBytes, 1024, 256 * 1024);
        replyTo.Tell(new FeedProtocol.News(name, log.ReadAfter(pull.Cursor, maxBytes, isFor is null ? null : key => isFor(pull.Reader, key))), self);
    }
}
