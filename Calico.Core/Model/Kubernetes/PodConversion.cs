using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Core.Model.Kubernetes;

/// <summary>What became of a pod.</summary>
/// <param name="Endpoint">The endpoint, or null when the pod cannot have one.</param>
/// <param name="Problem">Why there is no endpoint, or null.</param>
/// <param name="Warnings">Annotations that were corrected or left out.</param>
public sealed record ConvertedPod(WorkloadEndpoint? Endpoint, string? Problem, ImmutableArray<string> Warnings);

/// <summary>A pod as the workload endpoint of its interface eth0.</summary>
public static class PodConversion
{
    private const string AnnotationPrefix = "cni.projectcalico.org/";
    private const string NetworkStatus = "k8s.v1.cni.cncf.io/network-status";

    /// <summary>The pod gets an endpoint: it has a network of its own and a node.</summary>
    public static bool IsWorkload(KubePod pod) => !pod.Spec.HostNetwork && pod.Spec.NodeName is not null;

    /// <summary>The pod's addresses are free again: it has ended, or is going and its CNI DEL has cleared the annotation.</summary>
    public static bool IsFinished(KubePod pod)
    {
        if (pod.Status.Phase is "Failed" or "Succeeded" or "Completed")
            return true;
        var annotations = pod.Metadata.Annotations;
        return pod.Metadata.DeletionTimestamp is not null
            && (annotations.GetOrNull(AnnotationPrefix + "podIP") is "" || annotations.GetOrNull("vpc.amazonaws.com/pod-ips") is "");
    }

    public static ConvertedPod Convert(KubePod pod, string interfacePrefix = KubeNames.DefaultInterfacePrefix)
    {
        var warnings = ImmutableArray.CreateBuilder<string>();
        var meta = pod.Metadata;
        var ns = meta.Namespace ?? "";
        var podName = meta.Name ?? "";
        if (!WorkloadEndpointName.ForPod(pod.Spec.NodeName ?? "", podName).TryFormat(out var name, out var problem))
            return new ConvertedPod(null, problem, []);
        if (!TryGetAddresses(pod, out var addresses, out problem)
            || !TryGetSourcePrefixes(meta.Annotations, out var prefixes, out problem)
            || !TryGetFloatingIps(meta.Annotations, addresses, out var nats, out problem))
            return new ConvertedPod(null, problem, []);

        var account = pod.Spec.ServiceAccountName;
        var profiles = ImmutableArray.Create(Profile.NamespacePrefix + ns);
        if (account is not null)
            profiles = profiles.Add(ProfileConversion.ServiceAccountProfile(ns, account));
        return new ConvertedPod(
            new WorkloadEndpoint
            {
                Metadata = new ObjectMeta
                {
                    Name = name,
                    Namespace = meta.Namespace,
                    GenerateName = meta.GenerateName,
                    Uid = meta.Uid,
                    CreationTimestamp = meta.CreationTimestamp,
                    ResourceVersion = meta.ResourceVersion,
                    Labels = Labels(pod, ns),
                    Annotations = meta.Annotations.GetOrNull(NetworkStatus) is { } status ? StringMap.Empty.With(NetworkStatus, status) : default,
                },
                Spec = new WorkloadEndpointSpec
                {
                    Orchestrator = "k8s",
                    Node = pod.Spec.NodeName,
                    Pod = podName,
                    ContainerID = meta.Annotations.GetOrNull(AnnotationPrefix + "containerID") is { Length: > 0 } id ? id : null,
                    Endpoint = "eth0",
                    InterfaceName = KubeNames.InterfaceName(ns, podName, interfacePrefix),
                    Profiles = profiles,
                    IpNetworks = [.. addresses.Select(a => a.ToString())],
                    Ports = [.. Ports(pod)],
                    IpNATs = [.. nats],
                    ServiceAccountName = account,
                    AllowSpoofedSourcePrefixes = [.. prefixes],
                    QosControls = PodQos.Read(meta.Annotations, warnings),
                },
            },
            null,
            warnings.ToImmutable());
    }

    // Labels under the inherited prefixes would let a pod pretend to be in another namespace.
    private static StringMap Labels(KubePod pod, string ns)
    {
        var labels = pod.Metadata.Labels
            .Where(l => !l.Key.StartsWith(KubeNames.NamespaceLabelPrefix, StringComparison.Ordinal)
                && !l.Key.StartsWith(KubeNames.ServiceAccountLabelPrefix, StringComparison.Ordinal))
            .Append(new(KubeNames.NamespaceLabel, ns))
            .Append(new(KubeNames.OrchestratorLabel, "k8s"));
        // Longer names are no label values.
        if (pod.Spec.ServiceAccountName is { Length: < 63 } account)
            labels = labels.Append(new(KubeNames.ServiceAccountLabel, account));
        return StringMap.From(labels);
    }

    private static IEnumerable<WorkloadEndpointPort> Ports(KubePod pod)
    {
        foreach (var port in pod.Spec.Containers.Concat(pod.Spec.InitContainers).SelectMany(c => c.Ports))
        {
            if (port.ContainerPort == 0 || port is { HostPort: 0, Name: null } || port.Protocol is not (null or "TCP" or "UDP" or "SCTP"))
                continue;
            yield return new WorkloadEndpointPort
            {
                Name = port.Name,
                Protocol = Protocol.Parse(port.Protocol ?? "TCP"),
                Port = port.ContainerPort,
                HostPort = port.HostPort,
                HostIP = port.HostIP,
            };
        }
    }

    private static bool TryGetAddresses(KubePod pod, out List<Cidr> addresses, out string? problem)
    {
        addresses = [];
        problem = null;
        if (IsFinished(pod))
            return true;
        var annotations = pod.Metadata.Annotations;
        IEnumerable<string> texts =
            !pod.Status.PodIPs.IsEmpty ? pod.Status.PodIPs.Select(p => p.Ip ?? "")
            : pod.Status.PodIP is { } ip ? [ip]
            : annotations.GetOrNull(AnnotationPrefix + "podIPs") is { Length: > 0 } many ? many.Split(',')
            : annotations.GetOrNull(AnnotationPrefix + "podIP") is { Length: > 0 } one ? [one]
            : annotations.GetOrNull("vpc.amazonaws.com/pod-ips") is { Length: > 0 } aws ? aws.Split(',')
            : [];
        foreach (var text in texts)
        {
            if (!Cidr.TryParseOrHost(text, out var cidr))
            {
                problem = $"pod address '{text}' is neither an IP address nor a CIDR";
                return false;
            }
            addresses.Add(cidr.Network);
        }
        return true;
    }

    private static bool TryGetSourcePrefixes(StringMap annotations, out List<string> prefixes, out string? problem)
    {
        const string key = AnnotationPrefix + "allowedSourcePrefixes";
        prefixes = [];
        if (!TryGetList(annotations, key, out var texts, out problem))
            return false;
        foreach (var text in texts)
        {
            if (!Cidr.TryParse(text, out var cidr))
            {
                problem = $"annotation {key}: '{text}' is no CIDR";
                return false;
            }
            prefixes.Add(cidr.Network.ToString());
        }
        return true;
    }

    // Each floating address goes in front of the pod's address of the same family.
    private static bool TryGetFloatingIps(StringMap annotations, List<Cidr> addresses, out List<IpNat> nats, out string? problem)
    {
        const string key = AnnotationPrefix + "floatingIPs";
        nats = [];
        problem = null;
        if (addresses.Count == 0)
            return true;
        if (!TryGetList(annotations, key, out var texts, out problem))
            return false;
        foreach (var text in texts)
        {
            var isV4 = !text.Contains(':', StringComparison.Ordinal);
            if (addresses.FindLastIndex(a => a.IsV4 == isV4) is var at and >= 0)
                nats.Add(new IpNat { InternalIP = addresses[at].Address.ToString(), ExternalIP = text });
        }
        return true;
    }

    private static bool TryGetList(StringMap annotations, string key, out List<string> list, out string? problem)
    {
        list = [];
        problem = null;
        if (annotations.GetOrNull(key) is not { Length: > 0 } text)
            return true;
        try
        {
            list = JsonSerializer.Deserialize(text, KubernetesJsonContext.Default.ListString) ?? [];
            return true;
        }
        catch (JsonException)
        {
            problem = $"annotation {key}: '{text}' is no JSON list of strings";
            return false;
        }
    }
}
