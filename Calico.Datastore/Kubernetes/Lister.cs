using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Calico.Core.Model;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Kubernetes.Mapping;
using Calico.Datastore.Kubernetes.Transactions;

namespace Calico.Datastore.Kubernetes;

/// <summary>All keys below a prefix as of one revision, in key order.</summary>
internal sealed record Snapshot(string Prefix, long Revision, ImmutableArray<KeyValue> Items);

/// <summary>
/// Lists. The first resource is listed as of now, every other one exactly at the revision that this gave: all of them
/// show one moment. Where objects are locked, the records of the transactions at that same revision say which values
/// they had.
/// </summary>
internal sealed class Lister(KubeClient client, Discovery discovery, ObjectReader reader, ExpiryTimers expiry)
{
    public async Task<Snapshot> ListAsync(string prefix, long revision, CancellationToken cancellation)
    {
        var maps = await discovery.MapsAsync(cancellation);
        var found = new List<Stored>();
        foreach (var group in maps.Below(prefix).GroupBy(m => (m.Resource, Scope: m.ScopeOf(prefix))))
        {
            (var items, revision) = await ListAsync(group.Key.Resource, group.Key.Scope, revision, cancellation);
            foreach (var map in group)
                Collect(map, prefix, items, found);
        }
        if (revision == 0)
            revision = await reader.RevisionAsync(cancellation);
        var decided = found.Any(s => s.Lock is not null) ? await DecidedAsync(revision, cancellation) : ImmutableDictionary<string, long>.Empty;
        var values = found.Select(s => s.Lock is { } held && decided.TryGetValue(held.Transaction, out var at) ? s.Committed(at) : s.Value)
            .OfType<KeyValue>().DistinctBy(v => v.Key, StringComparer.Ordinal).OrderBy(v => v.Key, Utf8Order.Instance);
        return new Snapshot(prefix, revision, [.. values]);
    }

    private void Collect(KeyMap map, string prefix, List<KubeItem> items, List<Stored> found)
    {
        foreach (var item in items)
        {
            if (map.KeyOf(item) is not { } key || !key.StartsWith(prefix, StringComparison.Ordinal))
                continue;
            var stored = Stored.Of(map, key, item, client.ServerTime);
            found.Add(stored);
            if (stored is { Value: null, Lock: null } && map.Expires)
                _ = expiry.RemoveAsync(map, item);
        }
    }

    /// <summary>The transactions that were committed but not done with at a revision, and the revision of each.</summary>
    private async Task<ImmutableDictionary<string, long>> DecidedAsync(long revision, CancellationToken cancellation)
    {
        var (items, _) = await ListAsync(KubeResource.Transactions, default, revision, cancellation);
        return items.Select(TransactionRecord.Of).Where(t => t.State == TransactionState.Committed)
            .ToImmutableDictionary(t => t.Name, t => t.Revision, StringComparer.Ordinal);
    }

    /// <summary>All objects of a resource, in chunks, at a revision or (0) now.</summary>
    /// <exception cref="DatastoreException"><see cref="DatastoreFault.Compacted"/>: the server has forgotten that revision.</exception>
    public async Task<(List<KubeItem> Items, long Revision)> ListAsync(KubeResource resource, KubeScope scope, long revision, CancellationToken cancellation)
    {
        var items = new List<KubeItem>();
        var limit = client.Options.PageSize;
        string? next = null;
        while (true)
        {
            var from = next is not null ? "&continue=" + Uri.EscapeDataString(next)
                : revision > 0 ? $"&resourceVersion={revision.ToString(CultureInfo.InvariantCulture)}&resourceVersionMatch=Exact"
                : "";
            var request = new KubeRequest(KubeVerb.List, resource, scope.Namespace, null)
            {
                Query = string.Create(CultureInfo.InvariantCulture, $"limit={limit}{from}{scope.Query}"),
            };
            KubeAnswer answer;
            try
            {
                answer = await client.SendAsync(request, cancellation);
            }
            catch (AnswerTooLargeException) when (limit > 1)
            {
                limit = Math.Max(1, limit / 8);
                continue;
            }
            if (!answer.IsSuccess)
                throw client.Unexpected(request, answer);
            var metadata = answer.Item.Metadata;
            if (answer.Body.TryGetProperty("items", out var page) && page.ValueKind == JsonValueKind.Array)
                items.AddRange(page.EnumerateArray().Select(i => new KubeItem(i)));
            if (revision == 0)
                revision = KubeItem.ParseRevision(KubeItem.Text(metadata, "resourceVersion"));
            next = KubeItem.Text(metadata, "continue");
            if (string.IsNullOrEmpty(next))
                return (items, revision);
        }
    }
}
