using System.Text.Json;
using System.Text.Json.Nodes;

namespace Calico.Datastore.Kubernetes.Client;

/// <summary>What is asked of the API, in RBAC's words.</summary>
internal enum KubeVerb
{
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

/// <summary>One request; writes carry their precondition in the body.</summary>
internal sealed record KubeRequest(KubeVerb Verb, KubeResource Resource, string? Namespace, string? Name)
{
    public JsonObject? Body { get; init; }

    /// <summary>Without the question mark.</summary>
    public string? Query { get; init; }

    public string? Subresource { get; init; }

    public bool IsRead => Verb is KubeVerb.Get or KubeVerb.List or KubeVerb.Watch;

    /// <summary>A path that is no resource's, such as discovery's.</summary>
    public string? OtherPath { get; init; }

    public string Path => OtherPath ?? Resource.Path(Namespace, Name, Subresource) + (Query is null ? "" : "?" + Query);

    public HttpMethod Method => Verb switch
    {
        KubeVerb.Create => HttpMethod.Post,
        KubeVerb.Update => HttpMethod.Put,
        KubeVerb.Patch => HttpMethod.Patch,
        KubeVerb.Delete => HttpMethod.Delete,
        _ => HttpMethod.Get,
    };

    public string ContentType => Verb == KubeVerb.Patch ? "application/merge-patch+json" : "application/json";

    /// <summary>For messages: <c>patch pods/status web/web-0</c>.</summary>
    public override string ToString()
    {
        var name = Name is null ? "" : Namespace is null ? $" {Name}" : $" {Namespace}/{Name}";
        return $"{Verb.ToString().ToLowerInvariant()} {Resource.FullName}{(Subresource is null ? "" : "/" + Subresource)}{name}";
    }

    public static KubeRequest At(string path) => new(KubeVerb.Get, new KubeResource("", "", path, "", false), null, null) { OtherPath = path };

    public static KubeRequest Get(KubeResource resource, string? ns, string name) => new(KubeVerb.Get, resource, ns, name);

    public static KubeRequest Create(KubeResource resource, string? ns, JsonObject body) =>
        new(KubeVerb.Create, resource, ns, null) { Body = body };

    /// <summary>Deletes exactly this version of the object.</summary>
    public static KubeRequest Delete(KubeResource resource, KubeItem item) => new(KubeVerb.Delete, resource, item.Namespace, item.Name)
    {
        Body = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "DeleteOptions",
            ["preconditions"] = new JsonObject { ["uid"] = item.Uid, ["resourceVersion"] = item.ResourceVersion },
        },
    };
}

/// <summary>An answer that the caller decides on: success, or a refusal that depends on what is stored.</summary>
/// <param name="Status">HTTP's status; 0 means that nobody knows whether a write was carried out.</param>
/// <param name="Body">The object, the list or the Status; undefined if there was none.</param>
/// <param name="Problem">What went wrong, for messages.</param>
internal sealed record KubeAnswer(int Status, JsonElement Body, string Problem)
{
    public bool IsSuccess => Status is >= 200 and < 300;

    public bool IsUnknown => Status == 0;

    /// <summary>Another version is stored than the one that was named, or a name is taken, or the object is gone.</summary>
    public bool IsConflict => Status is 409 || IsNotFound;

    /// <summary>There is no such object (but the API knows its kind).</summary>
    public bool IsNotFound => Status == 404 && HasDetails;

    /// <summary>The API serves no such kind.</summary>
    public bool IsUnserved => Status == 404 && !HasDetails;

    public bool IsGone => Status == 410;

    public KubeItem Item => new(Body);

    // A missing object is named in the details; a missing kind is told of without any.
    private bool HasDetails => Body.ValueKind == JsonValueKind.Object && Body.TryGetProperty("details", out var details)
        && KubeItem.Text(details, "name") is { Length: > 0 };
}
