using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Gateway;
using Calico.Actors.Policy;
using Calico.Core.Feed;
using Calico.Core.Policy.Distribution;
using Calico.Datastore;
using Calico.Tests.Datastore;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Policy;

[Layer("actor")]
public sealed class EnforcementReporterActorTests : NodeActorFixture
{
    private readonly InMemoryDatastore _datastore = new();
    private readonly TestProbe _upstream;
    private readonly TestProbe _enforcer;
    private readonly IActorRef _reporter;

    public EnforcementReporterActorTests(ITestOutputHelper output)
        : base(output)
    {
        _upstream = CreateTestProbe("upstream");
        _enforcer = CreateTestProbe("enforcer");
        _reporter = Sys.ActorOf(EnforcementReporterActor.Props("node1", _datastore, _upstream, _enforcer));
    }

    [Fact]
    public async Task A_request_is_answered_once_the_enforcer_has_it()
    {
        await _upstream.ExpectMsgAsync<UpstreamProtocol.Subscribe>(Patience);

        Hear(new FeedItem(EnforcementKeys.Request("abc"), EnforcementKeys.Write(7), 8));
        var asked = await _enforcer.ExpectMsgAsync<EnforcerProtocol.TellWhenEnforced>(Patience);
        _reporter.Tell(new EnforcerProtocol.EnforcedUpTo("abc", 9));

        Assert.Equal(("abc", 7), (asked.Id, asked.Revision));
        await AwaitAssertAsync(() => Assert.Contains(EnforcementKeys.Answer("abc", "node1"), _datastore.Keys), Patience);
        Assert.True(EnforcementKeys.TryRead((await _datastore.GetAsync(EnforcementKeys.Answer("abc", "node1")))!.Value, out var revision));
        Assert.Equal(9, revision);
    }

    [Fact]
    public async Task What_is_no_request_and_what_is_withdrawn_is_not_answered()
    {
        Hear(new FeedItem(EnforcementKeys.Request("../x"), EnforcementKeys.Write(7), 8),
            new FeedItem(EnforcementKeys.Request("none"), "nonsense"u8.ToArray(), 8),
            new FeedItem("/calico/resources/v3/projectcalico.org/ippools/a", "{}"u8.ToArray(), 8));
        Hear(new FeedItem(EnforcementKeys.Request("gone"), EnforcementKeys.Write(7), 8));
        await _enforcer.ExpectMsgAsync<EnforcerProtocol.TellWhenEnforced>(Patience);
        Hear(new FeedItem(EnforcementKeys.Request("gone"), null, 9));
        _reporter.Tell(new EnforcerProtocol.EnforcedUpTo("gone", 9));
        Hear(new FeedItem(EnforcementKeys.Request("last"), EnforcementKeys.Write(7), 10));

        Assert.Equal("last", (await _enforcer.ExpectMsgAsync<EnforcerProtocol.TellWhenEnforced>(Patience)).Id);
        Assert.Empty(_datastore.Keys);
    }

    private void Hear(params FeedItem[] items) => _reporter.Tell(new UpstreamProtocol.ResourcesChanged([.. items], InSync: true, 10));
}
