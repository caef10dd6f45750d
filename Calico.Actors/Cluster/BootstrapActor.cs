using System.Collections.Immutable;
using Akka.Actor;
using Akka.Cluster;
using Akka.Event;
using Calico.Datastore;

namespace Calico.Actors.Cluster;

/// <summary>
/// Brings this node into the cluster and keeps the cluster's record in the datastore true. One per member. Before it
/// is a member it follows <see cref="BootstrapDecision"/>; afterwards the cluster's leader renews the record, and a
/// member that finds another living cluster there that is larger ends its own system so that it joins that one. The other one
/// may have the same id: two parts that each counted the other as gone.
/// Its death is harmless: it starts over from what the cluster says.
/// </summary>
public sealed class BootstrapActor : ReceiveActor, IWithTimers
{
    private sealed class Tick : Protocol.ITick
    {
        public static readonly Tick Instance = new();
    }

    private sealed record Read(KeyValue? Stored) : Protocol.ITick;
    private sealed record Formed(bool Succeeded, BootstrapStep.Form Step) : Protocol.ITick;
    private sealed record Failed(Exception Cause) : Protocol.ITick;
    private sealed record Renewed(long Revision) : Protocol.ITick;

    private readonly IDatastore _datastore;
    private readonly MeshOptions _options;
    private readonly Uptime _uptime;
    private readonly Akka.Cluster.Cluster _cluster = Akka.Cluster.Cluster.Get(Context.System);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly BootstrapDecision _decision;
    private readonly string _self;
    private string? _clusterId;
    private ImmutableArray<string> _joining = [];
    private long _foreignRevision = -1;
    private long? _ownRevision;
    private bool _complained;

    public ITimerScheduler Timers { get; set; } = null!;

    public static Props Props(IDatastore datastore, MeshOptions options, TimeProvider time) =>
        Akka.Actor.Props.Create(() => new BootstrapActor(datastore, options, time));

    public BootstrapActor(IDatastore datastore, MeshOptions options, TimeProvider time)
    {
        _datastore = datastore;
        _options = options;
        _uptime = new Uptime(time);
        _self = _cluster.SelfAddress.ToString();
        _decision = new BootstrapDecision(_self, options.BootstrapStaleAfter);

        Receive<Tick>(_ => ReadRecord());
        Receive<Read>(r => OnRead(r.Stored));
        Receive<Formed>(OnFormed);
        Receive<Renewed>(OnRenewed);
        Receive<Failed>(OnFailed);
    }

    private bool IsMember => _cluster.SelfMember.Status is MemberStatus.Up or MemberStatus.WeaklyUp;
    private bool IsLeader => _cluster.State.Leader == _cluster.SelfAddress;

    protected override void PreStart() => ReadRecord();

    private void ReadRecord() =>
        _datastore.GetAsync(BootstrapRecord.Key).PipeTo(Self, success: kv => new Read(kv), failure: e => new Failed(e));

    private void OnFailed(Failed failed)
    {
        if (!_complained)
            _log.Warning("mesh bootstrap: the cluster's record cannot be read or written: {Cause}", failed.Cause.Message);
        _complained = true;
        Again(_options.Pace * 2);
    }

    private void OnRead(KeyValue? stored)
    {
        _complained = false;
        var record = stored is null ? null : BootstrapRecord.FromJson(stored.Value);
        if (IsMember)
            Maintain(stored, record);
        else
            Enter(stored, record);
    }

    private void Enter(KeyValue? stored, BootstrapRecord? record)
    {
        var step = _decision.Next(record, stored?.ModRevision ?? 0, _uptime.Now, Guid.NewGuid().ToString("N"));
        switch (step)
        {
            case BootstrapStep.Join join:
                _clusterId = join.ClusterId;
                Join(join.Seeds);
                Again(_options.Pace);
                break;
            case BootstrapStep.Form form:
                var compare = stored is null ? Compare.Absent(BootstrapRecord.Key) : Compare.At(BootstrapRecord.Key, stored.ModRevision);
                Commit(compare, form.Record).PipeTo(Self, success: r => new Formed(r.Succeeded, form), failure: e => new Failed(e));
                break;
            default:
                Again(_options.Pace);
                break;
        }
    }

    private void OnFormed(Formed formed)
    {
        if (formed.Succeeded)
        {
            _log.Info("mesh bootstrap: forming cluster {ClusterId}", formed.Step.Record.ClusterId);
            _clusterId = formed.Step.Record.ClusterId;
            Join(formed.Step.Seeds);
        }
        Again(_options.Pace);
    }

    private void Join(ImmutableArray<string> seeds)
    {
        if (seeds.SequenceEqual(_joining))
            return;
        _joining = seeds;
        _log.Info("mesh bootstrap: joining through {Seeds}", string.Join(" ", seeds));
        _cluster.JoinSeedNodes(seeds.Select(Address.Parse));
    }

    private void Maintain(KeyValue? stored, BootstrapRecord? record)
    {
        var members = _cluster.State.Members.Where(m => m.Status is MemberStatus.Up or MemberStatus.WeaklyUp)
            .Select(m => m.Address.ToString()).Order(StringComparer.Ordinal).ToImmutableArray();
        // Of one cluster only the leader writes: a record of the same id that another has written since, without its leader, is a rival's.
        var isForeign = record is not null && _clusterId is not null && !record.Members.Contains(_self)
            && (record.ClusterId != _clusterId || (IsLeader && stored!.ModRevision > _ownRevision));
        if (isForeign && BootstrapDecision.Yields(members, _clusterId!, record!))
        {
            LeaveForAnother(stored!, record!);
            return;
        }
        if (!IsLeader)
        {
            _clusterId = isForeign ? _clusterId : record?.ClusterId ?? _clusterId;
            Again(_options.Pace * 10);
            return;
        }
        _clusterId ??= record?.ClusterId ?? Guid.NewGuid().ToString("N");
        var compare = stored is null ? Compare.Absent(BootstrapRecord.Key) : Compare.At(BootstrapRecord.Key, stored.ModRevision);
        Commit(compare, new BootstrapRecord(_clusterId, (record?.Renewal ?? 0) + 1, members))
            .PipeTo(Self, success: r => new Renewed(r.Succeeded ? r.Revision : 0), failure: e => new Failed(e));
    }

    private void OnRenewed(Renewed renewed)
    {
        if (renewed.Revision > 0)
            _ownRevision = renewed.Revision;
        Again(_options.Pace * 3);
    }

    // Two clusters formed while they could not see each other. The smaller one dissolves, but only when the record is seen
    // to be renewed, so that a stale record never dissolves a living cluster.
    private void LeaveForAnother(KeyValue stored, BootstrapRecord record)
    {
        if (_foreignRevision >= 0 && stored.ModRevision != _foreignRevision)
        {
            _log.Warning("mesh bootstrap: cluster {Other} of {Members} owns the record and lives; leaving {Own} to join it", record.ClusterId,
                string.Join(" ", record.Members), _clusterId);
            CoordinatedShutdown.Get(Context.System).Run(CoordinatedShutdown.ClusterDowningReason.Instance);
            return;
        }
        _foreignRevision = stored.ModRevision;
        Again(_options.Pace * 4);
    }

    private Task<TransactionResult> Commit(Compare compare, BootstrapRecord record) =>
        _datastore.CommitAsync(new Transaction([compare], [Write.Put(BootstrapRecord.Key, record.ToJson())]));

    private void Again(TimeSpan delay) => Timers.StartSingleTimer(nameof(Tick), Tick.Instance, delay);
}
