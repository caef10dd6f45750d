using System.Text;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;
using Calico.Datastore.Kubernetes.Client;
using Calico.Datastore.Resources;

namespace Calico.Tests.Datastore.Kubernetes;

/// <summary>A store on an API server, real or not, and ways around it.</summary>
public abstract class KubernetesApiTests
{
    protected static readonly DateTimeOffset Now = new(2026, 8, 22, 10, 0, 0, TimeSpan.Zero);

    // Names of one's own, so that tests may share a server.
    protected string Id { get; } = Guid.NewGuid().ToString("N")[..12];

    protected abstract KubernetesDatastore Store { get; }

    protected abstract KubernetesOptions Options { get; }

    protected ResourceStore Resources => new(Store, TimeProvider.System);

    private protected async Task<KubeAnswer> SendAsync(Func<KubeRequest> make)
    {
        using var client = new KubeClient(Options);
        var request = make();
        var answer = await client.SendAsync(request, CancellationToken.None);
        return answer.IsSuccess ? answer : throw client.Unexpected(request, answer);
    }

    /// <summary>Makes an object as kubectl does.</summary>
    private protected async Task<KubeItem> CreateAsync(KubeResource resource, string json, string? ns = null)
    {
        var body = System.Text.Json.Nodes.JsonNode.Parse(json)!.AsObject();
        (body["apiVersion"], body["kind"]) = (resource.ApiVersion, resource.Kind);
        return (await SendAsync(() => KubeRequest.Create(resource, ns, body))).Item;
    }

    private protected async Task<KubeItem> FindAsync(KubeResource resource, string name, string? ns = null) =>
        (await SendAsync(() => KubeRequest.Get(resource, ns, name))).Item;

    private protected async Task PatchAsync(KubeResource resource, string? ns, string name, string json, string? subresource = null) =>
        await SendAsync(() => new KubeRequest(KubeVerb.Patch, resource, ns, name)
        {
            Body = System.Text.Json.Nodes.JsonNode.Parse(json)!.AsObject(),
            Subresource = subresource,
        });

    private protected static KubeResource Classic(string kind, string plural, bool isNamespaced = false) =>
        new("crd.projectcalico.org", "v1", plural, kind, isNamespaced);

    protected async Task<string> NamespaceAsync(string labels = "{}")
    {
        var name = "ns-" + Id;
        await CreateAsync(KubeResource.Namespaces, $$$"""{"metadata":{"name":"{{{name}}}","labels":{{{labels}}}}}""");
        return name;
    }

    protected static string Text(KeyValue? stored) => Encoding.UTF8.GetString(stored!.Value.Span);

    protected async Task<long> PutAsync(string key, ReadOnlyMemory<byte> value)
    {
        var result = await Store.CommitAsync(new Transaction([], [Write.Put(key, value)]));
        Assert.True(result.Succeeded);
        return result.Revision;
    }
}
