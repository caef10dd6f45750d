using Calico.Actors.Endpoints;
using Calico.Core.Cni;
using Calico.Core.Net;

namespace Calico.Actors.Cni;

/// <summary>
/// <c>calico-ipam</c> under another's interface plugin: addresses and nothing else. What it gives is remembered like a pod,
/// so that an agent that starts again does not take it back.
/// </summary>
internal sealed class CniIpam(CniSteps steps)
{
    public async Task<CniReply> AddAsync(CniCall call, CniNetworkConfig config)
    {
        var services = steps.Services;
        var draft = steps.DraftOf(call.Request, config) with { IsAddressOnly = true, HostInterface = "", BootId = Boot.Id };
        var plan = await new CniPlanner(steps).FromIpamAsync(draft, config, CniPodWishes.None, call);
        var admitted = await steps.AskAsync<RegistryProtocol.Admitted>(services.Registry, new RegistryProtocol.Admit(draft));
        if (admitted.IsKnown)
            return Result(admitted.Workload, config);
        var workload = await steps.AllocateAsync(plan with { Draft = admitted.Workload }, writesEndpoint: false);
        try
        {
            var recorded = await steps.AskAsync<RegistryProtocol.Recorded>(services.Registry, new RegistryProtocol.Record(workload));
            if (recorded.Fault is { } fault)
                throw CniSteps.Failure(CniErrorCode.IoFailure, $"the addresses cannot be recorded: {fault}");
            return Result(workload, config);
        }
        catch
        {
            await steps.TryRemoveAsync(workload);
            throw;
        }
    }

    private static CniReply Result(Workload workload, CniNetworkConfig config) => CniReply.Result(new CniResult([],
        [.. workload.ParsedAddresses.Select(a => new CniAddress(Cidr.Host(a)))],
        [.. workload.ParsedAddresses.Select(a => new CniRoute(Cidr.Host(a)))]), config.Version);
}
