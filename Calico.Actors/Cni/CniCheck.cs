using System.Collections.Immutable;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Core.Cni;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Cni;

/// <summary>
/// CHECK: whether a pod is still wired as its ADD left it, on both ends, and as the runtime remembers it. Reads the kernel
/// and changes nothing. The first thing that is wrong is the error.
/// </summary>
internal sealed class CniCheck(CniSteps steps)
{
    private readonly CniServices _services = steps.Services;

    public async Task<CniReply> RunAsync(CniCall call, CniNetworkConfig config)
    {
        var found = await steps.AskAsync<RegistryProtocol.Found>(_services.Registry,
            new RegistryProtocol.Find(call.Request.ContainerId, call.Request.InterfaceName));
        if (found.Workload is not { } workload)
            throw CniSteps.Failure(CniErrorCode.UnknownContainer,
                $"no workload of container {call.Request.ContainerId} with interface {call.Request.InterfaceName} is on {_services.Node}");
        if (workload.IsFenced)
            throw CniSteps.Failure(CniErrorCode.Internal, $"{workload.Id} is cut off, because its addresses belong to another; delete the pod");
        if (config.PreviousResult is { } previous)
            CompareWithRuntime(workload, previous);
        if (call.Request.Plugin == CniPlugin.Ipam || workload.IsAddressOnly)
            return CniReply.Done;
        try
        {
            using var pod = call.OpenPod();
            var inside = CheckPod(workload, pod);
            if (_services.Host is { } host)
                CheckHost(workload, host, inside);
        }
        catch (KernelException e)
        {
            throw CniSteps.Failure(CniErrorCode.Internal, e.Message);
        }
        return CniReply.Done;
    }

    // Whatever else is in it is another plugin's of the chain.
    private static void CompareWithRuntime(Workload workload, CniResult previous)
    {
        var has = workload.ParsedAddresses.ToHashSet();
        foreach (var missing in has.Where(a => previous.Addresses.All(p => p.Address.Address != a)))
            throw Wrong($"prevResult does not have the address {missing} of {workload.Id}");
        if (workload.IsAddressOnly || previous.Interfaces.IsEmpty)
            return;
        if (previous.Interfaces.All(i => i.Name != workload.HostInterface))
            throw Wrong($"prevResult does not have the host interface {workload.HostInterface}");
        var index = previous.Interfaces.Select((_, i) => i).Where(i => previous.Interfaces[i] is { Sandbox.Length: > 0 } inside && inside.Name == workload.PodInterface)
            .Select(i => (int?)i).FirstOrDefault() ?? throw Wrong($"prevResult does not have the pod's interface {workload.PodInterface}");
        var mac = previous.Interfaces[index].Mac;
        if (mac.Length > 0 && workload.PodMac.Length > 0 && !mac.Equals(workload.PodMac, StringComparison.OrdinalIgnoreCase))
            throw Wrong($"prevResult says that {workload.PodInterface} has the MAC {mac}, and it is {workload.PodMac}");
        foreach (var stranger in previous.Addresses.Where(a => a.Interface == index && !has.Contains(a.Address.Address)))
            throw Wrong($"prevResult names the address {stranger.Address.Address}, which {workload.Id} never had");
    }

    private static Link CheckPod(Workload workload, NetworkNamespace pod)
    {
        using var links = pod.OpenLinks();
        using var routes = pod.OpenRoutes();
        var link = links.Find(workload.PodInterface) ?? throw Wrong($"interface {workload.PodInterface} is gone from the pod");
        if (!link.Up)
            throw Wrong($"interface {workload.PodInterface} in the pod is down");
        if (workload.PodMac.Length > 0 && link.Mac.ToString() != workload.PodMac)
            throw Wrong($"interface {workload.PodInterface} in the pod has the MAC {link.Mac}, not {workload.PodMac}");
        var has = links.DumpAddresses(link.Index).Select(a => a.Address.Address).ToHashSet();
        foreach (var missing in workload.ParsedAddresses.Where(a => !has.Contains(a)))
            throw Wrong($"address {missing} is gone from {workload.PodInterface} in the pod");
        // A further interface's routes are in a table of its own.
        var present = routes.Dump(new RouteFilter(Table: null));
        foreach (var family in workload.ParsedAddresses.Select(a => a.Version).Distinct())
        {
            var gateway = family == IpVersion.V4 ? WorkloadWiring.GatewayV4 : WorkloadWiring.GatewayV6;
            if (!present.Any(r => r.NextHops.Any(h => h.Gateway == gateway && h.LinkIndex == link.Index)))
                throw Wrong($"no route of the pod leads to {gateway} by {workload.PodInterface} any more");
        }
        return link;
    }

    private static void CheckHost(Workload workload, INetworkNamespace host, Link inside)
    {
        using var links = host.OpenLinks();
        using var routes = host.OpenRoutes();
        var link = links.Find(workload.HostInterface) ?? throw Wrong($"host interface {workload.HostInterface} is gone");
        if (!link.Up)
            throw Wrong($"host interface {workload.HostInterface} is down");
        if (link.PeerIndex is { } peer && peer != inside.Index)
            throw Wrong($"host interface {workload.HostInterface} does not lead to {workload.PodInterface} of this pod");
        var present = routes.Dump(new RouteFilter());
        foreach (var address in workload.ParsedAddresses)
        {
            if (!present.Any(r => r.Key.Destination == Cidr.Host(address) && r.NextHops.Any(h => h.LinkIndex == link.Index)))
                throw Wrong($"the route to {address} by {workload.HostInterface} is gone");
        }
    }

    private static CniCallException Wrong(string what) => CniSteps.Failure(CniErrorCode.Internal, what);
}
