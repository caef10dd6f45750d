using System.Collections.Immutable;
using System.Text;
using System.Text.Json.Nodes;
using Akka.Actor;
using Calico.Actors.Cni;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Ipam;
using Calico.Core.Cni;
using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Tests.Datastore;
using Microsoft.Win32.SafeHandles;
using Prometheus;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Cni;

/// <summary>
/// The handler of the runtime's calls with the real registry, facts and writer of links, on a machine without a kernel. The
/// lease gives addresses of 10.65.0.0/16 by handle, as the real one does, and answers when the test lets it.
/// </summary>
public abstract class CniFixture : NodeActorFixture
{
    private readonly TemporaryDirectory _folder = new();
    private readonly Akka.TestKit.TestProbe _upstream;
    private long _revision;

    protected CniFixture(ITestOutputHelper output)
        : base(output)
    {
        var routes = CreateTestProbe("routes");
        _upstream = CreateTestProbe("upstream");
        var lease = Sys.ActorOf(Akka.Actor.Props.Create(() => new LeaseActor(Lease)), "lease");
        Registry = Sys.ActorOf(RegistryActor.Props(JournalFolder, "cali", Host, routes, lease), "registry");
        Facts = Sys.ActorOf(FactsActor.Props("node-1", _upstream), "facts");
        Services = new CniServices("node-1", lease, Sys.ActorOf(LinkWriterActor.Props(Host), "links"), routes, CreateTestProbe("enforcer"), Registry, Facts, TimeProvider.System)
        {
            PendingDeletes = Directory.CreateDirectory(Path.Combine(_folder.Path, "pending")).FullName,
            Report = what => Note(what, null),
        };
        Handler = HandlerOf(Services);
        Tell(new IPPool { Metadata = new ObjectMeta { Name = "pool" }, Spec = new IPPoolSpec { Cidr = "10.65.0.0/16" } });
        Tell(new IPPool { Metadata = new ObjectMeta { Name = "pool6" }, Spec = new IPPoolSpec { Cidr = "fd00:65::/48" } });
    }

    protected LeaseScript Lease { get; } = new();
    protected IActorRef Registry { get; }
    protected IActorRef Facts { get; }
    protected CniServices Services { get; }
    protected CniHandler Handler { get; }
    protected string JournalFolder => Path.Combine(_folder.Path, "workloads");

    /// <summary>What was reported to a person.</summary>
    protected List<string> Reports { get; } = [];

    protected void Note(string what, Exception? cause)
    {
        lock (Reports)
            Reports.Add(cause is null ? what : $"{what}: {cause.Message}");
    }

    protected int Reported(string text)
    {
        lock (Reports)
            return Reports.Count(r => r.Contains(text, StringComparison.Ordinal));
    }

    protected override void AfterAll()
    {
        base.AfterAll();
        _folder.Dispose();
    }

    /// <summary>The mesh tells of a resource.</summary>
    protected void Tell(Resource resource) => Facts.Tell(new UpstreamProtocol.ResourcesChanged(
        [new FeedItem(resource.Key.Path, ResourceCodec.Encode(resource), ++_revision)], true, _revision));

    protected static CniRequest Request(CniCommand command, string container = "cid-1", string interfaceName = "eth0", string args = "", string more = "",
        string ipam = "{\"type\": \"calico-ipam\"}", string network = "net") => new(command, CniPlugin.Ipam)
        {
            ContainerId = container,
            InterfaceName = interfaceName,
            Args = args,
            Config = Encoding.UTF8.GetBytes($$"""{"cniVersion": "1.1.0", "name": "{{network}}", "type": "calico", "ipam": {{ipam}}{{more}}}"""),
        };

    /// <summary>A call of <c>calico-ipam</c>, which needs no pod; or one of <c>calico</c> for the pod that a descriptor is of.</summary>
    protected Task<CniReply> CallAsync(CniRequest request) => CallAsync(Handler, request, null, CancellationToken.None);

    protected static async Task<CniReply> CallAsync(CniHandler handler, CniRequest request, SafeFileHandle? netns, CancellationToken cancellation)
    {
        CniReply? reply = null;
        await handler.HandleAsync(new CniCall(request, netns, r =>
        {
            reply = r;
            return Task.FromResult(true);
        }), cancellation);
        return reply!;
    }

    protected static CniHandler HandlerOf(CniServices services) => new(services, new CniMetrics(Metrics.WithCustomRegistry(Metrics.NewCustomRegistry())));

    protected async Task<string[]> AddAsync(CniRequest request)
    {
        var reply = await CallAsync(request);
        var text = Encoding.UTF8.GetString(reply.Output.Span);
        Assert.True(reply.ExitCode == 0, text);
        return [.. JsonNode.Parse(text)!["ips"]!.AsArray().Select(i => Cidr.Parse(i!["address"]!.GetValue<string>()).Address.ToString())];
    }

    protected async Task<(int Code, string Message)> FailAsync(CniRequest request) => ErrorOf(await CallAsync(request));

    protected static (int Code, string Message) ErrorOf(CniReply reply)
    {
        var json = JsonNode.Parse(reply.Output.Span.IsEmpty ? "{}"u8 : reply.Output.Span)!;
        return (json["code"]?.GetValue<int>() ?? 0, json["msg"]?.GetValue<string>() ?? "");
    }

    protected async Task<ImmutableArray<Workload>> WorkloadsAsync() =>
        (await Registry.Ask<RegistryProtocol.All>(new RegistryProtocol.GetAll(), Patience)).Workloads;

    protected Task RecordAsync(Workload workload) => Registry.Ask<RegistryProtocol.Recorded>(new RegistryProtocol.Record(workload), Patience);

    /// <summary>What the lease has given and what it is to do; the actor and the test both read and write it.</summary>
    protected sealed class LeaseScript
    {
        private readonly List<Action> _held = [];
        private bool _isHolding;
        private int _last;

        /// <summary>Handles and what they have.</summary>
        public Dictionary<string, ImmutableArray<IpAddr>> Given { get; } = [];

        /// <summary>Handles whose release is refused.</summary>
        public HashSet<string> Refused { get; } = [];

        public int Waiting
        {
            get
            {
                lock (this)
                    return _held.Count;
            }
        }

        public string[] Handles
        {
            get
            {
                lock (this)
                    return [.. Given.Keys.Order(StringComparer.Ordinal)];
            }
        }

        /// <summary>Releases wait from now on, as while the blocks are being read.</summary>
        public void Hold() => _isHolding = true;

        public void GoOn()
        {
            lock (this)
            {
                _isHolding = false;
                _held.ForEach(h => h());
                _held.Clear();
            }
        }

        public ImmutableArray<IpAddr> Allocate(AllocationRequest request)
        {
            lock (this)
            {
                if (!Given.TryGetValue(request.HandleId, out var had))
                    Given[request.HandleId] = had = [.. request.Families.Select(f => request.WantedOf(f) ?? IpAddr.Parse(f == IpVersion.V4 ? $"10.65.0.{++_last}" : $"fd00:65::{++_last}"))];
                return had;
            }
        }

        public void Release(LeaseProtocol.Release release, IActorRef replyTo)
        {
            lock (this)
            {
                if (_isHolding)
                    _held.Add(() => Answer(release, replyTo));
                else
                    Answer(release, replyTo);
            }
        }

        private void Answer(LeaseProtocol.Release release, IActorRef replyTo) => replyTo.Tell(Refused.Contains(release.HandleId)
            ? new LeaseProtocol.NotReleased(release.RequestId, "the datastore is away")
            : new LeaseProtocol.Released(release.RequestId, Given.Remove(release.HandleId, out var had) ? had : []));
    }

    private sealed class LeaseActor : ReceiveActor
    {
        public LeaseActor(LeaseScript script)
        {
            Receive<LeaseProtocol.Allocate>(a => Sender.Tell(new LeaseProtocol.Allocated(a.RequestId, script.Allocate(a.Request))));
            Receive<LeaseProtocol.Release>(r => script.Release(r, Sender));
            Receive<LeaseProtocol.GetStatus>(_ => Sender.Tell(new LeaseProtocol.Status(true, [], 0, 0, null)));
            Receive<LeaseProtocol.ReleaseAllBut>(_ => { });
        }
    }
}
