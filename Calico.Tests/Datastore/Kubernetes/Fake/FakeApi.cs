using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Web;
using Calico.Datastore.Kubernetes;

namespace Calico.Tests.Datastore.Kubernetes.Fake;

/// <summary>
/// A complete Kubernetes API server as far as objects go: discovery, get, list in chunks and at old revisions, watch,
/// create, update and patch and delete with preconditions, one revision for all of it.
/// </summary>
public sealed partial class FakeApi
{
    private const int MaxStored = 1_572_864;

    private static readonly string[] CalicoKinds =
    [
        "BGPConfiguration", "BGPFilter", "BGPPeer", "BlockAffinity", "CalicoNodeStatus", "ClusterInformation", "FelixConfiguration",
        "GlobalNetworkPolicy", "GlobalNetworkSet", "HostEndpoint", "IPAMBlock", "IPAMHandle", "IPPool", "IPReservation",
        "KubeControllersConfiguration", "NetworkPolicy", "NetworkSet", "StagedGlobalNetworkPolicy",
        "StagedKubernetesNetworkPolicy", "StagedNetworkPolicy", "Tier",
    ];

    private static readonly string[] Namespaced =
        ["NetworkPolicy", "NetworkSet", "StagedKubernetesNetworkPolicy", "StagedNetworkPolicy"];

    public FakeApi(bool isClassic = true)
    {
        Resources =
        [
            new("", "v1", "pods", "Pod", true), new("", "v1", "nodes", "Node", false), new("", "v1", "namespaces", "Namespace", false),
            new("", "v1", "serviceaccounts", "ServiceAccount", true),
            new("", "v1", "secrets", "Secret", true), new("", "v1", "services", "Service", true), new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
            new("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true),
            new("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy", false),
            new("mesh.projectcalico.org", "v1", "calicorecords", "CalicoRecord", false),
            new("mesh.projectcalico.org", "v1", "calicotransactions", "CalicoTransaction", false),
            .. CalicoKinds.Append(isClassic ? "IPAMConfig" : "IPAMConfiguration").Select(k => new FakeResource(
                isClassic ? "crd.projectcalico.org" : "projectcalico.org", isClassic ? "v1" : "v3", Plural(k), k, Namespaced.Contains(k))),
        ];
    }

    private static string Plural(string kind)
    {
        var lower = kind.ToLowerInvariant();
        return lower.EndsWith('y') ? lower[..^1] + "ies" : lower.EndsWith('s') ? lower + "es" : lower + "s";
    }

    public FakeStore Store { get; } = new();

    /// <summary>What is served; a test may take kinds away.</summary>
    public List<FakeResource> Resources { get; }

    /// <summary>What the server makes of an object before it stores it: defaults, pruning.</summary>
    public Action<FakeResource, JsonObject>? Admission { get; set; }

    /// <summary>What every request is answered, if anything.</summary>
    public (HttpStatusCode Status, string Reason, string Message)? Refuse { get; set; }

    public TimeProvider Time { get; set; } = TimeProvider.System;

    /// <summary>A client of this server.</summary>
    public KubernetesDatastore Open(Func<KubernetesOptions, KubernetesOptions>? change = null)
    {
        return new KubernetesDatastore(change?.Invoke(Options) ?? Options);
    }

    /// <summary>How a client reaches it.</summary>
    public KubernetesOptions Options => new() { Endpoint = "http://fake", Wrap = _ => Handler(), Time = Time };

    /// <summary>A handler that answers without a network.</summary>
    public HttpMessageHandler Handler() => new FakeHandler(this);

    public FakeResource Resource(string plural, string? group = null) =>
        Resources.First(r => r.Plural == plural && (group is null || r.Group == group));

    /// <summary>Writes an object as kubectl would, whatever is there.</summary>
    public void Apply(string plural, string json, string? group = null)
    {
        var wanted = JsonNode.Parse(json)!.AsObject();
        var resource = Resource(plural, group);
        var ns = (string?)wanted["metadata"]!["namespace"];
        Store.Change(resource, ns, (string)wanted["metadata"]!["name"]!, before => Stamped(resource, wanted, before));
    }

    public void Delete(string plural, string? ns, string name) => Store.Change(Resource(plural), ns, name, _ => null);

    public JsonObject? Find(string plural, string? ns, string name, string? group = null) => Store.Find(Resource(plural, group), ns, name);

    /// <summary>One answer: a body, or the events of a watch.</summary>
    internal sealed record Answer(HttpStatusCode Status, string Body, System.Threading.Channels.ChannelReader<FakeEvent>? Events = null);

    internal Answer Handle(HttpMethod method, Uri uri, byte[]? body)
    {
        try
        {
            return Refuse is { } refuse ? throw Failed(refuse.Status, refuse.Reason, refuse.Message) : Route(method, uri, body);
        }
        catch (ApiException e)
        {
            return e.Answer;
        }
    }

    private Answer Route(HttpMethod method, Uri uri, byte[]? body)
    {
        var path = uri.AbsolutePath;
        if (path == "/version")
            return Ok("""{"major":"1","minor":"20","gitVersion":"v1.20.2-fake"}""");
        if (path == "/apis")
            return Ok($$"""{"kind":"APIGroupList","groups":[{{string.Join(',', Resources.Select(r => r.Group).Distinct().Where(g => g.Length > 0).Select(g => $$"""{"name":"{{g}}"}"""))}}]}""");
        var parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries).Select(Uri.UnescapeDataString).ToArray();
        var (group, version, rest) = parts switch
        {
            ["api", var v, .. var r] => ("", v, r),
            ["apis", var g, var v, .. var r] => (g, v, r),
            _ => throw NotServed(),
        };
        if (rest.Length == 0)
            return Describe(group, version);
        var (ns, tail) = rest is ["namespaces", var n, _, ..] ? (n, rest[2..]) : (null, rest);
        var resource = Resources.Find(r => r.Group == group && r.Version == version && r.Plural == tail[0]) ?? throw NotServed();
        var query = HttpUtility.ParseQueryString(uri.Query);
        return (method.Method, tail) switch
        {
            ("GET", [_]) when query["watch"] == "1" => Watch(resource, ns, query),
            ("GET", [_]) => List(resource, ns, query),
            ("GET", [_, var name]) => Ok((Store.Find(resource, ns, name) ?? throw NotFound(resource, name)).ToJsonString()),
            ("POST", [_]) => Create(resource, ns, body!),
            ("PUT", [_, var name, ..]) => Update(resource, ns, name, _ => JsonNode.Parse(body!)!.AsObject(), isPatch: false),
            ("PATCH", [_, var name, ..]) => Update(resource, ns, name, before => Merged(before, JsonNode.Parse(body!)!.AsObject()), isPatch: true),
            ("DELETE", [_, var name]) => Delete(resource, ns, name, body is { Length: > 0 } ? JsonNode.Parse(body)!.AsObject() : []),
            _ => throw Failed(HttpStatusCode.MethodNotAllowed, "MethodNotAllowed", "the server does not allow this method"),
        };
    }

    private Answer Describe(string group, string version)
    {
        var served = Resources.Where(r => r.Group == group && r.Version == version).ToList();
        return served.Count == 0 ? throw NotServed()
            : Ok($$"""{"kind":"APIResourceList","resources":[{{string.Join(',', served.Select(r => $$"""{"name":"{{r.Plural}}","kind":"{{r.Kind}}"}"""))}}]}""");
    }

    private Answer List(FakeResource resource, string? ns, System.Collections.Specialized.NameValueCollection query)
    {
        var limit = int.Parse(query["limit"] ?? "0", CultureInfo.InvariantCulture);
        var (revision, after) = query["continue"] is { Length: > 0 } token
            ? (long.Parse(token.Split(' ')[0], CultureInfo.InvariantCulture), token.Split(' ')[1])
            : (query["resourceVersionMatch"] == "Exact" ? long.Parse(query["resourceVersion"]!, CultureInfo.InvariantCulture) : Store.Revision, "");
        if (revision > Store.Revision)
            throw Failed(HttpStatusCode.InternalServerError, "InternalError", "etcdserver: mvcc: required revision is a future revision");
        var found = Store.List(resource, ns, NameOf(query), revision)
            ?? throw Failed(HttpStatusCode.Gone, "Expired", "The provided continue parameter is too old to display a consistent list result.");
        var from = found.FindIndex(f => string.CompareOrdinal(f.Key, after) > 0);
        var page = from < 0 ? [] : limit > 0 ? found.Skip(from).Take(limit).ToList() : found.Skip(from).ToList();
        var isMore = from >= 0 && from + page.Count < found.Count;
        var next = isMore ? $"{revision} {page[^1].Key}" : "";
        var text = new StringBuilder($$$"""{"kind":"{{{resource.Kind}}}List","apiVersion":"{{{resource.ApiVersion}}}","metadata":{"resourceVersion":"{{{revision}}}","continue":"{{{next}}}"},"items":[""");
        text.AppendJoin(',', page.Select(p => p.Json));
        return Ok(text.Append("]}").ToString());
    }

    private Answer Watch(FakeResource resource, string? ns, System.Collections.Specialized.NameValueCollection query)
    {
        var after = long.Parse(query["resourceVersion"]!, CultureInfo.InvariantCulture);
        var events = Store.Watch(resource, ns, NameOf(query), after)
            ?? throw Failed(HttpStatusCode.Gone, "Expired", $"too old resource version: {after}");
        return new Answer(HttpStatusCode.OK, "", events);
    }

    private static string? NameOf(System.Collections.Specialized.NameValueCollection query) =>
        query["fieldSelector"] is { } selector ? selector["metadata.name=".Length..] : null;

    private Answer Create(FakeResource resource, string? ns, byte[] body)
    {
        var wanted = JsonNode.Parse(body)!.AsObject();
        var name = (string)wanted["metadata"]!["name"]!;
        if (!Name().IsMatch(name) || name.Length > 253)
            throw Failed(HttpStatusCode.UnprocessableEntity, "Invalid", $"{resource.Kind} \"{name}\" is invalid: metadata.name: Invalid value");
        var made = Store.Change(resource, ns, name, before => before is null
            ? Stamped(resource, wanted, null)
            : throw Failed(HttpStatusCode.Conflict, "AlreadyExists", $"{resource.Plural} \"{name}\" already exists", name));
        return new Answer(HttpStatusCode.Created, made!.ToJsonString());
    }

    private Answer Update(FakeResource resource, string? ns, string name, Func<JsonObject, JsonObject> change, bool isPatch)
    {
        var now = Store.Change(resource, ns, name, before =>
        {
            if (before is null)
                throw NotFound(resource, name);
            // Of a copy: a patch changes what it is given, and the preconditions are of what is stored.
            var wanted = change(before.DeepClone().AsObject());
            var given = (string?)wanted["metadata"]!["resourceVersion"];
            if (given is null && !isPatch)
                throw Failed(HttpStatusCode.UnprocessableEntity, "Invalid", "metadata.resourceVersion: must be specified for an update");
            if (given is not null && given != (string?)before["metadata"]!["resourceVersion"])
                throw Conflict(resource, name);
            if ((string?)wanted["metadata"]!["uid"] is { } uid && uid != (string?)before["metadata"]!["uid"])
                throw Conflict(resource, name);
            return Stamped(resource, wanted, before);
        });
        return Ok(now!.ToJsonString());
    }

    private Answer Delete(FakeResource resource, string? ns, string name, JsonObject options)
    {
        Store.Change(resource, ns, name, before =>
        {
            if (before is null)
                throw NotFound(resource, name);
            var metadata = before["metadata"]!;
            foreach (var field in (string[])["uid", "resourceVersion"])
            {
                if ((string?)options["preconditions"]?[field] is { } wanted && wanted != (string?)metadata[field])
                    throw Conflict(resource, name);
            }
            return null;
        });
        return Ok("""{"kind":"Status","apiVersion":"v1","status":"Success"}""");
    }

    // What the server says of an object whatever was sent.
    private JsonObject Stamped(FakeResource resource, JsonObject wanted, JsonObject? before)
    {
        var after = wanted.DeepClone().AsObject();
        after["apiVersion"] = resource.ApiVersion;
        after["kind"] = resource.Kind;
        var metadata = after["metadata"]!.AsObject();
        metadata["uid"] = before?["metadata"]!["uid"]!.DeepClone() ?? Guid.NewGuid().ToString();
        metadata["creationTimestamp"] = before?["metadata"]!["creationTimestamp"]!.DeepClone()
            ?? Time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        metadata["resourceVersion"] = before?["metadata"]!["resourceVersion"]!.DeepClone();
        foreach (var map in (string[])["labels", "annotations"])
        {
            if (metadata[map] is JsonObject { Count: 0 })
                metadata.Remove(map);
        }
        Admission?.Invoke(resource, after);
        if (metadata["annotations"] is JsonObject annotations && annotations.Sum(a => a.Key.Length + ((string?)a.Value ?? "").Length) > 256 << 10)
            throw Failed(HttpStatusCode.UnprocessableEntity, "Invalid", "metadata.annotations: Too long: must have at most 262144 bytes");
        if (after.ToJsonString().Length > MaxStored)
            throw Failed(HttpStatusCode.InternalServerError, "InternalError", "etcdserver: request is too large");
        return after;
    }

    private static JsonObject Merged(JsonObject target, JsonObject patch)
    {
        foreach (var (name, value) in patch)
        {
            if (value is null)
                target.Remove(name);
            else if (value is JsonObject inner)
                target[name] = Merged(target[name] is JsonObject existing ? existing.DeepClone().AsObject() : [], inner);
            else
                target[name] = value.DeepClone();
        }
        return target;
    }

    private static Answer Ok(string body) => new(HttpStatusCode.OK, body);

    private static ApiException NotFound(FakeResource resource, string name) =>
        Failed(HttpStatusCode.NotFound, "NotFound", $"{resource.Plural} \"{name}\" not found", name);

    private static ApiException NotServed() => Failed(HttpStatusCode.NotFound, "NotFound", "the server could not find the requested resource");

    private static ApiException Conflict(FakeResource resource, string name) =>
        Failed(HttpStatusCode.Conflict, "Conflict", $"Operation cannot be fulfilled on {resource.Plural} \"{name}\"", name);

    private static ApiException Failed(HttpStatusCode status, string reason, string message, string? name = null)
    {
        var body = new JsonObject
        {
            ["kind"] = "Status",
            ["apiVersion"] = "v1",
            ["status"] = "Failure",
            ["message"] = message,
            ["reason"] = reason,
            ["code"] = (int)status,
        };
        if (name is not null)
            body["details"] = new JsonObject { ["name"] = name };
        return new ApiException(new Answer(status, body.ToJsonString()));
    }

    private sealed class ApiException(Answer answer) : Exception(answer.Body)
    {
        public Answer Answer { get; } = answer;
    }

    [GeneratedRegex(@"\A[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\z")]
    private static partial Regex Name();
}
