using Akka.Actor;
using Akka.TestKit;
using Calico.Actors.Cluster.Owners;
using Calico.Actors.Ipam;
using Calico.Core.Net;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Cluster;

[Layer("actor")]
public class OwnerHostActorTests : ActorFixture
{
    private static readonly Address Here = new("akka.tcp", "calico-mesh", "192.0.2.1", 5473);
    private static readonly Address There = new("akka.tcp", "calico-mesh", "192.0.2.2", 5473);

    private readonly TestProbe _region;
    private readonly IActorRef _host;
    private readonly ManualResetEventSlim _mayStop = new(initialState: true);
    private int _lives;

    public OwnerHostActorTests(ITestOutputHelper output) : base(output)
    {
        _region = CreateTestProbe("region");
        _host = _region.ChildActorOf(OwnerHostActor.Props(name => Props.Create(() => new Owner(name, Interlocked.Increment(ref _lives), _mayStop)), Here, Clock),
            "host", CancellationToken.None);
        Members(Here);
    }

    /// <summary>Says which life of which owner answers; fails at a negative number; wants to stop when its block is given back.</summary>
    private sealed class Owner : ReceiveActor
    {
        private readonly ManualResetEventSlim _mayStop;

        public Owner(string name, int life, ManualResetEventSlim mayStop)
        {
            _mayStop = mayStop;
            Receive<BlockProtocol.ClaimBlock>(c => Sender.Tell(c.RequestId >= 0 ? $"{name} in life {life}: {c.RequestId}" : throw new InvalidOperationException("as told")));
            Receive<BlockProtocol.ReleaseBlock>(_ => Context.Parent.Tell(OwnerProtocol.Passivate.Instance));
        }

        protected override void PostStop() => _mayStop.Wait(TimeSpan.FromSeconds(30));
    }

    private static readonly Cidr One = Cidr.Parse("10.65.0.0/26");
    private static readonly Cidr Six = Cidr.Parse("fd00:65::/122");

    private void Members(params Address[] members) => _host.Tell(new OwnerProtocol.Members(OwnerTable.Of(members)));

    private static BlockProtocol.ClaimBlock Claim(Cidr block, long request) => new(block, "n1", request);

    private Task<string> AskAsync(Cidr block, long request = 0) => _host.Ask<string>(Claim(block, request), TimeSpan.FromSeconds(10));

    private Task UntilAwakeAsync(params Cidr[] blocks) => AwaitAssertAsync(async () =>
    {
        var awake = await _host.Ask<OwnerProtocol.Awake>(OwnerProtocol.GetAwake.Instance, TimeSpan.FromSeconds(10));
        Assert.Equal(blocks.Select(b => b.ToString()), awake.Owners);
    }, TimeSpan.FromSeconds(20));

    [Fact]
    public async Task An_owner_wakes_when_something_is_said_to_it_and_stays()
    {
        Assert.Equal("10.65.0.0/26 in life 1: 1", await AskAsync(One, 1));
        Assert.Equal("fd00:65::/122 in life 2: 2", await AskAsync(Six, 2));
        Assert.Equal("10.65.0.0/26 in life 1: 3", await AskAsync(One, 3));
        await UntilAwakeAsync(One, Six);
    }

    [Fact]
    public async Task One_that_fails_is_followed_by_another()
    {
        await AskAsync(One);
        _host.Tell(Claim(One, -1));
        await UntilAwakeAsync();
        Assert.Equal("10.65.0.0/26 in life 2: 4", await AskAsync(One, 4));
    }

    [Fact]
    public async Task What_is_said_to_one_that_stops_is_routed_again_with_its_sender()
    {
        _mayStop.Reset();
        _host.Tell(new BlockProtocol.ReleaseBlock(One, "n1", 7));
        // It answers after it has asked for its end, which is on its way to the host then.
        Assert.Equal("10.65.0.0/26 in life 1: 1", await AskAsync(One, 1));
        var asker = CreateTestProbe();
        _host.Tell(Claim(One, 2), asker.Ref);
        await UntilAwakeAsync(One);
        _mayStop.Set();
        Assert.Equal(Claim(One, 2), await _region.ExpectMsgAsync<BlockProtocol.ClaimBlock>(TimeSpan.FromSeconds(20)));
        Assert.Equal(asker.Ref, _region.LastSender);
        Assert.Equal("10.65.0.0/26 in life 2: 9", await AskAsync(One, 9));
    }

    [Fact]
    public async Task One_that_nobody_has_spoken_to_for_long_sleeps()
    {
        await AskAsync(One);
        await AskAsync(Six);
        Clock.Advance(OwnerHostActor.IdleTime - TimeSpan.FromSeconds(1));
        await AskAsync(Six);
        Clock.Advance(TimeSpan.FromSeconds(2));
        await UntilAwakeAsync(Six);
    }

    [Fact]
    public async Task One_that_is_another_members_by_now_stops()
    {
        await AskAsync(One);
        Members(There);
        await UntilAwakeAsync();
    }

    // The asker's member has not heard yet who owns it now, or this one has not.
    [Fact]
    public async Task What_is_meant_for_another_member_is_carried_out_all_the_same_and_its_owner_does_not_stay()
    {
        Members(There);
        Assert.Equal("10.65.0.0/26 in life 1: 5", await AskAsync(One, 5));
        await UntilAwakeAsync();
    }
}
