using System.Collections.Immutable;
using Calico.Actors.Protocol;
using Calico.Core.Feed;

namespace Calico.Actors.Feed;

/// <summary>Which log a pull is about.</summary>
public enum FeedName : byte
{
    /// <summary>Calico resources and block affinities, as the datastore has them.</summary>
    Resources = 1,

    /// <summary>Compiled policies and the members of their sets, as the policy owners on one member publish them.</summary>
    Policies = 2,
}

/// <summary>
/// Replication by pulling, between the datastore feed, the replicas on every member, and the nodes. A pull that finds
/// no news waits at the server until there is some; the reader repeats it after a while, which costs nothing.
/// </summary>
public static class FeedProtocol
{
    /// <summary>Give me what came after my cursor, at most about <paramref name="MaxBytes"/>.</summary>
    /// <param name="Reader">Who asks: a second pull of the same reader replaces its first.</param>
    public sealed record Pull(FeedName Feed, FeedCursor Cursor, string Reader, int MaxBytes) : IWireMessage;

    /// <summary>The answer to a pull.</summary>
    public sealed record News(FeedName Feed, FeedBatch Batch) : IWireMessage;

    /// <summary>How much of keys and values one answer carries: well below the frame limit.</summary>
    public const int DefaultMaxBytes = 14 * 1024;

    /// <summary>Local: these keys changed in a log, for actors of the same process.</summary>
    public sealed record Changed(ImmutableArray<FeedItem> Items, bool InSync, long Revision) : ILocalMessage;

    /// <summary>Local: tell me the current state of every key, then each change, as <see cref="Changed"/>.</summary>
    public sealed record Subscribe(Akka.Actor.IActorRef Subscriber) : ILocalMessage;

    /// <summary>Local: tell me what this one key is, now and after each change, as <see cref="KeyIs"/>.</summary>
    public sealed record WatchKey(string Key) : ILocalMessage;

    /// <summary>Local: a watched key; a null value says that it does not exist.</summary>
    public sealed record KeyIs(FeedItem Item) : ILocalMessage;

    /// <summary>Local: put entries into a log that an actor of this process serves.</summary>
    public sealed record Publish(ImmutableArray<FeedItem> Items) : ILocalMessage;
}
