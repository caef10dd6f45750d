using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Kubernetes;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>The addresses that services of type LoadBalancer use.</summary>
/// <param name="Uses">The addresses of services that are Calico's to serve.</param>
/// <param name="AreKnown">False when nobody said where the services are.</param>
/// <param name="Summary">What to tell of it.</param>
internal sealed record ServiceUses(ImmutableArray<AddressUse> Uses, bool AreKnown, string Summary)
{
    private const string CalicoClass = "calico";

    private static readonly string[] Wishes =
        ["projectcalico.org/ipv4pools", "projectcalico.org/ipv6pools", "projectcalico.org/loadBalancerIPs"];

    /// <param name="context">Knows the environment.</param>
    /// <param name="kubeconfig">The file; null for the one that KUBECONFIG names.</param>
    /// <param name="controller">Which services get their addresses from Calico; null for none.</param>
    /// <param name="cancellation">Stops asking.</param>
    /// <exception cref="DatastoreException">The file or the API cannot be read.</exception>
    public static async Task<ServiceUses> ReadAsync(CtlContext context, string? kubeconfig, LoadBalancerControllerConfig? controller,
        CancellationToken cancellation)
    {
        var path = string.IsNullOrEmpty(kubeconfig) ? context.Environment("KUBECONFIG") : kubeconfig;
        if (string.IsNullOrEmpty(path))
            return new ServiceUses([], false, "No kubeconfig is named with --kubeconfig or KUBECONFIG: addresses of services count as used.");
        if (controller is null)
            return new ServiceUses([], true, "No configuration for LoadBalancer kubecontroller found, skipping service check");
        using var api = new KubernetesReader(KubernetesAccess.From(Kubeconfig.ReadFile(path, context.Environment("K8S_CURRENT_CONTEXT"))));
        var uses = ImmutableArray.CreateBuilder<AddressUse>();
        var count = 0;
        await foreach (var service in api.ListAsync("", "v1", "services", cancellation))
        {
            if (!IsServedByCalico(service, controller.AssignIPs))
                continue;
            count++;
            uses.AddRange(AddressesOf(service).Select(a => new AddressUse(a, Text(service, "metadata", "name"))));
        }
        return new ServiceUses(uses.ToImmutable(), true, $"Found {count} service load balancer(s).");
    }

    /// <summary>Whether Calico gives the service its addresses: all services without another class, or only those that wish it.</summary>
    internal static bool IsServedByCalico(JsonElement service, string? assign)
    {
        if (Text(service, "spec", "type") != "LoadBalancer")
            return false;
        var named = Text(service, "spec", "loadBalancerClass");
        if (named.Length > 0 && named != CalicoClass)
            return false;
        return assign switch
        {
            "AllServices" => true,
            "RequestedServicesOnly" => named == CalicoClass || Text(service, "spec", "loadBalancerIP").Length > 0
                || Wishes.Any(w => Text(service, "metadata", "annotations", w).Length > 0),
            _ => false,
        };
    }

    private static IEnumerable<IpAddr> AddressesOf(JsonElement service)
    {
        if (Find(service, "status", "loadBalancer", "ingress") is not { ValueKind: JsonValueKind.Array } ingress)
            yield break;
        foreach (var entry in ingress.EnumerateArray())
        {
            if (IpAddr.TryParse(Text(entry, "ip"), out var address))
                yield return address;
        }
    }

    private static string Text(JsonElement json, params string[] path) =>
        Find(json, path) is { ValueKind: JsonValueKind.String } value ? value.GetString()! : "";

    private static JsonElement? Find(JsonElement json, params string[] path)
    {
        foreach (var step in path)
        {
            if (json.ValueKind != JsonValueKind.Object || !json.TryGetProperty(step, out json))
                return null;
        }
        return json;
    }
}
