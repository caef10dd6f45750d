using Akka.Actor;
using Calico.Core.Bfd;
using Calico.Kernel.Bfd;

namespace Calico.Actors.Bfd;

/// <summary>Who watches which neighbour, with what wishes, and how each session is. Outlives a restart of the actor.</summary>
public sealed class BfdWatchers
{
    private sealed class Entry
    {
        public Dictionary<IActorRef, BfdParameters> Wishes { get; } = [];
        public BfdParameters? Used { get; set; }
        public BfdProtocol.StateChanged? Last { get; set; }
    }

    private readonly Dictionary<BfdEndpoint, Entry> _entries = [];

    public IEnumerable<IActorRef> Subscribers => _entries.Values.SelectMany(e => e.Wishes.Keys).Distinct();

    /// <summary>Each session with the parameters that all its subscribers share.</summary>
    public IEnumerable<(BfdEndpoint Endpoint, BfdParameters Parameters)> Sessions => _entries.Select(e => (e.Key, e.Value.Used!));

    /// <summary>Returns the parameters that the session must have from now on; null if it has them.</summary>
    public BfdParameters? Add(BfdEndpoint endpoint, IActorRef subscriber, BfdParameters wish)
    {
        if (!_entries.TryGetValue(endpoint, out var entry))
            _entries.Add(endpoint, entry = new Entry());
        entry.Wishes[subscriber] = wish;
        return Changed(entry);
    }

    /// <summary>Returns whether nobody is left, and else the parameters that the session must have from now on, if other ones.</summary>
    public (bool IsLast, BfdParameters? Parameters) Remove(BfdEndpoint endpoint, IActorRef subscriber)
    {
        if (!_entries.TryGetValue(endpoint, out var entry) || !entry.Wishes.Remove(subscriber))
            return (false, null);
        if (entry.Wishes.Count > 0)
            return (false, Changed(entry));
        _entries.Remove(endpoint);
        return (true, null);
    }

    public IReadOnlyList<BfdEndpoint> WatchedBy(IActorRef subscriber) =>
        [.. _entries.Where(e => e.Value.Wishes.ContainsKey(subscriber)).Select(e => e.Key)];

    public bool IsWatched(BfdEndpoint endpoint) => _entries.ContainsKey(endpoint);

    /// <summary>How the session is, as far as it is known.</summary>
    public BfdProtocol.StateChanged? Last(BfdEndpoint endpoint) => _entries.GetValueOrDefault(endpoint)?.Last;

    public IReadOnlyCollection<IActorRef> SubscribersOf(BfdEndpoint endpoint) =>
        _entries.TryGetValue(endpoint, out var entry) ? entry.Wishes.Keys : [];

    /// <summary>Takes what the engine says; null if that is nothing new, or of a session that nobody watches any more.</summary>
    public BfdProtocol.StateChanged? Note(BfdChange change, DateTimeOffset now)
    {
        if (!_entries.TryGetValue(change.Endpoint, out var entry))
            return null;
        if (entry.Last is { } last && (last.State, last.RemoteState, last.Diagnostic) == (change.State, change.RemoteState, change.Diagnostic))
            return null;
        var since = entry.Last is { } before && before.State == change.State ? before.Since : now;
        return entry.Last = new BfdProtocol.StateChanged(change.Endpoint, change.State, change.RemoteState, change.Diagnostic, since);
    }

    private static BfdParameters? Changed(Entry entry)
    {
        var wanted = BfdParameters.Fastest(entry.Wishes.Values);
        return wanted == entry.Used ? null : entry.Used = wanted;
    }
}
