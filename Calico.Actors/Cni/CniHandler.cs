using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Cni;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Kernel;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Cni;

/// <summary>
/// Carries out the calls of container runtimes, one linear conversation each (<see cref="CniAdd"/> has the ADD). This is
/// the edge of the actor system: it asks, and the deadline of each question is the deadline of the call. Calls for one
/// pod wait for each other.
/// </summary>
public sealed class CniHandler(CniServices services, CniMetrics metrics)
{
    private readonly KeyedGate _gate = new();
    private readonly CniSteps _steps = new(services);

    public async Task HandleAsync(CniCall call, CancellationToken cancellation)
    {
        var version = CniVersion.Unspecified;
        CniReply reply;
        try
        {
            if (!CniNetworkConfig.TryParse(call.Request.Config, call.Request.Command, out var config, out var error))
            {
                reply = error!.ToReply(version);
            }
            else
            {
                version = config.Version;
                // By pod, not by container: a pod's new sandbox may come while its old one is being removed.
                using var turn = call.Request.Command is CniCommand.Add or CniCommand.Del or CniCommand.Check
                    ? await _gate.EnterAsync(Workload.From(call.Request, config, services.InterfacePrefix).Id, cancellation)
                    : null;
                reply = await DispatchAsync(call, config, cancellation);
            }
        }
        catch (Exception e) when (CniSteps.ReplyTo(e, version) is { } failure)
        {
            reply = failure;
        }
        metrics.Count(call.Request.Command, reply);
        await call.ReplyAsync(reply);
    }

    private Task<CniReply> DispatchAsync(CniCall call, CniNetworkConfig config, CancellationToken cancellation) =>
        call.Request.Command switch
        {
            CniCommand.Add => new CniAdd(_steps, metrics).RunAsync(call, config),
            CniCommand.Del => DelAsync(call, config),
            CniCommand.Check => CheckAsync(call, config),
            CniCommand.Status => StatusAsync(),
            CniCommand.Gc => GcAsync(config, cancellation),
            _ => throw CniSteps.Failure(CniErrorCode.InvalidEnvironment, $"the node does not answer {call.Request.Command}"),
        };

    // ---- DEL and the others --------------------------------------------------------------------------------------

    private async Task<CniReply> DelAsync(CniCall call, CniNetworkConfig config)
    {
        var found = await _steps.AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(call.Request.ContainerId, call.Request.InterfaceName));
        if (found.Workload is { } workload)
        {
            await _steps.RemoveAsync(workload);
            return CniReply.Done;
        }
        // Unknown is success: the ADD never finished, or this DEL is a repetition. Its addresses go back all the same; an
        // endpoint that was left behind may be its pod's next sandbox's by now, and is for the reconciler to judge.
        var unknown = Workload.From(call.Request, config, services.InterfacePrefix);
        await _steps.ReleaseAddressesAsync(unknown, []);
        await _steps.ForgetAsync(unknown);
        return CniReply.Done;
    }

    private async Task<CniReply> CheckAsync(CniCall call, CniNetworkConfig config)
    {
        var found = await _steps.AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(call.Request.ContainerId, call.Request.InterfaceName));
        if (found.Workload is not { } workload)
            throw CniSteps.Failure(CniErrorCode.UnknownContainer, $"no workload of container {call.Request.ContainerId} with interface {call.Request.InterfaceName} is on {services.Node}");
        using var pod = call.OpenPod();
        using var links = pod.OpenLinks();
        var link = links.Find(workload.PodInterface)
            ?? throw CniSteps.Failure(CniErrorCode.Internal, $"interface {workload.PodInterface} is gone from the pod");
        var has = links.DumpAddresses(link.Index).Select(a => a.Address.Address).ToHashSet();
        foreach (var missing in workload.ParsedAddresses.Where(a => !has.Contains(a)))
            throw CniSteps.Failure(CniErrorCode.Internal, $"address {missing} is gone from {workload.PodInterface} in the pod");
        if (config.PreviousResult is { } previous && previous.Addresses.Any(a => !has.Contains(a.Address.Address)))
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "prevResult names an address that the pod does not have");
        return CniReply.Done;
    }

    private async Task<CniReply> StatusAsync()
    {
        var status = await _steps.AskAsync<EnforcerProtocol.Status>(services.Enforcer, new EnforcerProtocol.GetStatus());
        var lease = await _steps.AskAsync<LeaseProtocol.Status>(services.Lease, new LeaseProtocol.GetStatus());
        if (status.InSync && lease.Loaded)
            return CniReply.Done;
        throw CniSteps.Failure(CniErrorCode.NotAvailable, lease.Loaded
            ? "the node does not know every policy yet"
            : "the node has not read its address blocks yet");
    }

    private async Task<CniReply> GcAsync(CniNetworkConfig config, CancellationToken cancellation)
    {
        if (config.ValidAttachments is not { } valid)
            return CniReply.Done;
        var all = await _steps.AskAsync<RegistryProtocol.All>(services.Registry, new RegistryProtocol.GetAll());
        foreach (var stale in all.Workloads.Where(w => w.Network == config.Name && !valid.Contains(new CniAttachment(w.ContainerId, w.PodInterface))))
        {
            using var turn = await _gate.EnterAsync(stale.Id, cancellation);
            // Its own DEL, or its pod's next sandbox, may have come first.
            if ((await _steps.AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(stale.ContainerId, stale.PodInterface))).Workload is { } workload)
                await _steps.RemoveAsync(workload);
        }
        return CniReply.Done;
    }
}
