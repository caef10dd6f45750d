using System.Collections.Immutable;
using System.Text;
using System.Text.Json.Nodes;
using Calico.Actors.Endpoints;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Core.Cni;
using Calico.Core.Net;

namespace Calico.Actors.Cni;

/// <summary>
/// Carries out the calls of container runtimes, one linear conversation each (<see cref="CniAdd"/> has the ADD). This is
/// the edge of the actor system: it asks, and the deadline of each question is the deadline of the call. Calls for one
/// pod wait for each other.
/// </summary>
public sealed class CniHandler(CniServices services, CniMetrics metrics, CniLog? log = null)
{
    private readonly KeyedGate _gate = new();
    private readonly CniSteps _steps = new(services);
    private int _netkitReported;
    private int _patienceReported;

    public async Task HandleAsync(CniCall call, CancellationToken cancellation)
    {
        var version = CniVersion.Unspecified;
        var start = services.Time.GetTimestamp();
        CniNetworkConfig? config = null;
        CniReply reply;
        try
        {
            var isValid = CniNetworkConfig.TryParse(call.Request.Config, call.Request.Command, out config, out var error);
            version = config.Version;
            if (!isValid)
            {
                reply = error!.ToReply(version);
            }
            else
            {
                // By pod, not by container: a pod's new sandbox may come while its old one is being removed. All its interfaces
                // in one line: which of them has the usual handle must not change between two of a call's steps.
                using var turn = call.Request.Command.ConcernsContainer() && !call.Request.OnlyExpand
                    ? await _gate.EnterAsync(Workload.From(call.Request, config, services.InterfacePrefix).PodId, cancellation)
                    : null;
                reply = call.Record is { } record && !File.Exists(record) ? CniReply.Done : await DispatchAsync(call, config, cancellation);
            }
        }
        catch (Exception e) when (CniSteps.ReplyTo(e, version) is { } failure)
        {
            reply = failure;
        }
        metrics.Count(call.Request.Command, reply);
        log?.Write(call.Request, config?.Log ?? new CniLogOptions(), reply, services.Time.GetElapsedTime(start));
        await call.ReplyAsync(reply);
    }

    /// <summary>The pods of these host interfaces, or any if none are named, that have lost theirs.</summary>
    internal async Task<ImmutableArray<Workload>> VanishedAsync(IReadOnlySet<string>? interfaces) =>
        (await _steps.AskAsync<RegistryProtocol.Vanished>(services.Registry, new RegistryProtocol.GetVanished(interfaces))).Workloads;

    /// <summary>Removes such a pod, if it still is one when its turn comes.</summary>
    internal async Task<bool> RemoveVanishedAsync(Workload workload, CancellationToken cancellation)
    {
        using var turn = await _gate.EnterAsync(workload.PodId, cancellation);
        if ((await VanishedAsync(new HashSet<string> { workload.HostInterface })).FirstOrDefault(w => w.Attachment == workload.Attachment) is not { } gone)
            return false;
        await _steps.RefuseWhileLockedAsync();
        await _steps.RemoveAsync(gone);
        return true;
    }

    private async Task<CniReply> DispatchAsync(CniCall call, CniNetworkConfig config, CancellationToken cancellation)
    {
        if (call.Request is { OnlyExpand: false, Command: CniCommand.Add or CniCommand.Del or CniCommand.Gc })
            await _steps.RefuseWhileLockedAsync();
        return await (call.Request switch
        {
            { OnlyExpand: true } => ExpandAsync(config),
            { Command: CniCommand.Add } => AddAsync(call, config, cancellation),
            { Command: CniCommand.Del } => DelAsync(call.Request, config),
            { Command: CniCommand.Check } => new CniCheck(_steps).RunAsync(call, config),
            { Command: CniCommand.Status } => StatusAsync(call.Request.Plugin),
            { Command: CniCommand.Gc } => GcAsync(call.Request.Plugin, config, cancellation),
            _ => throw CniSteps.Failure(CniErrorCode.InvalidEnvironment, $"the node does not answer {call.Request.Command}"),
        });
    }

    /// <summary>Prefix of host interface names.</summary>
    internal string InterfacePrefix => services.InterfacePrefix;

    // ---- ADD ---------------------------------------------------------------------------------------------------------

    // A DEL of the same container that found no node comes first, though nobody has looked for it yet.
    private async Task<CniReply> AddAsync(CniCall call, CniNetworkConfig config, CancellationToken cancellation)
    {
        ReportWhatIsNotDone(config);
        if (PendingDelete(call.Request, config) is { } path && File.Exists(path))
        {
            if (CniPending.Read(path, out _) is { } pending && CniNetworkConfig.TryParse(pending.Config, pending.Command, out var theirs, out _))
                await DelAsync(pending, theirs);
            else
                File.Delete(path);
        }
        return call.Request.Plugin == CniPlugin.Ipam
            ? await new CniIpam(_steps).AddAsync(call, config)
            : await new CniAdd(_steps, metrics).RunAsync(call, config, cancellation);
    }

    // Accepted, because configurations have it, and not carried out to the letter: a person hears of it once.
    private void ReportWhatIsNotDone(CniNetworkConfig config)
    {
        if (config.IsNetkitWanted && Interlocked.Exchange(ref _netkitReported, 1) == 0)
            services.Report($"network {config.Name} asks for device_type netkit; its pods get veth pairs");
        if (config.PolicySetupTimeout > services.MaxPolicyPatience && Interlocked.Exchange(ref _patienceReported, 1) == 0)
            services.Report($"network {config.Name} asks for a policy_setup_timeout_seconds of {config.PolicySetupTimeout.TotalSeconds:0}; an ADD waits for "
                + $"{services.MaxPolicyPatience.TotalSeconds:0} s at most, because the runtime has its answer soon after");
    }

    private string? PendingDelete(CniRequest request, CniNetworkConfig config) => services.PendingDeletes is { } folder
        ? Path.Combine(folder, CniPendingDelete.NameOf(request.Plugin, config.Name, request.ContainerId, request.InterfaceName))
        : null;

    // ---- DEL and the others ------------------------------------------------------------------------------------------

    private async Task<CniReply> DelAsync(CniRequest request, CniNetworkConfig config)
    {
        var found = await _steps.AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(request.ContainerId, request.InterfaceName));
        if (found.Workload is { } workload)
        {
            // The addresses of a pod that is wired here go with the pod.
            if (request.Plugin != CniPlugin.Ipam || workload.IsAddressOnly)
                await _steps.RemoveAsync(workload);
        }
        else
        {
            // Unknown is success: the ADD never finished, or this DEL is a repetition. Its addresses go back all the same; an
            // endpoint that was left behind may be its pod's next sandbox's by now, and is for the reconciler to judge.
            // Nor is it known whether it had the usual handle, which may be another interface's.
            var unknown = Workload.From(request, config, services.InterfacePrefix);
            var handles = (string[])[unknown.HandleId, unknown.OwnHandle];
            await Task.WhenAll(handles.Where(h => found.Siblings.All(s => s.HandleId != h))
                .Select(h => _steps.ReleaseAddressesAsync(unknown with { Handle = h }, [])));
            await _steps.ForgetAsync(unknown);
        }
        Settle(request, config);
        return CniReply.Done;
    }

    // Done: a record of it is of no use any more, and would undo the next ADD.
    private void Settle(CniRequest request, CniNetworkConfig config)
    {
        if (PendingDelete(request, config) is not { } path)
            return;
        try
        {
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CniSteps.Failure(CniErrorCode.IoFailure, $"the container is removed, and the record of its DEL in {path} cannot be: {e.Message}");
        }
    }

    private async Task<CniReply> StatusAsync(CniPlugin plugin)
    {
        await _steps.RefuseWhileLockedAsync(CniErrorCode.NotAvailable);
        var lease = await _steps.AskAsync<LeaseProtocol.Status>(services.Lease, new LeaseProtocol.GetStatus());
        if (!lease.Loaded)
            throw CniSteps.Failure(CniErrorCode.NotAvailable, "the node has not read its address blocks yet");
        if (plugin == CniPlugin.Ipam)
            return CniReply.Done;
        var status = await _steps.AskAsync<EnforcerProtocol.Status>(services.Enforcer, new EnforcerProtocol.GetStatus());
        return status.InSync ? CniReply.Done : throw CniSteps.Failure(CniErrorCode.NotAvailable, "the node does not know every policy yet");
    }

    // Only what this plugin made in this network; without a list the runtime vouches for nothing, and nothing is taken.
    private async Task<CniReply> GcAsync(CniPlugin plugin, CniNetworkConfig config, CancellationToken cancellation)
    {
        if (config.ValidAttachments is not { } valid)
            return CniReply.Done;
        var all = await _steps.AskAsync<RegistryProtocol.All>(services.Registry, new RegistryProtocol.GetAll());
        var keep = valid.ToHashSet();
        foreach (var stale in all.Workloads.Where(w => w.Network == config.Name && w.IsAddressOnly == (plugin == CniPlugin.Ipam)
            && !keep.Contains(new CniAttachment(w.ContainerId, w.PodInterface))))
        {
            using var turn = await _gate.EnterAsync(stale.PodId, cancellation);
            // Its own DEL, or its pod's next sandbox, may have come first.
            if ((await _steps.AskAsync<RegistryProtocol.Found>(services.Registry, new RegistryProtocol.Find(stale.ContainerId, stale.PodInterface))).Workload is { } workload)
                await _steps.RemoveAsync(workload);
        }
        return CniReply.Done;
    }

    // ---- for another's IPAM plugin -----------------------------------------------------------------------------------

    private async Task<CniReply> ExpandAsync(CniNetworkConfig config)
    {
        var networks = await _steps.AskAsync<FactsProtocol.PodNetworks>(services.Facts, new FactsProtocol.GetPodNetworks());
        if (JsonNode.Parse(config.Json.Span) is not JsonObject document || Section(document, "ipam") is not JsonObject ipam)
            throw CniSteps.Failure(CniErrorCode.InvalidConfig, "usePodCidr stands for a subnet of the ipam section, and there is no such section");
        Expand(ipam, networks.Cidrs);
        foreach (var set in Section(ipam, "ranges") as JsonArray ?? [])
        {
            foreach (var range in (set as JsonArray ?? []).OfType<JsonObject>())
                Expand(range, networks.Cidrs);
        }
        return new CniReply(0, Encoding.UTF8.GetBytes(document.ToJsonString()));
    }

    private static void Expand(JsonObject holder, ImmutableArray<string> networks)
    {
        if (Section(holder, "subnet") is not JsonValue value || !value.TryGetValue<string>(out var subnet))
            return;
        IpVersion? family = subnet.Equals("usePodCidr", StringComparison.OrdinalIgnoreCase) ? IpVersion.V4
            : subnet.Equals("usePodCidrIPv6", StringComparison.OrdinalIgnoreCase) ? IpVersion.V6
            : null;
        if (family is null)
            return;
        holder[NameOf(holder, "subnet")!] = networks.FirstOrDefault(n => Cidr.TryParse(n, out var cidr) && cidr.Version == family)
            ?? throw CniSteps.Failure(CniErrorCode.TryAgainLater, $"the configuration says {subnet}, and this node has no such pod network (podCIDRs of the Node resource)");
    }

    private static JsonNode? Section(JsonObject holder, string name) => NameOf(holder, name) is { } exact ? holder[exact] : null;

    private static string? NameOf(JsonObject holder, string name) =>
        holder.Select(p => p.Key).FirstOrDefault(k => k.Equals(name, StringComparison.OrdinalIgnoreCase));
}
