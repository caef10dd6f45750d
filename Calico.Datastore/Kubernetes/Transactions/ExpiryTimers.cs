using System.Collections.Concurrent;
using System.Globalization;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;

namespace Calico.Datastore.Kubernetes.Transactions;

/// <summary>
/// Keys with a time to live. The API has no such thing: the object says when it is to go, and the process that wrote it
/// deletes it then, unless it was written again. Should that process die, readers take the key for absent a little later
/// and whoever lists it deletes the object.
/// </summary>
internal sealed class ExpiryTimers(KubeClient client, ObjectReader reader) : IDisposable
{
    private readonly ConcurrentDictionary<string, ITimer> _timers = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _closed = new();

    /// <summary>When what is written now is to go, in milliseconds of Unix time by the server's clock; 0 is never.</summary>
    public long At(TimeSpan? timeToLive) => timeToLive is { } ttl ? (client.ServerTime + ttl).ToUnixTimeMilliseconds() : 0;

    /// <summary>Keeps watch over the keys that were written with a time to live.</summary>
    public void Note(IEnumerable<Part> parts)
    {
        foreach (var part in parts.Where(p => p.Write is not null))
        {
            if (_timers.TryRemove(part.Key, out var old))
                old.Dispose();
            if (part.Write!.Value.TimeToLive is not { } ttl)
                continue;
            // Timers take 49 days at most: one that runs longer looks again then.
            var wait = ttl < TimeSpan.FromDays(40) ? ttl : TimeSpan.FromDays(40);
            _timers[part.Key] = client.Options.Time.CreateTimer(_ => _ = ExpireAsync(part), null, wait, Timeout.InfiniteTimeSpan);
        }
    }

    private async Task ExpireAsync(Part part)
    {
        if (_timers.TryRemove(part.Key, out var timer))
            await timer.DisposeAsync();
        try
        {
            var stored = await reader.LoadAsync(part.Map, part.Name, part.Key, _closed.Token);
            // The annotation is by the server's clock, which is known to a second; the timer is what counts here, as long
            // as the key was not written again, which would have replaced the timer.
            if (stored.Item is not null && stored.Lock is null && RunsOut(stored.Item) is { } at
                && at <= client.ServerTime.ToUnixTimeMilliseconds() + 2_000)
                await client.SendAsync(KubeRequest.Delete(part.Map.Resource, stored.Item), _closed.Token);
        }
        catch (Exception e) when (e is DatastoreException or OperationCanceledException or ObjectDisposedException)
        {
            // Readers take it for absent all the same.
        }
    }

    /// <summary>Deletes an object that should be gone; best effort.</summary>
    public async Task RemoveAsync(KeyMap map, KubeItem item)
    {
        try
        {
            await client.SendAsync(KubeRequest.Delete(map.Resource, item), _closed.Token);
        }
        catch (Exception e) when (e is DatastoreException or OperationCanceledException or ObjectDisposedException)
        {
            // The next one who lists it tries again.
        }
    }

    private static long? RunsOut(KubeItem item) =>
        item.Annotation(Bookkeeping.Expires) is { } text && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var at) ? at : null;

    public void Dispose()
    {
        _closed.Cancel();
        foreach (var timer in _timers.Values)
            timer.Dispose();
    }
}
