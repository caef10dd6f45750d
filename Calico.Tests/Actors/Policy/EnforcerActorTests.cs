using System.Text;
using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Dataplane;
using Calico.Actors.Endpoints;
using Calico.Actors.Gateway;
using Calico.Actors.Policy;
using Calico.Core.Feed;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy;
using Calico.Core.Policy.Distribution;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Render;
using Calico.Kernel;
using Calico.Kernel.Nft;
using Calico.Tests.Core.Policy;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Policy;

[Layer("actor")]
public sealed class EnforcerActorTests : NodeActorFixture
{
    private const string PolicyPrefix = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/";

    private static readonly LocalEndpoint Web = PolicyItems.Workload("web", "10.9.0.1", ("app", "web")).Endpoint with { Profiles = [] };
    private static readonly LocalEndpoint Db = PolicyItems.Workload("db", "10.9.0.2", ("app", "db")).Endpoint with { Profiles = [] };

    private readonly FakeNftKernel _kernel = new();
    private readonly TestProbe _upstream;
    private readonly TestProbe _registry;
    private readonly IActorRef _enforcer;
    private volatile Action? _committing;
    private volatile bool _unreadable;
    private long _lastRequest;

    public EnforcerActorTests(ITestOutputHelper output)
        : base(output)
    {
        _upstream = CreateTestProbe("upstream");
        _registry = CreateTestProbe("registry");
        _enforcer = Sys.ActorOf(EnforcerActor.Props(_upstream, _registry, Open, new RenderOptions()));
    }

    [Fact]
    public async Task Nothing_is_written_before_the_workloads_and_every_policy_are_known()
    {
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));
        Assert.Equal(0, (await Writes()).Writes);
        Adopt(Web);
        await Enforced(Web);

        Assert.True(Passes(Web));
    }

    [Fact]
    public async Task A_policy_that_has_not_arrived_keeps_everything_as_it_is_and_says_so()
    {
        Adopt(Web);
        Resources(inSync: true, "allow");
        var request = Set(Web);

        Assert.Contains("globalnetworkpolicies/allow", await Why(Web), StringComparison.Ordinal);
        Assert.Equal(0, (await Writes()).Writes);

        Policies(Compiled("allow", "app == 'web'"));
        Assert.Equal(request, (await ExpectMsgAsync<EnforcerProtocol.Enforced>(Patience)).RequestId);
        Assert.True(Passes(Web));
    }

    [Fact]
    public async Task Who_waits_for_a_revision_is_told_when_its_policy_is_in_the_kernel()
    {
        await Started(Web);
        using var go = new ManualResetEventSlim();
        _enforcer.Tell(new UpstreamProtocol.ResourcesChanged([new FeedItem(PolicyPrefix + "late", "{}"u8.ToArray(), 40)], InSync: true, 40));
        _enforcer.Tell(new EnforcerProtocol.TellWhenEnforced("me", 40), TestActor);
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));

        _committing = go.Wait;
        Policies(Compiled("late", "app == 'web'", revision: 40));
        await ExpectNoMsgAsync(TimeSpan.FromMilliseconds(200));
        go.Set();

        Assert.Equal(("me", 40), (await ExpectMsgAsync<EnforcerProtocol.EnforcedUpTo>(Patience)) is var told ? (told.Id, told.Revision) : default);
        _enforcer.Tell(new EnforcerProtocol.TellWhenEnforced("later", 39), TestActor);
        await ExpectMsgAsync<EnforcerProtocol.EnforcedUpTo>(Patience);
    }

    [Fact]
    public async Task An_endpoint_is_enforced_only_when_the_kernel_has_its_rules()
    {
        await Started();
        using var busy = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        _committing = () =>
        {
            busy.Set();
            go.Wait();
        };

        Set(Web);
        busy.Wait();
        // It has been told nothing, though it answers.
        Assert.Equal("the kernel has not confirmed the rules", await Why(Web));
        Assert.False(HasMessages);

        _committing = null;
        go.Set();
        await ExpectMsgAsync<EnforcerProtocol.Enforced>(Patience);
        Assert.True(Passes(Web));
    }

    [Fact]
    public async Task A_write_that_fails_is_tried_again_before_the_endpoint_counts_as_enforced()
    {
        await Started();
        _kernel.FailNextCommit(Errno.ENOMEM);
        var request = Set(Web);

        Assert.Equal(request, (await ExpectMsgAsync<EnforcerProtocol.Enforced>(Patience)).RequestId);

        Assert.True(Passes(Web));
        Assert.Null((await Writes()).Fault);
    }

    public static TheoryData<string> Undecodable { get; } =
    [
        "", "null", "{", "{}", "[]",
        """{"resourceKey":null,"revision":1}""",
        """{"resourceKey":"KEY","revision":1,"policy":{"revision":1}}""",
        OfPolicy(""" "selector":null """),
        OfPolicy(""" "selector":"((" """),
        OfPolicy(""" "selector":"all()","ingress":null """),
        OfPolicy(""" "selector":"all()","ingress":[null] """),
        OfPolicy(""" "selector":"all()","ingress":[{"action":"Allow","source":{"sets":[null]}}] """),
        OfPolicy(""" "selector":"all()","sets":[{}] """),
        OfPolicy(""" "selector":"all()","key":{} """),
    ];

    [Theory]
    [MemberData(nameof(Undecodable))]
    public async Task An_entry_that_cannot_be_decoded_stops_the_enforcement_of_no_other(string json)
    {
        await Started(Web);
        Assert.True(Passes(Web));
        Policies(Bad(json));
        Policies(new FeedItem("set/s:1/1/0", new byte[] { 1, 2, 3 }, 2), new FeedItem("set/s:1", Encoding.UTF8.GetBytes("many"), 2));

        Policies(Compiled("allow", "app == 'web'", action: "Deny", revision: 2));

        await Eventually(async () =>
        {
            await Writes();
            Assert.False(Passes(Web));
        });
        Assert.Single(await Errors(), e => e.Contains("bad", StringComparison.Ordinal));
        // It did not fail on the way.
        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        await _upstream.ExpectNoMsgAsync(TimeSpan.Zero);
    }

    [Theory]
    [MemberData(nameof(Undecodable))]
    public async Task A_policy_whose_entry_cannot_be_decoded_lets_no_new_endpoint_count_as_enforced(string json)
    {
        await Started();
        Resources(inSync: true, "allow", "bad");
        Policies(Bad(json));
        Set(Web);
        Assert.Contains("bad", await Why(Web), StringComparison.Ordinal);
        Assert.False(HasMessages);

        Policies(Compiled("bad", "app == 'web'", action: "Deny"));

        await ExpectMsgAsync<EnforcerProtocol.Enforced>(Patience);
    }

    [Fact]
    public async Task An_endpoint_that_is_removed_passes_nothing_and_nobody_waits_for_it()
    {
        await Started(Web);
        Assert.True(Passes(Web));

        _enforcer.Tell(new EnforcerProtocol.RemoveEndpoint(Web.Id));
        await Enforced(Db);

        Assert.False(Passes(Web));
    }

    [Fact]
    public async Task After_a_restart_it_subscribes_again_and_writes_nothing_that_is_there()
    {
        await Started(Web);
        var generation = _kernel.Generation;
        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);

        Crash(_enforcer);
        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));
        await Enforced(Web);

        Assert.True(Passes(Web));
        Assert.Equal(generation, _kernel.Generation);
    }

    [Fact]
    public async Task An_endpoint_that_nobody_has_recorded_yet_keeps_its_rules_over_a_restart()
    {
        await Started();
        await Enforced(Web);

        Crash(_enforcer);
        // All that the registry has to say: no workload was recorded.
        Adopt();
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));
        await Enforced(Db);

        Assert.True(Passes(Web));
    }

    [Fact]
    public async Task Who_waits_for_an_endpoint_is_answered_although_the_enforcer_starts_again()
    {
        Adopt();
        var request = Set(Web);

        Crash(_enforcer);
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));

        Assert.Equal(request, (await ExpectMsgAsync<EnforcerProtocol.Enforced>(Patience)).RequestId);
        Assert.True(Passes(Web));
    }

    [Fact]
    public async Task A_table_that_cannot_be_read_is_read_again_by_the_successor()
    {
        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        _unreadable = true;
        Adopt(Web);
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));

        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);
        _unreadable = false;
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));

        await Enforced(Web);
        Assert.True(Passes(Web));
    }

    private static string OfPolicy(string fields) => $$$"""
        {"resourceKey":"KEY","revision":1,"policy":
            {"key":{"kind":"GlobalNetworkPolicy","namespace":"","name":"bad"},"revision":1,"selectorId":"s",{{{fields}}}}}
        """;

    private static FeedItem Bad(string json) => new(PolicyEntry.KeyOf(PolicyPrefix + "bad"),
        Encoding.UTF8.GetBytes(json.Replace("KEY", PolicyPrefix + "bad", StringComparison.Ordinal)), 2);

    private async Task Started(params LocalEndpoint[] endpoints)
    {
        Adopt(endpoints);
        Resources(inSync: true, "allow");
        Policies(Compiled("allow", "app == 'web'"));
        await Enforced(Db);
    }

    private void Adopt(params LocalEndpoint[] endpoints) => _enforcer.Tell(new EnforcerProtocol.AdoptEndpoints([.. endpoints]));

    private long Set(LocalEndpoint endpoint)
    {
        _enforcer.Tell(new EnforcerProtocol.SetEndpoint(++_lastRequest, endpoint), TestActor);
        return _lastRequest;
    }

    private async Task Enforced(LocalEndpoint endpoint)
    {
        var request = Set(endpoint);
        Assert.Equal(request, (await ExpectMsgAsync<EnforcerProtocol.Enforced>(Patience)).RequestId);
    }

    private void Resources(bool inSync, params string[] policies) => _enforcer.Tell(new UpstreamProtocol.ResourcesChanged(
        [.. policies.Select(p => new FeedItem(PolicyPrefix + p, Encoding.UTF8.GetBytes("{}"), 1))], inSync, 1));

    private void Policies(params FeedItem[] entries) => _enforcer.Tell(new UpstreamProtocol.PoliciesChanged("b", [.. entries], InSync: true));

    private static FeedItem Compiled(string name, string selector, string action = "Allow", long revision = 1)
    {
        var policy = PolicyItems.Global(name, selector, ingress: $$"""{"action":"{{action}}"}""") with { Revision = revision };
        var entry = new PolicyEntry(PolicyPrefix + name, revision, policy, null, null);
        return new FeedItem(PolicyEntry.KeyOf(entry.ResourceKey), PolicyJson.Encode(entry), revision);
    }

    private async Task<string> Why(LocalEndpoint endpoint) =>
        (await _enforcer.Ask<EnforcerProtocol.Because>(new EnforcerProtocol.WhyNot(endpoint.Id), Patience)).Reason;

    private async Task<IEnumerable<string>> Errors() =>
        (await _enforcer.Ask<EnforcerProtocol.Status>(new EnforcerProtocol.GetStatus(), Patience)).Errors;

    // Answered by the writer, after everything that the enforcer has told it before.
    private Task<NftProtocol.Status> Writes() => _enforcer.Ask<NftProtocol.Status>(new NftProtocol.GetStatus(), Patience);

    /// <summary>Whether a connection from outside reaches the endpoint by what the kernel has.</summary>
    private bool Passes(LocalEndpoint endpoint) => new FakeNftTable(new NftTable(NftFamily.Ip, "calico"), _kernel)
        .Walk(NftHook.Forward, PolicyWorld.PacketOf(PolicyItems.Tcp("192.0.2.9", endpoint.Addresses[0].ToString(), 80)) with
        {
            InInterface = "eth0",
            OutInterface = endpoint.InterfaceName,
            CtState = NftCtState.New,
        }).Accepted;

    private ObservedTable Open(NftTable table) => new(this, new FakeNftTable(table, _kernel));

    /// <summary>A fake table whose commits can be held up and whose dumps can fail.</summary>
    private sealed class ObservedTable(EnforcerActorTests test, FakeNftTable table) : INftTable
    {
        public NftTable Table => table.Table;
        public long WriteCount => table.WriteCount;
        public uint Generation() => table.Generation();
        public void Dispose() => table.Dispose();

        public NftDump Dump() => test._unreadable ? throw new KernelException(Errno.ENOMEM, "dump nft table", $"{Table}") : table.Dump();

        public NftCommitted Commit(NftTransaction transaction)
        {
            test._committing?.Invoke();
            return table.Commit(transaction);
        }
    }
}
