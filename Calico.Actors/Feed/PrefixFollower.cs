using System.Collections.Immutable;
using Akka.Actor;
using Calico.Core.Feed;
using Calico.Datastore;

namespace Calico.Actors.Feed;

/// <summary>
/// Lists the keys below a prefix and then tells each change, to one actor, until it cannot: then it says so and ends, and the
/// actor follows again when it likes.
/// </summary>
internal static class PrefixFollower
{
    /// <summary>Everything there is, at a revision.</summary>
    public sealed record Listed(string Prefix, ImmutableArray<FeedItem> Items, long Revision) : Protocol.ITick;

    public sealed record Watched(string Prefix, ImmutableArray<WatchEvent> Events) : Protocol.ITick;

    /// <summary>Nothing more comes; what came before is as it was.</summary>
    public sealed record Lost(string Prefix, Exception Cause) : Protocol.ITick;

    public static void Follow(IDatastore datastore, string prefix, IActorRef reader, CancellationToken cancellation) => _ = Task.Run(async () =>
    {
        try
        {
            var revision = await ListAsync(datastore, prefix, reader, cancellation);
            await foreach (var events in datastore.WatchAsync(prefix, revision, cancellation))
                reader.Tell(new Watched(prefix, events));
            throw new DatastoreException(DatastoreFault.Unavailable, "the watch ended");
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
        }
        catch (Exception e)
        {
            reader.Tell(new Lost(prefix, e));
        }
    }, CancellationToken.None);

    private static async Task<long> ListAsync(IDatastore datastore, string prefix, IActorRef reader, CancellationToken cancellation)
    {
        var items = ImmutableArray.CreateBuilder<FeedItem>();
        string? next = null;
        long revision = 0;
        do
        {
            var page = await datastore.ListAsync(prefix, next, revision, cancellation: cancellation);
            revision = page.Revision;
            next = page.Next;
            items.AddRange(page.Items.Select(kv => new FeedItem(kv.Key, kv.Value, kv.ModRevision)));
        }
        while (next is not null);
        reader.Tell(new Listed(prefix, items.ToImmutable(), revision));
        return revision;
    }
}
