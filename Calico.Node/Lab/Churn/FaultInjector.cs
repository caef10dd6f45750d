using System.Collections.Concurrent;
using Calico.Kernel;

namespace Calico.Node.Lab.Churn;

/// <summary>
/// Makes the faults of a schedule happen, and heals each when its time is over, whatever else happens. What is filtered
/// is a node's own traffic, in a table of the injector's own; its pods' packets pass.
/// </summary>
internal sealed class FaultInjector(Lab lab, CallLog log)
{
    private const string Table = "calico_lab_fault";
    private readonly ConcurrentDictionary<int, Fault> _underWay = new();

    public IReadOnlyList<Fault> UnderWay => [.. _underWay.Values.OrderBy(f => f.Number)];

    public int Injected { get; private set; }

    /// <summary>Returns when all faults are healed. After a cancellation no further one begins.</summary>
    public async Task RunAsync(IEnumerable<Fault> schedule, CancellationToken cancellation)
    {
        var begun = TimeProvider.System.GetTimestamp();
        var healed = new List<Task>();
        try
        {
            foreach (var fault in schedule)
            {
                var wait = fault.At - TimeProvider.System.GetElapsedTime(begun);
                if (wait > TimeSpan.Zero)
                    await Task.Delay(wait, cancellation);
                // A machine that is slow to heal must not have a target hit twice.
                if (!_underWay.Values.Any(f => f.Target == fault.Target))
                    healed.Add(SufferAsync(fault, cancellation));
            }
        }
        catch (OperationCanceledException)
        {
            // The round is over early.
        }
        await Task.WhenAll(healed);
    }

    /// <summary>Whether somebody is allowed to find this process dead, or deaf.</summary>
    public bool IsSuffering(string target) => _underWay.Values.Any(f => f.Target == target);

    private async Task SufferAsync(Fault fault, CancellationToken cancellation)
    {
        _underWay[fault.Number] = fault;
        Injected++;
        log.Note($"fault {fault}");
        try
        {
            await BeginAsync(fault);
            await Task.Delay(fault.Lasts, cancellation);
        }
        catch (OperationCanceledException)
        {
            // Healed earlier than planned.
        }
        finally
        {
            await EndAsync(fault);
            log.Note($"healed #{fault.Number}");
            _underWay.TryRemove(fault.Number, out _);
        }
    }

    private Task BeginAsync(Fault fault) => fault.Kind switch
    {
        FaultKind.KillAgent => lab.KillNodeAsync(LabNode.Parse(fault.Target)),
        FaultKind.StopAgent or FaultKind.StopDatastore => Processes.StopAsync(ProcessOf(fault)),
        FaultKind.CutCable => SetCableAsync(fault, plugged: false),
        FaultKind.HideDatastore => FilterAsync(fault.Target, [LabNode.SegmentA.Address.ToString()]),
        FaultKind.HidePeers => FilterAsync(fault.Target, [.. lab.State.AllNodes.Where(n => n.Name != fault.Target).Select(n => n.Address.Address.ToString())]),
        _ => lab.KillDatastoreAsync(),
    };

    private Task EndAsync(Fault fault) => fault.Kind switch
    {
        FaultKind.KillAgent => lab.LaunchNodeAsync(LabNode.Parse(fault.Target)),
        FaultKind.StopAgent or FaultKind.StopDatastore => Processes.ContinueAsync(ProcessOf(fault)),
        FaultKind.CutCable => SetCableAsync(fault, plugged: true),
        FaultKind.HideDatastore or FaultKind.HidePeers => NftAsync(fault.Target, $"delete table ip {Table}"),
        _ => lab.StartDatastoreAsync(),
    };

    private LabProcess ProcessOf(Fault fault) => lab.State.Process(fault.Target) ?? throw new LabException($"{fault.Target} does not run");

    private Task SetCableAsync(Fault fault, bool plugged)
    {
        lab.Topology.SetCable(LabNode.Parse(fault.Target), plugged);
        return Task.CompletedTask;
    }

    private Task FilterAsync(string node, string[] hidden) => NftAsync(node, $$"""
        table ip {{Table}} {
          chain in { type filter hook input priority -400; ip saddr { {{string.Join(", ", hidden)}} } drop; }
          chain out { type filter hook output priority -400; ip daddr { {{string.Join(", ", hidden)}} } drop; }
        }
        """);

    private async Task NftAsync(string node, string script)
    {
        using var inside = lab.Topology.OpenNode(node);
        var (exit, _, errors) = await Processes.RunAsync(inside, new Dictionary<string, string?>(), script, [Programs.Find("nft", "nftables"), "-f", "-"]);
        if (exit != 0)
            throw new LabException($"nft on {node}: {errors.Trim()}");
    }
}
