using System.Globalization;
using Calico.Core.Model.Resources;
using Calico.Core.Policy.Distribution;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>Waits until every node has a change in its kernel, see <see cref="EnforcementKeys"/>.</summary>
internal sealed class EnforcementWait(CtlContext context, IDatastore datastore, ResourceStore store)
{
    /// <param name="revision">Of the last change.</param>
    /// <param name="limit">How long to wait.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="CtlException">Some nodes have not answered in time; the message names them.</exception>
    public async Task RunAsync(long revision, TimeSpan limit, CancellationToken cancellation)
    {
        var nodes = (await store.ListAsync(ResourceKind.Node, cancellation: cancellation)).Items.Select(n => n.Name).ToHashSet(StringComparer.Ordinal);
        var count = nodes.Count;
        if (count == 0)
        {
            await context.Out.WriteLineAsync("There is no node: nothing to wait for");
            return;
        }
        var id = Guid.NewGuid().ToString("N");
        var request = EnforcementKeys.Request(id);
        var begun = context.Time.GetTimestamp();
        var asked = await datastore.CommitAsync(new Transaction([Compare.Absent(request)],
            [Write.Put(request, EnforcementKeys.Write(revision), EnforcementKeys.TimeToLive)]), cancellation);
        using var time = new CancellationTokenSource(limit, context.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(time.Token, cancellation);
        var slowest = "";
        try
        {
            await foreach (var events in datastore.WatchAsync(EnforcementKeys.Answers(id), asked.Revision, both.Token))
            {
                foreach (var answer in events.Where(e => !e.IsDelete))
                {
                    var node = answer.Key[EnforcementKeys.Answers(id).Length..];
                    slowest = nodes.Remove(node) ? node : slowest;
                    if (context.ShowsProgress)
                        await context.Error.WriteAsync($"\rin force on {count - nodes.Count} of {count} nodes …\u001b[K");
                }
                if (nodes.Count == 0)
                    break;
            }
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new CtlException($"the change is stored, but after {limit.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s it is in force on {count - nodes.Count} of {count} nodes only; "
                + $"not on {Names(nodes)}: is calico-node running there, and ready?", e);
        }
        finally
        {
            if (context.ShowsProgress)
                await context.Error.WriteAsync("\r\u001b[K");
            await ForgetAsync(request, asked.Revision);
        }
        await context.Out.WriteLineAsync(string.Create(CultureInfo.InvariantCulture,
            $"In force at revision {revision} on {count}/{count} nodes after {context.Time.GetElapsedTime(begun).TotalSeconds:0.0} s, last on {slowest}"));
    }

    // It would go away by itself, but nodes need not look at it until then.
    private async Task ForgetAsync(string request, long revision)
    {
        try
        {
            await datastore.CommitAsync(new Transaction([Compare.At(request, revision)], [Write.Delete(request)]));
        }
        catch (DatastoreException e)
        {
            await context.Error.WriteLineAsync($"note: {request} stays for {EnforcementKeys.TimeToLive.TotalMinutes} minutes: {e.Message}");
        }
    }

    private static string Names(HashSet<string> nodes)
    {
        const int shown = 10;
        var names = string.Join(", ", nodes.Order(StringComparer.Ordinal).Take(shown));
        return nodes.Count > shown ? $"{names} and {nodes.Count - shown} more" : names;
    }
}
