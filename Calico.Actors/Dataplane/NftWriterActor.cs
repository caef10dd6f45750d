using System.Collections.Immutable;
using System.Diagnostics;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Protocol;
using Calico.Core.Nft;
using Calico.Core.Policy.Render;
using Calico.Kernel;
using Calico.Kernel.Nft;

namespace Calico.Actors.Dataplane;

/// <summary>What is said to the writer of nftables. Local.</summary>
public static class NftProtocol
{
    /// <summary>The tables are to change so; answered with <see cref="Committed"/> once the kernel has taken it.</summary>
    public sealed record Change(long RequestId, ImmutableArray<TableChanges> Tables) : ILocalMessage;

    /// <summary>Everything up to this request is in the kernel.</summary>
    public sealed record Committed(long RequestId) : ILocalMessage;

    /// <summary>The kernel refused; the writer reads the table again and keeps trying.</summary>
    public sealed record Refused(long RequestId, string Reason) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    public sealed record Status(long Writes, int Chains, int Rules, int Sets, string? Fault) : ILocalMessage;
}

/// <summary>
/// The one writer of this node's nftables, on a thread of its own: one transaction a table for everything that waits.
/// On start it reads what the tables hold and from then on writes differences only. The first change must be the whole
/// wanted state; nothing is written before it comes. Its death changes nothing in the kernel.
/// </summary>
public sealed class NftWriterActor : ReceiveActor, IWithTimers
{
    private sealed class Flush : ITick
    {
        public static readonly Flush Instance = new();
    }

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly Func<NftTable, INftTable> _open;
    private readonly Dictionary<NftTable, (NftDelta Delta, INftTable Kernel)> _tables = [];
    private readonly List<(long Id, IActorRef ReplyTo)> _waiting = [];
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private string? _fault;
    private bool _scheduled;

    public ITimerScheduler Timers { get; set; } = null!;

    /// <param name="open">Opens a table of the node's namespace.</param>
    public static Props Props(Func<NftTable, INftTable> open) => Akka.Actor.Props.Create(() => new NftWriterActor(open));

    public NftWriterActor(Func<NftTable, INftTable> open)
    {
        _open = open;

        Receive<NftProtocol.Change>(OnChange);
        Receive<NftProtocol.GetStatus>(_ => Sender.Tell(Status()));
        Receive<Flush>(_ => OnFlush());
    }

    protected override void PostStop()
    {
        foreach (var (_, kernel) in _tables.Values)
            kernel.Dispose();
    }

    private void OnChange(NftProtocol.Change change)
    {
        foreach (var table in change.Tables)
            Want(DeltaOf(table.Table), table);
        _waiting.Add((change.RequestId, Sender));
        Schedule(TimeSpan.Zero);
    }

    private NftDelta DeltaOf(NftTable table)
    {
        if (_tables.TryGetValue(table, out var known))
            return known.Delta;
        var kernel = _open(table);
        var delta = new NftDelta(table);
        delta.Adopt(kernel.Dump());
        _tables[table] = (delta, kernel);
        return delta;
    }

    private static void Want(NftDelta delta, TableChanges changes)
    {
        foreach (var set in changes.SetsAdded)
        {
            delta.SetDefinition(set.Set);
            delta.AddElements(set.Set.Name, set.Members.AsSpan());
        }
        foreach (var members in changes.MembersChanged)
        {
            delta.RemoveElements(members.Set.Name, members.Removed.AsSpan());
            delta.AddElements(members.Set.Name, members.Added.AsSpan());
        }
        foreach (var chain in changes.Chains)
            delta.SetChain(new NftChain(chain.Name, chain.Base), chain.Rules);
        foreach (var entries in changes.Entries)
        {
            foreach (var entry in entries.Added)
                delta.MapSet(entries.Map.Name, entry.Key, entry.Verdict);
            foreach (var key in entries.Removed)
                delta.MapRemove(entries.Map.Name, key);
        }
        foreach (var chain in changes.ChainsRemoved)
            delta.RemoveChain(chain);
        foreach (var set in changes.SetsRemoved)
            delta.RemoveSet(set);
    }

    // Everything that is in the mailbox already goes into one transaction.
    private void Schedule(TimeSpan delay)
    {
        if (_scheduled)
            return;
        _scheduled = true;
        if (delay == TimeSpan.Zero)
            Self.Tell(Flush.Instance);
        else
            Timers.StartSingleTimer(nameof(Flush), Flush.Instance, delay);
    }

    private void OnFlush()
    {
        _scheduled = false;
        var began = Stopwatch.GetTimestamp();
        var fault = _tables.Values.Select(t => Commit(t.Delta, t.Kernel)).ToList().OfType<string>().FirstOrDefault();
        if (fault is not null && fault != _fault)
            _log.Error("nftables: {Fault}; reading the table again and trying on", fault);
        else if (fault is null && _fault is not null)
            _log.Info("nftables: in order again");
        _fault = fault;
        DataplaneMetrics.Applied(began, fault is not null);
        foreach (var (id, replyTo) in _waiting)
            replyTo.Tell(fault is null ? new NftProtocol.Committed(id) : new NftProtocol.Refused(id, fault));
        if (fault is null)
            _waiting.Clear();
        else
            Schedule(RetryAfter);
    }

    private static string? Commit(NftDelta delta, INftTable kernel)
    {
        try
        {
            var plan = delta.Plan();
            if (!plan.IsEmpty)
                delta.Committed(kernel.Commit(plan));
            return null;
        }
        catch (KernelException e)
        {
            delta.Rejected();
            try
            {
                delta.Adopt(kernel.Dump());
            }
            catch (KernelException dumping)
            {
                return $"{e.Message}; and {dumping.Message}";
            }
            return e.Message;
        }
    }

    private NftProtocol.Status Status() => new(_tables.Values.Sum(t => t.Kernel.WriteCount),
        _tables.Values.Sum(t => t.Delta.ChainCount), _tables.Values.Sum(t => t.Delta.KnownRuleCount),
        _tables.Values.Sum(t => t.Delta.SetCount), _fault);
}
