using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes;

/// <summary>Kinds of Kubernetes that no key of the datastore stands for.</summary>
public enum PlainKind
{
    Services,
    EndpointSlices,
    Secrets,
}

/// <summary>The objects of a kind: all of them, or the one of that name in a namespace.</summary>
public readonly record struct PlainSelection(PlainKind Kind, string? Namespace = null, string? Name = null);

/// <summary>An object as the API has it; <paramref name="Json"/> is null when it is gone.</summary>
public sealed record PlainObject(string Namespace, string Name, JsonElement? Json);

/// <param name="Objects">What changed.</param>
/// <param name="IsAll">There are no others than these.</param>
public sealed record PlainChange(ImmutableArray<PlainObject> Objects, bool IsAll);

/// <summary>Reads objects that other programs own.</summary>
public interface IPlainObjects
{
    /// <summary>All that are selected, then their changes, for ever; all again where the server has forgotten some.</summary>
    /// <exception cref="DatastoreException">Refused, or the server cannot be reached for a list.</exception>
    IAsyncEnumerable<PlainChange> FollowAsync(PlainSelection what, CancellationToken cancellation);
}

/// <summary>A list and the watch that goes on where it ended.</summary>
internal sealed class PlainFollower(KubeClient client, Lister lister)
{
    public async IAsyncEnumerable<PlainChange> FollowAsync(PlainSelection what, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var resource = what.Kind switch
        {
            PlainKind.Services => KubeResource.Services,
            PlainKind.EndpointSlices => KubeResource.EndpointSlices,
            _ => KubeResource.Secrets,
        };
        var scope = new KubeScope(what.Namespace, Name: what.Name);
        while (true)
        {
            var (items, revision) = await lister.ListAsync(resource, scope, 0, cancellation);
            yield return new PlainChange([.. items.Select(i => new PlainObject(i.Namespace ?? "", i.Name, i.Json))], IsAll: true);
            await using var stream = new KubeStream(client, resource, scope, revision);
            while (await NextAsync(stream, cancellation) is { } change)
            {
                if (change.Type != KubeChangeType.Bookmark)
                    yield return new PlainChange([Of(change)], IsAll: false);
            }
        }
    }

    private static PlainObject Of(KubeChange change) =>
        new(change.Item.Namespace ?? "", change.Item.Name, change.Type == KubeChangeType.Deleted ? null : change.Item.Json);

    // Null: what came next has been forgotten.
    private static async Task<KubeChange?> NextAsync(KubeStream stream, CancellationToken cancellation)
    {
        try
        {
            return await stream.ReadAsync(cancellation);
        }
        catch (DatastoreException e) when (e.Fault == DatastoreFault.Compacted)
        {
            return null;
        }
    }
}
