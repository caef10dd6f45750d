using System.Collections.Immutable;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Ipam;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Ctl.Commands.Ipam;
using Calico.Ctl.Output;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Migration;

/// <summary>Writes everything of a cluster, in an order in which it can be created again.</summary>
/// <param name="datastore">Where it is.</param>
/// <param name="context">Where it goes.</param>
/// <param name="isFull">
/// Also what Kubernetes objects turn into, with nodes as they are called here; else only what a Kubernetes datastore
/// takes, with nodes under their Kubernetes names.
/// </param>
internal sealed class Exporter(IDatastore datastore, CtlContext context, bool isFull)
{
    private const string Orchestrator = "k8s";
    private const string NodePrefix = "node.";

    // Tiers before policies, nodes before what names them.
    private static readonly ResourceKind[] Kinds =
    [
        ResourceKind.IPPool, ResourceKind.BGPPeer, ResourceKind.Tier, ResourceKind.GlobalNetworkPolicy, ResourceKind.StagedGlobalNetworkPolicy,
        ResourceKind.GlobalNetworkSet, ResourceKind.HostEndpoint, ResourceKind.KubeControllersConfiguration, ResourceKind.NetworkPolicy,
        ResourceKind.StagedNetworkPolicy, ResourceKind.StagedKubernetesNetworkPolicy, ResourceKind.NetworkSet, ResourceKind.Node,
        ResourceKind.BGPConfiguration, ResourceKind.FelixConfiguration, ResourceKind.IPReservation, ResourceKind.BGPFilter,
    ];

    private static readonly ResourceKind[] OfKubernetes =
        [ResourceKind.Profile, ResourceKind.WorkloadEndpoint, ResourceKind.IPAMConfiguration, ResourceKind.CalicoNodeStatus];

    private static readonly JsonWriterOptions Indented = new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly IpamReader _reader = new(datastore, context);
    private readonly NodeNames _names = new();

    public async Task RunAsync(ClusterInformation cluster, CancellationToken cancellation)
    {
        foreach (var kind in isFull ? [.. Kinds, .. OfKubernetes] : Kinds)
        {
            var items = (await _reader.ResourcesAsync<Resource>(kind, cancellation)).Where(IsExported).Select(Cleaned).ToList();
            if (!isFull && kind == ResourceKind.Node)
                items = [.. items.Cast<NodeResource>().Select(n => (Resource)Renamed(n, _names.Add(n.Name, KubernetesName(n))))];
            else if (!isFull)
                items = [.. items.Select(WithNodeOf)];
            await context.Out.WriteAsync(YamlText.From(new Listing(kind, items, 0).ToJson()));
            await context.Out.WriteAsync("---\n");
        }
        if (_reader.Unreadable > 0)
            throw new CtlException($"{_reader.Unreadable} stored value(s) cannot be read: repair or delete them, or they will be missing");
        await context.Out.WriteAsync(Archive.Separator);
        await context.Out.WriteAsync(Text(JsonNode.Parse(ResourceCodec.ToJson(cluster).GetRawText())!));
        await context.Out.WriteAsync(Archive.Separator);
        await context.Out.WriteAsync(Text(await IpamAsync(cancellation)));
    }

    private bool IsExported(Resource resource) => resource switch
    {
        Profile { Name: Profile.DefaultAllow } => false,
        NetworkPolicy => isFull || !resource.Name.StartsWith(KubeNames.PolicyPrefix, StringComparison.Ordinal),
        _ => true,
    };

    private static Resource Cleaned(Resource resource) => resource with
    {
        Metadata = resource.Metadata with
        {
            Uid = null,
            ResourceVersion = null,
            CreationTimestamp = null,
            DeletionTimestamp = null,
            DeletionGracePeriodSeconds = null,
        },
    };

    private static string KubernetesName(NodeResource node) => node.Spec.OrchRefs.LastOrDefault(o => o.Orchestrator == Orchestrator)?.NodeName is { Length: > 0 } name
        ? name
        : throw new CtlException($"node {node.Name} missing a 'k8s' orchestrator reference. Unable to export data unless every node has a 'k8s' orchestrator reference; "
            + "for a target that is not Kubernetes use --full");

    // Settings for one node are called after it.
    private Resource WithNodeOf(Resource resource) => resource is FelixConfiguration or BGPConfiguration && resource.Name.StartsWith(NodePrefix, StringComparison.Ordinal)
        ? Renamed(resource, NodePrefix + _names.Of(resource.Name[NodePrefix.Length..]))
        : resource;

    private static Resource Renamed(Resource resource, string name) => resource with { Metadata = resource.Metadata with { Name = name } };

    private async Task<JsonObject> IpamAsync(CancellationToken cancellation)
    {
        var ipam = new JsonObject();
        foreach (var (list, prefixes) in Archive.IpamLists)
        {
            var items = new JsonArray();
            foreach (var prefix in prefixes)
            {
                foreach (var stored in await _reader.ListAsync(prefix, cancellation))
                    items.Add((JsonNode)Entry(_names.InKey(stored.Key), _names.InValue(list, JsonNode.Parse(stored.Value.Span)!)));
            }
            if (items.Count > 0)
                ipam[list] = items;
        }
        if (await datastore.GetAsync(IpamKeys.Config, cancellation) is { } config)
            ipam["config"] = Entry(config.Key, JsonNode.Parse(config.Value.Span)!);
        return ipam;
    }

    private static JsonObject Entry(string key, JsonNode value) => new() { ["Key"] = key, ["Value"] = value, ["TTL"] = 0 };

    private static string Text(JsonNode json)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, Indented))
            json.WriteTo(writer);
        return Encoding.UTF8.GetString(buffer.ToArray()) + "\n";
    }
}
