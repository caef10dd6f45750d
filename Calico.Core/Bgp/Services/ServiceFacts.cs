using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Services;

/// <summary>What of a Kubernetes Service decides about its routes. Headless and ExternalName ones have no addresses.</summary>
public sealed record ServiceFacts
{
    public ImmutableArray<IpAddr> ClusterIPs { get; init; } = [];
    public ImmutableArray<IpAddr> ExternalIPs { get; init; } = [];

    /// <summary>Of its load balancer.</summary>
    public ImmutableArray<IpAddr> IngressIPs { get; init; } = [];

    /// <summary>externalTrafficPolicy Local: only a node with an endpoint takes packets.</summary>
    public bool IsLocalOnly { get; init; }

    /// <summary>Families in which it has endpoints.</summary>
    public ImmutableArray<IpVersion> Families { get; init; } = [];

    /// <summary>Reads a core/v1 Service; what it does not have or cannot be read is left out.</summary>
    public static ServiceFacts Read(JsonElement service)
    {
        var spec = Child(service, "spec");
        if (Text(spec, "type") == "ExternalName" || Text(spec, "clusterIP") == "None")
            return new ServiceFacts();
        var cluster = Addresses(Items(spec, "clusterIPs").Select(Text).Append(Text(spec, "clusterIP")));
        var families = Items(spec, "ipFamilies").Select(f => Text(f) == "IPv6" ? IpVersion.V6 : IpVersion.V4).Concat(cluster.Select(a => a.Version)).Distinct();
        return new ServiceFacts
        {
            ClusterIPs = cluster,
            ExternalIPs = Addresses(Items(spec, "externalIPs").Select(Text)),
            IngressIPs = Addresses(Items(Child(Child(service, "status"), "loadBalancer"), "ingress").Select(i => Text(i, "ip"))),
            IsLocalOnly = Text(spec, "externalTrafficPolicy") == "Local",
            Families = [.. families],
        };
    }

    internal static JsonElement Child(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var child) ? child : default;

    internal static string? Text(JsonElement of, string name) => Text(Child(of, name));

    internal static IEnumerable<JsonElement> Items(JsonElement of, string name) =>
        Child(of, name) is { ValueKind: JsonValueKind.Array } array ? array.EnumerateArray() : [];

    private static string? Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static ImmutableArray<IpAddr> Addresses(IEnumerable<string?> texts) =>
        [.. texts.Select(t => IpAddr.TryParse(t, out var address) ? address : (IpAddr?)null).OfType<IpAddr>().Distinct()];
}

/// <summary>Where a service has endpoints that are ready, by one EndpointSlice.</summary>
/// <param name="Nodes">The node of each ready endpoint, null where it names none.</param>
public sealed record SliceFacts(IpVersion Family, ImmutableArray<string?> Nodes)
{
    /// <summary>Reads a discovery.k8s.io/v1 EndpointSlice. An endpoint that does not say is ready.</summary>
    public static SliceFacts Read(JsonElement slice) => new(ServiceFacts.Text(slice, "addressType") == "IPv6" ? IpVersion.V6 : IpVersion.V4,
        [.. ServiceFacts.Items(slice, "endpoints")
            .Where(e => ServiceFacts.Child(ServiceFacts.Child(e, "conditions"), "ready").ValueKind != JsonValueKind.False)
            .Select(e => ServiceFacts.Text(e, "nodeName"))]);
}
