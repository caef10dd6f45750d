using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Dataplane;
using Calico.Actors.Dispatch;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Protocol;
using Calico.Core.Feed;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Nft;
using Calico.Core.Policy;
using Calico.Core.Policy.Distribution;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Render;
using Calico.Kernel.Nft;

namespace Calico.Actors.Policy;

/// <summary>What the node's actors ask of the enforcer of policy. Local.</summary>
public static class EnforcerProtocol
{
    /// <summary>After a start: these workloads are here. Before this and the mesh's news nothing is written.</summary>
    public sealed record AdoptEndpoints(ImmutableArray<LocalEndpoint> Endpoints) : ILocalMessage;

    /// <summary>
    /// A workload is here; answered with <see cref="Enforced"/> when every policy that selects it is in the kernel.
    /// </summary>
    public sealed record SetEndpoint(long RequestId, LocalEndpoint Endpoint) : ILocalMessage;

    /// <summary>A workload is about to be here: have its rules ready. Not answered.</summary>
    public sealed record ExpectEndpoint(LocalEndpoint Endpoint) : ILocalMessage;

    public sealed record RemoveEndpoint(string EndpointId) : ILocalMessage;

    public sealed record Enforced(long RequestId) : ILocalMessage;

    /// <summary>Why an endpoint's policy is not in the kernel yet, for the answer to a runtime.</summary>
    public sealed record WhyNot(string EndpointId) : ILocalMessage;

    public sealed record Because(string Reason) : ILocalMessage;

    /// <summary>
    /// Answered with <see cref="EnforcedUpTo"/> when every resource up to this revision of the datastore is in the kernel,
    /// as far as it concerns this node. May be repeated.
    /// </summary>
    public sealed record TellWhenEnforced(string Id, long Revision) : ILocalMessage;

    public sealed record EnforcedUpTo(string Id, long Revision) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    /// <param name="EnforcedRevision">Everything up to it is in the kernel.</param>
    public sealed record Status(bool InSync, int Endpoints, int Policies, int Profiles, int Sets,
        ImmutableArray<string> Missing, ImmutableArray<string> Errors, long EnforcedRevision = 0) : ILocalMessage;
}

/// <summary>
/// What the node's own actors have said to the enforcer. They say it once, so it outlives the actor: a workload that is
/// being made is in nobody else's memory.
/// </summary>
public sealed class LocalDemands
{
    public bool Adopted { get; set; }
    public Dictionary<string, LocalEndpoint> Endpoints { get; } = [];
    public List<(EnforcerProtocol.SetEndpoint Request, IActorRef ReplyTo)> Waiting { get; } = [];
}

/// <summary>
/// Puts this node's policy into force: feeds the graph from the mesh and from the local workloads, renders what it
/// wants and has the nftables writer commit it. Child of the node's guardian. Writes nothing until it knows both the
/// local workloads and every policy there is, so that a restart never loosens anything; after that it goes on with what
/// it knows whatever happens to the mesh. Its death makes upstream tell it everything again.
/// </summary>
public sealed class EnforcerActor : ReceiveActor
{
    private sealed class Flush : ITick
    {
        public static readonly Flush Instance = new();
    }

    private readonly IActorRef _upstream;
    private readonly IActorRef _registry;
    private readonly IActorRef _writer;
    private readonly RenderInputs _networks;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly NodePolicyGraph _graph = new();
    private readonly PolicyReceiver _receiver;
    private readonly PolicyRenderer _renderer;
    private readonly LocalDemands _local;
    private readonly SortedDictionary<long, List<(EnforcerProtocol.SetEndpoint Request, IActorRef ReplyTo)>> _committing = [];
    private ImmutableArray<MeshMember> _members = [];
    private readonly EnforcedRevisions _revisions = new();
    private bool _started;
    private bool _flushing;
    private long _lastCommit;

    /// <param name="upstream">What the mesh says.</param>
    /// <param name="registry">Who knows the local workloads.</param>
    /// <param name="open">Opens an nftables table of the node's namespace.</param>
    /// <param name="options">Options of the rules as the environment gives them.</param>
    public static Props Props(IActorRef upstream, IActorRef registry, Func<NftTable, INftTable> open, RenderOptions options)
    {
        var local = new LocalDemands();
        return Akka.Actor.Props.Create(() => new EnforcerActor(upstream, registry, open, options, local));
    }

    public EnforcerActor(IActorRef upstream, IActorRef registry, Func<NftTable, INftTable> open, RenderOptions options, LocalDemands local)
    {
        _local = local;
        _upstream = upstream;
        _registry = registry;
        _writer = Context.ActorOf(NftWriterActor.Props(open).WithDispatcher(DispatcherNames.KernelWriter), "nft");
        _receiver = new PolicyReceiver(_graph, PolicyJson.Decode);
        _networks = new RenderInputs(options);
        _renderer = new PolicyRenderer(options);
        _graph.UpdateProfile(DefaultAllow());
        foreach (var endpoint in local.Endpoints.Values)
            _graph.UpdateEndpoint(endpoint);

        Receive<UpstreamProtocol.ResourcesChanged>(OnResources);
        Receive<UpstreamProtocol.PoliciesChanged>(OnPolicies);
        Receive<UpstreamProtocol.MembersChanged>(OnMembers);
        Receive<EnforcerProtocol.AdoptEndpoints>(OnAdopt);
        Receive<EnforcerProtocol.SetEndpoint>(OnSetEndpoint);
        Receive<EnforcerProtocol.ExpectEndpoint>(e => Update(e.Endpoint));
        Receive<EnforcerProtocol.RemoveEndpoint>(OnRemoveEndpoint);
        Receive<EnforcerProtocol.WhyNot>(w => Sender.Tell(new EnforcerProtocol.Because(WhyNot(w.EndpointId))));
        Receive<EnforcerProtocol.TellWhenEnforced>(t => Tell(_revisions.Await(t.Id, t.Revision, Sender)));
        Receive<EnforcerProtocol.GetStatus>(_ => Sender.Tell(Status()));
        Receive<NftProtocol.GetStatus>(g => _writer.Forward(g));
        Receive<NftProtocol.Committed>(OnCommitted);
        Receive<NftProtocol.Refused>(r => _log.Warning("policy: commit {Commit} refused: {Reason}", r.RequestId, r.Reason));
        Receive<Flush>(_ => OnFlush());
    }

    protected override void PreStart()
    {
        _upstream.Tell(new UpstreamProtocol.Subscribe(Self));
        if (!_local.Adopted)
            _registry.Tell(new RegistryProtocol.TellEndpoints());
    }

    // Whether the kernel has the rules is for the successor to find out.
    protected override void PreRestart(Exception reason, object message)
    {
        _local.Waiting.AddRange(_committing.Values.SelectMany(w => w));
        base.PreRestart(reason, message);
    }

    // The writer's first change is the whole state: one without the other would be wrong, so they fall together.
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Escalate);

    // ---- what the mesh says ------------------------------------------------------------------------------------

    private void OnResources(UpstreamProtocol.ResourcesChanged changed)
    {
        foreach (var item in changed.Items)
        {
            if (!ResourceKey.TryParse(item.Key, out var key))
                continue;
            _revisions.Seen(item.Revision);
            if (key.Kind == ResourceKind.NetworkPolicy || key.Kind == ResourceKind.GlobalNetworkPolicy || key.Kind == ResourceKind.Profile)
                _receiver.ResourceIs(item.Key, item.Value is null ? null : item.Revision);
            else if (key.Kind == ResourceKind.Tier)
                TakeTier(key.Name, item);
            else
                _networks.Take(key, item.Value);
        }
        _networks.Flush(_renderer);
        if (changed.InSync)
            _receiver.ResourcesInSync();
        Schedule();
    }

    private void TakeTier(string name, FeedItem item)
    {
        if (item.Value is not { } value)
        {
            _graph.RemoveTier(name);
            return;
        }
        try
        {
            var tier = (Tier)ResourceCodec.Decode(ResourceKind.Tier, value.Span);
            _graph.UpdateTier(new TierState(name, tier.Spec.Order, tier.Spec.DefaultAction?.ToString() == "Pass"));
        }
        catch (InvalidResourceException e)
        {
            _log.Error("tier {Tier} cannot be read and stays as it was: {Cause}", name, e.Message);
        }
    }

    private void OnPolicies(UpstreamProtocol.PoliciesChanged changed)
    {
        _receiver.Apply(changed.Member, changed.Items);
        Schedule();
    }

    private void OnMembers(UpstreamProtocol.MembersChanged changed)
    {
        foreach (var gone in _members.Where(m => changed.Members.All(n => n.Address != m.Address)))
            _receiver.MemberGone(gone.Address);
        _members = changed.Members;
        Schedule();
    }

    // ---- what is local -----------------------------------------------------------------------------------------

    private void OnAdopt(EnforcerProtocol.AdoptEndpoints adopt)
    {
        foreach (var endpoint in adopt.Endpoints)
            Update(endpoint);
        _local.Adopted = true;
        Schedule();
    }

    private void Update(LocalEndpoint endpoint)
    {
        _local.Endpoints[endpoint.Id] = endpoint;
        _graph.UpdateEndpoint(endpoint);
        Schedule();
    }

    private void OnSetEndpoint(EnforcerProtocol.SetEndpoint set)
    {
        _local.Waiting.Add((set, Sender));
        Update(set.Endpoint);
    }

    private void OnRemoveEndpoint(EnforcerProtocol.RemoveEndpoint remove)
    {
        _local.Endpoints.Remove(remove.EndpointId);
        _graph.RemoveEndpoint(remove.EndpointId);
        _local.Waiting.RemoveAll(w => w.Request.Endpoint.Id == remove.EndpointId);
        Schedule();
    }

    // ---- into the kernel ---------------------------------------------------------------------------------------

    private void Schedule()
    {
        if (_flushing)
            return;
        _flushing = true;
        Self.Tell(Flush.Instance);
    }

    private void OnFlush()
    {
        _flushing = false;
        _receiver.Settle();
        _started |= _local.Adopted && _receiver.InSync;
        if (!_started)
            return;
        _renderer.Apply(_graph.Flush());
        var changes = _renderer.Flush();
        var ready = _local.Waiting.Where(w => _receiver.InSync && _graph.Readiness(w.Request.Endpoint.Id).IsReady).ToList();
        if (changes.IsEmpty && ready.Count == 0)
        {
            Tell(_revisions.Sent(_lastCommit, _receiver.InSync && _graph.HasAllSets));
            return;
        }
        _local.Waiting.RemoveAll(ready.Contains);
        _committing[++_lastCommit] = ready;
        _writer.Tell(new NftProtocol.Change(_lastCommit, changes));
        Tell(_revisions.Sent(_lastCommit, _receiver.InSync && _graph.HasAllSets));
    }

    private void OnCommitted(NftProtocol.Committed committed)
    {
        foreach (var (commit, waiting) in _committing.TakeWhile(c => c.Key <= committed.RequestId).ToList())
        {
            foreach (var (request, replyTo) in waiting)
                replyTo.Tell(new EnforcerProtocol.Enforced(request.RequestId));
            _committing.Remove(commit);
        }
        Tell(_revisions.Committed(committed.RequestId));
    }

    private static void Tell(IEnumerable<(IActorRef Asker, EnforcerProtocol.EnforcedUpTo Answer)> answers)
    {
        foreach (var (asker, answer) in answers)
            asker.Tell(answer);
    }

    private string WhyNot(string endpointId)
    {
        if (!_local.Adopted)
            return "the node's workloads have not been taken over yet";
        if (!_receiver.InSync)
        {
            var missing = _receiver.Missing.Take(3).Select(m => m.Key).ToList();
            return missing.Count == 0
                ? "the node has not heard from the mesh yet which policies there are"
                : $"policies have not arrived in compiled form: {string.Join(", ", missing)}";
        }
        var readiness = _graph.Readiness(endpointId);
        return readiness.IsReady
            ? "the kernel has not confirmed the rules"
            : $"members of {readiness.MissingSets.Length} sets have not arrived";
    }

    private EnforcerProtocol.Status Status() => new(_receiver.InSync, _graph.Endpoints.Count, _graph.ActivePolicies.Count(),
        _graph.ActiveProfiles.Count(), _graph.ActiveSets.Count(), [.. _receiver.Missing.Select(m => m.Key)],
        [.. _receiver.Errors.Select(e => $"{e.ResourceKey}: {e.Error}")], _revisions.Enforced);

    private static CompiledProfile DefaultAllow() =>
        PolicyCompiler.TryCompile(Profile.AllowEverything, 1, out var compiled, out var error)
            ? compiled
            : throw new InvalidOperationException(error);
}
