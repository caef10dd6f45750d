using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Dataplane;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;
using Calico.Actors.Protocol;
using Calico.Core.Net;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;

namespace Calico.Actors.Endpoints;

/// <summary>
/// Knows the workloads of this node and is the only writer of their journal. Child of the node's guardian. On start it
/// reads the journal, wants the routes of what it finds, and has IPAM give back what no workload here holds. Its death
/// loses nothing but the time to read the journal again.
/// </summary>
public sealed class RegistryActor : ReceiveActor, IWithTimers
{
    private sealed record GiveBackAgain(int Which) : Protocol.ITick;

    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromSeconds(1);

    private readonly WorkloadJournal _journal;
    private readonly string _interfacePrefix;
    private readonly INetworkNamespace _host;
    private readonly IActorRef _routes;
    private readonly IActorRef _lease;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly Dictionary<(string Container, string Interface), Workload> _workloads = [];
    private readonly LocalAddresses _addresses = new();
    private readonly HashSet<IActorRef> _followers = [];
    private readonly HashSet<(string Container, string Interface)> _unwritten = [];

    // Gone before this start, in the order of the requests that give their addresses back.
    private readonly List<Workload> _givenBack = [];

    // Host interfaces, of workloads and of calls under way.
    private readonly Dictionary<string, (string Container, string Interface)> _names;

    public ITimerScheduler Timers { get; set; } = null!;

    // Calls under way are in no journal, so the names that they reserved outlive the actor. One actor for each Props.
    public static Props Props(string journalDirectory, string interfacePrefix, INetworkNamespace host, IActorRef routes, IActorRef lease)
    {
        var names = new Dictionary<string, (string Container, string Interface)>();
        return Akka.Actor.Props.Create(() => new RegistryActor(journalDirectory, interfacePrefix, host, routes, lease, names));
    }

    /// <inheritdoc cref="Props"/>
    public RegistryActor(string journalDirectory, string interfacePrefix, INetworkNamespace host, IActorRef routes, IActorRef lease,
        Dictionary<string, (string Container, string Interface)> names)
    {
        _names = names;
        _interfacePrefix = interfacePrefix;
        _journal = new WorkloadJournal(journalDirectory);
        _host = host;
        _routes = routes;
        _lease = lease;

        Receive<RegistryProtocol.Find>(f => Sender.Tell(new RegistryProtocol.Found(_workloads.GetValueOrDefault((f.ContainerId, f.PodInterface)),
            [.. SiblingsOf((f.ContainerId, f.PodInterface))])));
        Receive<RegistryProtocol.Admit>(a => Sender.Tell(Admit(a.Draft)));
        Receive<RegistryProtocol.Record>(OnRecord);
        Receive<RegistryProtocol.Forget>(OnForget);
        Receive<RegistryProtocol.Fence>(f => Sender.Tell(new RegistryProtocol.Fenced(Fence(f.Workload))));
        Receive<RegistryProtocol.TellEndpoints>(_ => Sender.Tell(new EnforcerProtocol.AdoptEndpoints(
            [.. _workloads.Values.Where(w => w is { IsFenced: false, IsAddressOnly: false }).Select(w => w.ToLocalEndpoint())])));
        Receive<RegistryProtocol.GetVanished>(g => Sender.Tell(new RegistryProtocol.Vanished(VanishedOf(g.Interfaces))));
        Receive<RegistryProtocol.GetStrangers>(_ => Sender.Tell(new RegistryProtocol.Strangers(
            [.. RoutedTo(Links()).Except(_workloads.Values.SelectMany(w => w.ParsedAddresses))])));
        Receive<RegistryProtocol.FollowAddresses>(OnFollow);
        Receive<LeaseProtocol.Released>(OnReleased);
        Receive<LeaseProtocol.NotReleased>(OnNotReleased);
        Receive<GiveBackAgain>(a => Ask(a.Which));
        Receive<Terminated>(t => _followers.Remove(t.ActorRef));
        Receive<RegistryProtocol.GetAll>(_ => Sender.Tell(new RegistryProtocol.All([.. _workloads.Values],
            [.. _names.Values.Where(n => !_workloads.ContainsKey(n)).Select(n => n.Container)])));
    }

    // Only the start of the process, before the runtime is served: later an address may belong to a call under way.
    protected override void PreStart()
    {
        var links = Links();
        Load();
        // A pod without its interface is gone with it: the machine was restarted, or its namespace removed.
        foreach (var gone in _workloads.Values.Where(w => w.IsAddressOnly ? w.BootId != Boot.Id : !links.ContainsKey(w.HostInterface)).ToList())
        {
            _log.Info("workload {Workload} is gone: interface {Interface} does not exist any more", gone.Id, gone.HostInterface);
            if (gone is { Addresses.Length: > 0, HasForeignAddresses: false })
                GiveBack(gone);
            else
                Drop(gone);
        }
        WantRoutes(links);
        var inUse = RoutedTo(links).ToImmutableDictionary(a => a, _ => (string?)null)
            .SetItems(_workloads.Values.SelectMany(w => w.ParsedAddresses.Select(a => KeyValuePair.Create(a, (string?)w.HandleId))));
        _lease.Tell(new LeaseProtocol.ReleaseAllBut([.. _workloads.Values.Select(w => w.HandleId)], inUse));
        if (_workloads.Count > 0)
            _log.Info("took over {Count} workloads", _workloads.Count);
    }

    // What it had borrowed is found by its handle only, which the journal keeps until it is given back, however long the datastore
    // is away. A pod of its name may be there again, so its endpoint is left alone.
    private void GiveBack(Workload gone)
    {
        Leave(gone);
        _givenBack.Add(gone);
        Ask(_givenBack.Count - 1);
    }

    private void OnReleased(LeaseProtocol.Released released)
    {
        // What an earlier incarnation asked for is asked for again at the next start.
        if (released.RequestId < _givenBack.Count && _givenBack[(int)released.RequestId] is var gone && !_workloads.ContainsKey(gone.Attachment))
            Try(() => _journal.Remove(gone));
    }

    private void OnNotReleased(LeaseProtocol.NotReleased refused)
    {
        if (refused.RequestId < _givenBack.Count)
            Timers.StartSingleTimer(refused.RequestId, new GiveBackAgain((int)refused.RequestId), AskAgainAfter);
    }

    private void Ask(int which) =>
        _lease.Tell(new LeaseProtocol.Release(which, _givenBack[which].HandleId, [.. _givenBack[which].ParsedAddresses], []));

    protected override void PreRestart(Exception reason, object message)
    {
        foreach (var follower in _followers)
            Self.Tell(new RegistryProtocol.FollowAddresses(follower));
        base.PreRestart(reason, message);
    }

    protected override void PostRestart(Exception reason)
    {
        Load();
        WantRoutes(Links());
    }

    private ImmutableArray<Workload> VanishedOf(IReadOnlySet<string>? interfaces)
    {
        var suspects = _workloads.Values.Where(w => !w.IsAddressOnly && interfaces?.Contains(w.HostInterface) != false).ToList();
        if (suspects.Count == 0)
            return [];
        using var links = _host.OpenLinks();
        return [.. suspects.Where(w => links.Find(w.HostInterface) is null)];
    }

    private void Load()
    {
        foreach (var workload in _journal.Load((path, cause) => _log.Error("workload journal: {Path} cannot be read: {Cause}", path, cause)))
            Remember(workload);
    }

    private Dictionary<string, int> Links()
    {
        using var links = _host.OpenLinks();
        return links.Dump().ToDictionary(l => l.Name, l => l.Index);
    }

    private void WantRoutes(Dictionary<string, int> links)
    {
        foreach (var workload in _workloads.Values.Where(w => !w.IsFenced))
        {
            if (links.TryGetValue(workload.HostInterface, out var index))
                _routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, RoutesOf(workload, index), []));
        }
        _routes.Tell(new RouteProtocol.SourceComplete(RouteSource.Workloads));
    }

    // The addresses that the kernel routes to workloads, whether the journal knows them or not.
    private List<IpAddr> RoutedTo(Dictionary<string, int> links)
    {
        var ours = links.Where(l => l.Key.StartsWith(_interfacePrefix, StringComparison.Ordinal)).Select(l => l.Value).ToHashSet();
        using var routes = _host.OpenRoutes();
        return [.. routes.Dump(new RouteFilter(Protocol: RouteWriterOptions.BootProtocol))
            .Where(r => r.Key.Destination.IsHost && r.NextHops.Length == 1 && ours.Contains(r.NextHops[0].LinkIndex))
            .Select(r => r.Key.Destination.Address)];
    }

    /// <summary>The host routes of a workload, in Calico's form: scope link, protocol boot, metric 1024.</summary>
    public static ImmutableArray<Route> RoutesOf(Workload workload, int hostIndex) =>
        [.. workload.ParsedAddresses.Select(a => new Route(new RouteKey(Cidr.Host(a), 1024), RouteKind.Unicast,
            RouteWriterOptions.BootProtocol, [new NextHop(null, hostIndex)])
        { Scope = a.IsV4 ? RouteScope.Link : RouteScope.Universe })];

    // Outside Kubernetes the name is the beginning of the container's id, which two containers may share.
    private RegistryProtocol.Admitted Admit(Workload draft)
    {
        if (_workloads.TryGetValue(draft.Attachment, out var known))
            return new RegistryProtocol.Admitted(known, IsKnown: true, null);
        if (_workloads.Values.Any(w => w.HandleId == draft.HandleId))
            draft = draft with { Handle = draft.OwnHandle };
        if (draft.IsAddressOnly)
            return new RegistryProtocol.Admitted(draft, IsKnown: false, null);
        Workload? replaces = null;
        if (_names.TryGetValue(draft.HostInterface, out var holder) && holder != draft.Attachment)
        {
            replaces = _workloads.GetValueOrDefault(holder) is { } other && other.Id == draft.Id ? other : null;
            if (replaces is null)
                draft = draft with { HostInterface = draft.HashedInterface(_interfacePrefix) };
        }
        _names[draft.HostInterface] = draft.Attachment;
        return new RegistryProtocol.Admitted(draft, IsKnown: false, replaces) { IsFurther = SiblingsOf(draft.Attachment).Any(s => !s.IsAddressOnly) };
    }

    private IEnumerable<Workload> SiblingsOf((string Container, string Interface) attachment) =>
        _workloads.Values.Where(w => w.ContainerId == attachment.Container && w.PodInterface != attachment.Interface);

    private void Remember(Workload workload)
    {
        Publish(_workloads.GetValueOrDefault(workload.Attachment), workload);
        _workloads[workload.Attachment] = workload;
        if (!workload.IsAddressOnly)
            _names[workload.HostInterface] = workload.Attachment;
    }

    private void OnFollow(RegistryProtocol.FollowAddresses follow)
    {
        _followers.Add(follow.Subscriber);
        Context.Watch(follow.Subscriber);
        follow.Subscriber.Tell(new RegistryProtocol.AddressesChanged(_addresses.All, [], IsAll: true));
    }

    private void Publish(Workload? before, Workload? after)
    {
        var (added, removed) = _addresses.Change(before, after);
        if (added.IsEmpty && removed.IsEmpty)
            return;
        foreach (var follower in _followers)
            follower.Tell(new RegistryProtocol.AddressesChanged(added, removed, IsAll: false));
    }

    private void OnRecord(RegistryProtocol.Record record)
    {
        var fault = Yield(record.Workload) ?? Try(() => _journal.Put(record.Workload, record.Workload.IsPromise));
        if (fault is null)
            Remember(record.Workload);
        Sender.Tell(new RegistryProtocol.Recorded(fault));
    }

    // A workload whose removal has released its addresses and then failed is still here. IPAM has given one of them to
    // another: when the removal is repeated it must not take the other's route. That has to be on disk before the other is,
    // or a restart would find two of them.
    private string? Yield(Workload to)
    {
        string? fault = null;
        foreach (var holder in _workloads.Values.Where(w => w.Attachment != to.Attachment && w.Addresses.Any(to.Addresses.Contains)).ToList())
        {
            var without = holder with { Addresses = [.. holder.Addresses.Except(to.Addresses)] };
            fault = Try(() => _journal.Put(without)) ?? fault;
            Remember(without);
        }
        return fault;
    }

    private Workload? Fence(Workload asked)
    {
        if (!_workloads.TryGetValue(asked.Attachment, out var known) || known.HandleId != asked.HandleId
            || (known.IsFenced == asked.IsFenced && !_unwritten.Contains(asked.Attachment)))
            return known;
        // What cannot be written is true all the same, and is written when the reconciler asks again.
        var now = known with { IsFenced = asked.IsFenced };
        if (Try(() => _journal.Put(now)) is null)
            _unwritten.Remove(now.Attachment);
        else
            _unwritten.Add(now.Attachment);
        Remember(now);
        if (now.IsFenced)
            _routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, [], [.. RoutesOf(now, 0).Select(r => r.Key)]));
        else if (Links().TryGetValue(now.HostInterface, out var index))
            _routes.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Workloads, RoutesOf(now, index), []));
        return now;
    }

    private void OnForget(RegistryProtocol.Forget forget) =>
        Sender.Tell(new RegistryProtocol.Recorded(Drop(forget.Workload)));

    private string? Drop(Workload workload)
    {
        var fault = Try(() => _journal.Remove(workload));
        Leave(workload);
        return fault;
    }

    private void Leave(Workload workload)
    {
        _unwritten.Remove(workload.Attachment);
        if (_workloads.Remove(workload.Attachment, out var known))
            Publish(known, null);
        foreach (var name in _names.Where(n => n.Value == workload.Attachment).Select(n => n.Key).ToList())
            _names.Remove(name);
    }

    private string? Try(Action write)
    {
        try
        {
            write();
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _log.Error("workload journal: {Cause}", e.Message);
            return e.Message;
        }
    }
}
