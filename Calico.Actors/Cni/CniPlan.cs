using System.Collections.Immutable;
using System.Text;
using Calico.Actors.Endpoints;
using Calico.Actors.Ipam;
using Calico.Core.Cni;
using Calico.Core.Model;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;
using ModelProtocol = Calico.Core.Model.Protocol;

namespace Calico.Actors.Cni;

/// <summary>What an ADD is to bring about, checked against what there is.</summary>
/// <param name="Draft">The workload, without addresses unless others gave them.</param>
/// <param name="Families">The families that IPAM is to give an address of; empty where it gives none.</param>
/// <param name="Pools">Where from.</param>
/// <param name="Wanted">Particular addresses.</param>
internal sealed record CniPlan(Workload Draft, ImmutableArray<IpVersion> Families, ImmutableArray<PoolRef> Pools, ImmutableArray<IpAddr> Wanted)
{
    public MacAddress? PodMac { get; init; }

    /// <summary>Where the pod's routes lead; empty for everywhere.</summary>
    public ImmutableArray<Cidr> Destinations { get; init; } = [];

    /// <summary>The routes of the result where they are not the addresses themselves.</summary>
    public ImmutableArray<CniRoute>? ResultRoutes { get; init; }

    public CniDns Dns { get; init; } = CniDns.None;
    public bool AllowsSpoofing { get; init; }

    /// <summary>The pod has another interface of ours, by which its routes lead.</summary>
    public bool IsFurther { get; init; }
}

/// <summary>
/// Makes the plan of an ADD from the call, its configuration, the pod's annotations and what the mesh tells. Touches
/// nothing: a call that asks for what cannot be had leaves no trace.
/// </summary>
internal sealed class CniPlanner(CniSteps steps)
{
    private readonly CniServices _services = steps.Services;

    public async Task<CniPlan> PlanAsync(CniCall call, CniNetworkConfig config)
    {
        var draft = steps.DraftOf(call.Request, config) with { Mtu = Mtu(config) };
        // There the endpoint is the pod itself, which has one interface.
        if (_services.Datastore is null && draft.Orchestrator == Workload.KubernetesOrchestrator && draft.PodInterface != KubernetesInterface)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"CNI_IFNAME is {draft.PodInterface}; with Kubernetes as the datastore a pod's endpoint is its {KubernetesInterface} and no other");
        if (!config.ReadinessGates.IsEmpty)
            await ReadinessGates.WaitAsync(config.ReadinessGates, _services.Time);
        var wishes = CniPodWishes.None;
        if (_services.Pods is { } pods && draft.Orchestrator == Workload.KubernetesOrchestrator)
            (draft, wishes) = await ReadPodAsync(pods, draft, config);
        draft = WithPorts(draft, config);
        var plan = config.Ipam.Type is not ("" or CniIpamConfig.CalicoType) ? FromOtherPlugin(draft, call.Request)
            : wishes.AddressesWithoutIpam is { IsEmpty: false } fixedAddresses ? WithFixed(draft, fixedAddresses)
            : await FromIpamAsync(draft, config, wishes, call);
        if (plan.Families.IsEmpty)
            await EnsureProfileAsync(draft, await FactsAsync(draft));
        return plan with
        {
            PodMac = wishes.Mac,
            Destinations = config.IncludeDefaultRoutes && !plan.Destinations.IsEmpty ? [.. plan.Destinations, .. DefaultRoutes] : plan.Destinations,
            Dns = config.RuntimeDns != CniDns.None ? config.RuntimeDns : plan.Dns,
            AllowsSpoofing = plan.Draft.Template is not null && plan.Draft.ToLocalEndpoint().AllowedSources.Length > 0,
        };
    }

    private const string KubernetesInterface = "eth0";

    private static readonly ImmutableArray<Cidr> DefaultRoutes = [new(IpAddr.AnyV4, 0), new(IpAddr.AnyV6, 0)];

    // ---- what the node knows -----------------------------------------------------------------------------------------

    private uint Mtu(CniNetworkConfig config)
    {
        if (config.Mtu > 0)
            return config.Mtu;
        if (_services.ReadMtu() is { } measured)
            return measured;
        return config.RequireMtuFile
            ? throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"require_mtu_file is set and {_services.MtuFile} is not there or holds no MTU")
            : _services.DefaultMtu;
    }

    // Kubernetes makes the profiles of its namespaces and accounts; one that is named like the network may be missing.
    private Task EnsureProfileAsync(Workload draft, FactsProtocol.Pools facts) =>
        facts.HasProfile || draft.IsAddressOnly || !IsNetworks(draft)
            ? Task.CompletedTask
            : steps.EnsureProfileAsync(draft.Profiles[0], draft.Orchestrator == Workload.KubernetesOrchestrator);

    private static bool IsNetworks(Workload draft) =>
        draft.Profiles is [var only] && !only.StartsWith(Profile.NamespacePrefix, StringComparison.Ordinal);

    private Task<FactsProtocol.Pools> FactsAsync(Workload draft) => steps.AskAsync<FactsProtocol.Pools>(_services.Facts,
        new FactsProtocol.GetPools(draft.Namespace) { Profile = draft.Profiles is [var first, ..] ? first : "" });

    // ---- what Kubernetes knows ---------------------------------------------------------------------------------------

    private async Task<(Workload, CniPodWishes)> ReadPodAsync(IPodReader pods, Workload draft, CniNetworkConfig config)
    {
        PodFacts? facts;
        try
        {
            facts = await pods.ReadAsync(draft.Namespace, draft.Name).WaitAsync(_services.StepTimeout);
        }
        catch (Datastore.DatastoreException e) when (e.Fault is Datastore.DatastoreFault.Denied && !config.KubernetesPolicy)
        {
            // Nobody said that this cluster's pods are to be read.
            return (draft, CniPodWishes.None);
        }
        catch (Exception e) when (e is Datastore.DatastoreException or TimeoutException or InvalidResourceException)
        {
            throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"pod {draft.Namespace}/{draft.Name} cannot be read: {e.Message}");
        }
        if (facts is null)
            throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"Kubernetes knows no pod {draft.Namespace}/{draft.Name}");
        if (!CniPodWishes.TryRead(facts.Pod.Metadata.Annotations, facts.NamespaceAnnotations, config, out var wishes, out var problem))
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"pod {draft.Namespace}/{draft.Name}: {problem}");
        // Without addresses: those of a former sandbox are in its status.
        var bare = facts.Pod with
        {
            Status = new KubePodStatus(),
            Metadata = facts.Pod.Metadata with { Annotations = WithoutAddresses(facts.Pod.Metadata.Annotations) },
            Spec = facts.Pod.Spec with { NodeName = facts.Pod.Spec.NodeName ?? _services.Node },
        };
        var converted = PodConversion.Convert(bare, _services.InterfacePrefix);
        if (converted.Endpoint is not { } endpoint)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"pod {draft.Namespace}/{draft.Name}: {converted.Problem}");
        return (draft with
        {
            Labels = endpoint.Metadata.Labels.Concat(draft.Labels.Where(l => !endpoint.Metadata.Labels.ContainsKey(l.Key)))
                .ToImmutableSortedDictionary(StringComparer.Ordinal),
            Profiles = [.. endpoint.Spec.Profiles],
            FloatingIps = [.. wishes.FloatingIps.Select(f => f.ToString())],
            Template = Encoding.UTF8.GetString(ResourceCodec.Encode(new WorkloadEndpoint
            {
                Metadata = new ObjectMeta { GenerateName = endpoint.Metadata.GenerateName, Annotations = endpoint.Metadata.Annotations },
                Spec = new WorkloadEndpointSpec
                {
                    Ports = endpoint.Spec.Ports,
                    ServiceAccountName = endpoint.Spec.ServiceAccountName,
                    AllowSpoofedSourcePrefixes = endpoint.Spec.AllowSpoofedSourcePrefixes,
                    QosControls = endpoint.Spec.QosControls,
                },
            })),
        }, wishes);
    }

    private static StringMap WithoutAddresses(StringMap annotations) => StringMap.From(annotations.Where(a =>
        a.Key is not ("cni.projectcalico.org/podIP" or "cni.projectcalico.org/podIPs" or "vpc.amazonaws.com/pod-ips")));

    // Outside Kubernetes the published ports are all that is known of a workload's ports.
    private static Workload WithPorts(Workload draft, CniNetworkConfig config)
    {
        if (config.PortMappings.IsEmpty || draft.Template is not null)
            return draft;
        return draft with
        {
            Template = Encoding.UTF8.GetString(ResourceCodec.Encode(new WorkloadEndpoint
            {
                Spec = new WorkloadEndpointSpec
                {
                    Ports = [.. config.PortMappings.Select(p => new WorkloadEndpointPort
                    {
                        Protocol = ModelProtocol.Parse(p.Protocol.ToUpperInvariant()),
                        Port = p.ContainerPort,
                        HostPort = p.HostPort,
                        HostIP = p.HostIp?.ToString(),
                    })],
                },
            })),
        };
    }

    // ---- where addresses come from -----------------------------------------------------------------------------------

    private static CniPlan FromOtherPlugin(Workload draft, CniRequest request)
    {
        if (request.IpamResult.IsEmpty)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "the shim brought no result of the IPAM plugin; install shim and node of one release");
        if (!CniResult.TryParse(request.IpamResult.Span, out var result, out _, out var error))
            throw CniSteps.Failure(CniErrorCode.DecodeFailure, $"the result of the IPAM plugin cannot be read: {error}");
        if (result.Addresses.IsEmpty)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "the IPAM plugin gave no address");
        if (result.Addresses.GroupBy(a => a.Address.Version).Any(g => g.Count() > 1))
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "the IPAM plugin gave more than one address of a family");
        return new CniPlan(draft with { Addresses = [.. result.Addresses.Select(a => a.Address.Address.ToString())], HasForeignAddresses = true }, [], [], [])
        {
            Destinations = [.. result.Routes.Select(r => r.Destination)],
            ResultRoutes = result.Routes,
            Dns = result.Dns,
        };
    }

    private static CniPlan WithFixed(Workload draft, ImmutableArray<IpAddr> addresses) =>
        new(draft with { Addresses = [.. addresses.Select(a => a.ToString())], HasForeignAddresses = true }, [], [], []) { ResultRoutes = [] };

    /// <summary>What IPAM is asked for; also where it is all that is wanted.</summary>
    public async Task<CniPlan> FromIpamAsync(Workload draft, CniNetworkConfig config, CniPodWishes wishes, CniCall call)
    {
        var facts = await FactsAsync(draft);
        await EnsureProfileAsync(draft, facts);
        var wanted = Wanted(wishes, call.Request);
        var enabled = wishes.Families ?? [.. Families(config)];
        if (wishes.Addresses.IsEmpty && wanted is [var asked] && !enabled.Contains(asked.Version))
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"CNI_ARGS has IP={asked}, and ipam assigns no IP{asked.Version.ToString().ToLowerInvariant()} addresses here");
        var families = wanted.IsEmpty ? enabled : [.. wanted.Select(a => a.Version)];
        if (families.IsEmpty)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "ipam assigns neither IPv4 nor IPv6 addresses");
        if (facts.InSync)
            RefuseWithoutPool(wanted, facts.All);
        var pools = ImmutableArray.CreateBuilder<PoolRef>();
        foreach (var family in families)
        {
            var isWanted = wanted.Any(w => w.Version == family);
            var named = (family == IpVersion.V4 ? wishes.V4Pools ?? config.Ipam.V4Pools : wishes.V6Pools ?? config.Ipam.V6Pools) is var n && isWanted ? [] : n;
            var choice = isWanted ? PoolChoice.All(facts.All.Where(p => !p.Spec.Disabled))
                : PoolChoice.For(facts.All, named, facts.NodeLabels, facts.NamespaceLabels, out var error) is var found && error is null ? found
                : throw CniSteps.Failure(facts.InSync ? CniErrorCode.InvalidConfig : CniErrorCode.TryAgainLater, error);
            var before = pools.Count;
            pools.AddRange(choice.Where(p => p.Cidr.Version == family));
            if (pools.Count == before)
                throw CniSteps.Failure(facts.InSync ? CniErrorCode.InvalidConfig : CniErrorCode.TryAgainLater, facts.InSync
                    ? $"no IP{family.ToString().ToLowerInvariant()} pool may be used by {draft.Namespace}/{draft.Name} on {_services.Node}"
                    : "the node has not heard from the mesh yet which pools there are");
        }
        return new CniPlan(draft, families, pools.ToImmutable(), wanted) { ResultRoutes = wishes.Addresses.IsEmpty ? null : [] };
    }

    // The lease would say only that nothing is free.
    private static void RefuseWithoutPool(ImmutableArray<IpAddr> wanted, IEnumerable<IPPool> pools)
    {
        foreach (var address in wanted)
        {
            var covering = pools.Where(p => Cidr.TryParse(p.Spec.Cidr, out var cidr) && cidr.Contains(address)).ToList();
            if (covering.Count == 0)
                throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"address {address} was asked for, and no pool has it");
            if (covering.TrueForAll(p => p.Spec.Disabled))
                throw CniSteps.Failure(CniErrorCode.InvalidConfig, $"address {address} was asked for, and its pool '{covering[0].Name}' is disabled");
        }
    }

    private static IEnumerable<IpVersion> Families(CniNetworkConfig config)
    {
        if (config.Ipam.AssignV4)
            yield return IpVersion.V4;
        if (config.Ipam.AssignV6)
            yield return IpVersion.V6;
    }

    private static ImmutableArray<IpAddr> Wanted(CniPodWishes wishes, CniRequest request)
    {
        if (!wishes.Addresses.IsEmpty)
            return wishes.Addresses;
        // The shim has checked the pairs; what is none counts as absent here.
        _ = CniArgs.TryParse(request.Args, out var args, out _);
        if (args.Ip is not { } text)
            return [];
        return IpAddr.TryParse(text, out var address)
            ? [address]
            : throw CniSteps.Failure(CniErrorCode.InvalidEnvironment, $"CNI_ARGS has IP={text}, which is no address");
    }
}
