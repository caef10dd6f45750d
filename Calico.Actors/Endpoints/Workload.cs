using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;
using Calico.Core.Cni;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy.Graph;

namespace Calico.Actors.Endpoints;

/// <summary>
/// A workload of this node, as the journal keeps it and the rest of the node is told of it: who it is, how it is wired,
/// which addresses it has. Everything in it comes from one successful ADD.
/// </summary>
public sealed record Workload
{
    public const string KubernetesOrchestrator = "k8s";
    public const string CniOrchestrator = "cni";

    public required string ContainerId { get; init; }

    /// <summary>The CNI network, which is part of the handle.</summary>
    public required string Network { get; init; }
    public required string Orchestrator { get; init; }
    public required string Namespace { get; init; }

    /// <summary>The pod's name; outside Kubernetes the container's id.</summary>
    public required string Name { get; init; }

    /// <summary>The interface inside the pod.</summary>
    public required string PodInterface { get; init; }
    public required string HostInterface { get; init; }
    public string NetnsPath { get; init; } = "";
    public ImmutableSortedDictionary<string, string> Labels { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    public ImmutableArray<string> Profiles { get; init; } = [];
    public ImmutableArray<string> Addresses { get; init; } = [];
    public string PodMac { get; init; } = "";
    public uint Mtu { get; init; }

    /// <summary>Addresses from outside that lead to it.</summary>
    public ImmutableArray<string> FloatingIps { get; init; } = [];

    /// <summary>A WorkloadEndpoint, as it is stored, with what the pod says beyond all this: ports, limits, its account.</summary>
    public string? Template { get; init; }

    /// <summary>Its addresses are not IPAM's: another's plugin or an annotation gave them.</summary>
    public bool HasForeignAddresses { get; init; }

    /// <summary>It has addresses and nothing else here: another's interface plugin wired it.</summary>
    public bool IsAddressOnly { get; init; }

    /// <summary>The start of the machine that it belongs to; of address-only ones, which have no interface that tells.</summary>
    public string? BootId { get; init; }

    /// <summary>
    /// Another has its addresses now, because its node was taken for gone: nothing leads to it or away from it until
    /// they are its own again or it is removed.
    /// </summary>
    public bool IsFenced { get; init; }

    /// <summary>The datastore is away, and only this node knows yet which addresses it has.</summary>
    [JsonIgnore]
    public bool IsPromise { get; init; }

    /// <summary>What the runtime calls it by.</summary>
    [JsonIgnore]
    public (string Container, string Interface) Attachment => (ContainerId, PodInterface);

    /// <summary>Its handle where that is not the usual one.</summary>
    public string? Handle { get; init; }

    /// <summary>
    /// Owner of the addresses in IPAM. Calico's handle has no interface in it; a further interface of a container in the same
    /// network has <see cref="OwnHandle"/>.
    /// </summary>
    public string HandleId => Handle ?? $"{Network}.{ContainerId}";

    /// <summary>The handle that no other interface of the container can have.</summary>
    [JsonIgnore]
    public string OwnHandle => $"{Network}.{ContainerId}.{PodInterface}";

    /// <summary>The pod, with whatever interfaces it has; outside Kubernetes the container.</summary>
    [JsonIgnore]
    public string PodId => $"{Namespace}/{Name}";

    /// <summary>Unique on the node, also in messages: <c>namespace/name</c> and the interface.</summary>
    public string Id => $"{Namespace}/{Name}/{PodInterface}";

    public IEnumerable<IpAddr> ParsedAddresses => Addresses.Select(a => IpAddr.Parse(a));

    /// <summary>What a call names, before anything is done about it.</summary>
    /// <param name="request">The runtime's call.</param>
    /// <param name="config">Its network configuration.</param>
    /// <param name="interfacePrefix">Prefix of host interface names.</param>
    public static Workload From(CniRequest request, CniNetworkConfig config, string interfacePrefix)
    {
        // The shim has checked the pairs; what is none counts as absent here.
        _ = CniArgs.TryParse(request.Args, out var args, out _);
        var kubernetes = args.IsKubernetes;
        string ns = kubernetes ? args.PodNamespace! : "default", name = kubernetes ? args.PodName! : request.ContainerId;
        var labels = config.Labels.ToImmutableSortedDictionary(StringComparer.Ordinal)
            .SetItem(KubeNames.NamespaceLabel, ns)
            .SetItem(KubeNames.OrchestratorLabel, kubernetes ? KubernetesOrchestrator : CniOrchestrator);
        return new Workload
        {
            ContainerId = request.ContainerId,
            Network = config.Name,
            Orchestrator = kubernetes ? KubernetesOrchestrator : CniOrchestrator,
            Namespace = ns,
            Name = name,
            PodInterface = request.InterfaceName,
            HostInterface = kubernetes
                ? KubeNames.InterfaceName(ns, name, interfacePrefix)
                : interfacePrefix + name[..Math.Min(11, name.Length)],
            NetnsPath = request.NetnsPath,
            Labels = labels,
            Profiles = kubernetes && config.KubernetesPolicy
                ? [$"{Profile.NamespacePrefix}{ns}", $"{Profile.ServiceAccountPrefix}{ns}.default"]
                : [config.Name],
        };
    }

    /// <summary>A name for the host interface when another workload has the usual one.</summary>
    public string HashedInterface(string interfacePrefix) =>
        KubeNames.InterfaceName(PodInterface, ContainerId, interfacePrefix);

    /// <summary>The key of its WorkloadEndpoint.</summary>
    /// <exception cref="FormatException">A part of the name cannot be in a name.</exception>
    public ResourceKey EndpointKey(string node) =>
        new WorkloadEndpointName(node, Orchestrator, Name, PodInterface).TryFormat(out var name, out var problem)
            ? new ResourceKey(ResourceKind.WorkloadEndpoint, Namespace, name)
            : throw new FormatException($"no name for the workload endpoint of {Id}: {problem}");

    /// <summary>Its WorkloadEndpoint as the datastore is to hold it.</summary>
    public WorkloadEndpoint ToResource(string node, DateTimeOffset now)
    {
        var more = Beyond ?? new WorkloadEndpoint();
        return more with
        {
            Metadata = MetadataOf(more, node, now),
            Spec = SpecOf(more, node),
        };
    }

    private WorkloadEndpoint? Beyond => Template is { } text
        ? (WorkloadEndpoint)ResourceCodec.Decode(ResourceKind.WorkloadEndpoint, Encoding.UTF8.GetBytes(text))
        : null;

    private ObjectMeta MetadataOf(WorkloadEndpoint more, string node, DateTimeOffset now) => more.Metadata with
    {
        Name = EndpointKey(node).Name,
        Namespace = Namespace,
        Uid = Guid.NewGuid().ToString("D"),
        CreationTimestamp = now,
        Labels = StringMap.From(Labels),
    };

    private WorkloadEndpointSpec SpecOf(WorkloadEndpoint more, string node) => more.Spec with
    {
        Orchestrator = Orchestrator,
        Workload = Orchestrator == KubernetesOrchestrator ? null : Name,
        Node = node,
        ContainerID = ContainerId,
        Pod = Orchestrator == KubernetesOrchestrator ? Name : null,
        Endpoint = PodInterface,
        IpNetworks = [.. ParsedAddresses.Select(a => Cidr.Host(a).ToString())],
        IpNATs = [.. Translations().Select(t => new IpNat { InternalIP = t.Internal.ToString(), ExternalIP = t.External.ToString() })],
        Profiles = [.. Profiles],
        InterfaceName = HostInterface,
        Mac = PodMac.Length > 0 ? PodMac : null,
    };

    // Each leads to the address of its family.
    private IEnumerable<FloatingIp> Translations()
    {
        foreach (var external in FloatingIps.Select(f => IpAddr.Parse(f)))
        {
            foreach (var address in ParsedAddresses.Where(a => a.Version == external.Version))
                yield return new FloatingIp(external, address);
        }
    }

    /// <summary>What IPAM is to remember of the addresses beside the handle, in upstream's words.</summary>
    public ImmutableSortedDictionary<string, string> AllocationAttributes(string node, DateTimeOffset now) =>
        ImmutableSortedDictionary.CreateRange(StringComparer.Ordinal, new KeyValuePair<string, string>[]
        {
            new("namespace", Namespace), new("node", node), new("pod", Name),
            new("timestamp", now.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fffffff '+0000 UTC'", CultureInfo.InvariantCulture)),
        });

    /// <summary>How the node's policy sees it.</summary>
    public LocalEndpoint ToLocalEndpoint()
    {
        var local = new LocalEndpoint
        {
            Id = Id,
            InterfaceName = HostInterface,
            Labels = [.. Labels],
            Profiles = Profiles,
            Addresses = [.. ParsedAddresses],
            FloatingIps = [.. Translations()],
        };
        if (Beyond is not { } more)
            return local;
        var said = LocalEndpoint.Of(more);
        return local with { AllowedSources = said.AllowedSources, Qos = said.Qos };
    }
}
