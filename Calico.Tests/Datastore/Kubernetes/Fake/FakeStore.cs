using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace Calico.Tests.Datastore.Kubernetes.Fake;

/// <summary>A kind as the fake serves it.</summary>
public sealed record FakeResource(string Group, string Version, string Plural, string Kind, bool IsNamespaced)
{
    public string ApiVersion => Group.Length == 0 ? Version : $"{Group}/{Version}";
}

/// <summary>One event as a watch sends it.</summary>
public sealed record FakeEvent(long Revision, string Type, FakeResource Resource, string? Namespace, string Json);

/// <summary>
/// The etcd behind the fake API server: every version of every object, one revision for all of them.
/// </summary>
public sealed class FakeStore
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, List<(long Revision, string? Json)>> _objects = new(StringComparer.Ordinal);
    private readonly List<FakeEvent> _history = [];
    private readonly List<Watcher> _watchers = [];
    private long _compacted;

    private sealed record Watcher(FakeResource Resource, string? Namespace, string? Name, long After, Channel<FakeEvent> Queue);

    public long Revision { get; private set; } = 1;

    /// <summary>Objects of a kind: how many exist now.</summary>
    public int Count(string plural)
    {
        lock (_gate)
            return _objects.Count(o => o.Key.Split('/')[1] == plural && o.Value[^1].Json is not null);
    }

    private static string KeyOf(FakeResource resource, string? ns, string name) => $"{resource.Group}/{resource.Plural}/{ns}/{name}";

    public JsonObject? Find(FakeResource resource, string? ns, string name)
    {
        lock (_gate)
            return Now(KeyOf(resource, ns, name)) is { } json ? JsonNode.Parse(json)!.AsObject() : null;
    }

    private string? Now(string key) => _objects.TryGetValue(key, out var versions) ? versions[^1].Json : null;

    /// <summary>Changes an object under the lock; the change sees it as it is and says what it is to be, null to delete.</summary>
    /// <returns>What is stored then; null when deleted.</returns>
    public JsonObject? Change(FakeResource resource, string? ns, string name, Func<JsonObject?, JsonObject?> change)
    {
        lock (_gate)
        {
            var key = KeyOf(resource, ns, name);
            var before = Now(key) is { } text ? JsonNode.Parse(text)!.AsObject() : null;
            var after = change(before?.DeepClone().AsObject());
            if (after is not null && before is not null && JsonNode.DeepEquals(before, after))
                return before;
            if (after is null && before is null)
                return null;
            Revision++;
            var shown = after ?? before!;
            shown["metadata"]!["resourceVersion"] = $"{Revision}";
            var json = shown.ToJsonString();
            if (!_objects.TryGetValue(key, out var versions))
                _objects[key] = versions = [];
            versions.Add((Revision, after is null ? null : json));
            var type = after is null ? "DELETED" : before is null ? "ADDED" : "MODIFIED";
            Publish(new FakeEvent(Revision, type, resource, ns, json));
            return after;
        }
    }

    private void Publish(FakeEvent change)
    {
        _history.Add(change);
        foreach (var watcher in _watchers)
            Offer(watcher, change);
    }

    private static void Offer(Watcher watcher, FakeEvent change)
    {
        if (change.Resource == watcher.Resource && change.Revision > watcher.After
            && (watcher.Namespace is null || change.Namespace == watcher.Namespace || change.Type == "BOOKMARK")
            && (watcher.Name is null || change.Type == "BOOKMARK" || (string?)JsonNode.Parse(change.Json)!["metadata"]!["name"] == watcher.Name))
            watcher.Queue.Writer.TryWrite(change);
    }

    /// <summary>The objects of a kind as of a revision, in key order; null if that revision is compacted.</summary>
    public List<(string Key, string Json)>? List(FakeResource resource, string? ns, string? name, long revision)
    {
        lock (_gate)
        {
            if (revision < _compacted)
                return null;
            var prefix = ns is null ? $"{resource.Group}/{resource.Plural}/" : $"{resource.Group}/{resource.Plural}/{ns}/";
            List<(string, string)> found = [];
            foreach (var (key, versions) in _objects)
            {
                if (!key.StartsWith(prefix, StringComparison.Ordinal) || (name is not null && !key.EndsWith("/" + name, StringComparison.Ordinal)))
                    continue;
                var at = versions.FindLastIndex(v => v.Revision <= revision);
                if (at >= 0 && versions[at].Json is { } json)
                    found.Add((key, json));
            }
            return found;
        }
    }

    /// <summary>Follows a kind after a revision; null if that revision is compacted.</summary>
    public ChannelReader<FakeEvent>? Watch(FakeResource resource, string? ns, string? name, long after)
    {
        lock (_gate)
        {
            if (after < _compacted)
                return null;
            var watcher = new Watcher(resource, ns, name, after, Channel.CreateUnbounded<FakeEvent>());
            foreach (var change in _history)
                Offer(watcher, change);
            _watchers.Add(watcher);
            return watcher.Queue.Reader;
        }
    }

    /// <summary>Tells every watch that nothing happened up to now.</summary>
    public void SendBookmarks()
    {
        lock (_gate)
        {
            foreach (var watcher in _watchers)
            {
                watcher.Queue.Writer.TryWrite(new FakeEvent(Revision, "BOOKMARK", watcher.Resource, null,
                    $$$"""{"kind":"{{{watcher.Resource.Kind}}}","apiVersion":"{{{watcher.Resource.ApiVersion}}}","metadata":{"resourceVersion":"{{{Revision}}}","creationTimestamp":null}}"""));
            }
        }
    }

    /// <summary>Ends all watches, as a server that goes down does.</summary>
    public void EndWatches()
    {
        lock (_gate)
        {
            foreach (var watcher in _watchers)
                watcher.Queue.Writer.TryComplete();
            _watchers.Clear();
        }
    }

    /// <summary>Forgets what happened before a revision.</summary>
    public void Compact(long revision)
    {
        lock (_gate)
        {
            _compacted = revision;
            _history.RemoveAll(e => e.Revision <= revision);
        }
    }
}
