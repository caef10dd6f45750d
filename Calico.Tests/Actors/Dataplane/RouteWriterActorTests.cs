using System.Collections.Immutable;
using Akka.Actor;
using Calico.Actors.Dataplane;
using Calico.Actors.Dispatch;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Routes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors.Dataplane;

[Layer("actor")]
public sealed class RouteWriterActorTests(ITestOutputHelper output) : NodeActorFixture(output)
{
    private const byte Static = 4;

    private long _lastRequest;

    [Fact]
    public async Task A_wanted_route_is_written_once()
    {
        var writer = Start();

        await Want(writer, Learned("10.1.0.0/24"));
        await Want(writer, Learned("10.1.0.0/24"));
        await Want(writer, Learned("10.2.0.0/24"));

        Assert.Equal(Learned("10.1.0.0/24"), InKernel("10.1.0.0/24"));
        Assert.Equal(2, (await Status(writer)).Writes);
    }

    [Fact]
    public async Task A_route_of_ours_that_is_there_is_adopted_without_writing()
    {
        Put(Learned("10.1.0.0/24"));
        var pod = AddLink("cali1");
        Put(Pod("10.9.0.1", pod));
        var writer = Start();

        await Want(writer, Learned("10.1.0.0/24"));
        await Want(writer, RouteSource.Workloads, Pod("10.9.0.1", pod));

        var status = await Status(writer);
        Assert.Equal((2, 2, 0L), (status.Wanted, status.Present, status.Writes));
    }

    [Fact]
    public async Task An_adopted_route_that_is_wanted_otherwise_is_replaced()
    {
        Put(Learned("10.1.0.0/24", "192.0.2.2"));
        var writer = Start();

        await Want(writer, Learned("10.1.0.0/24", "192.0.2.3"));

        Assert.Equal(Learned("10.1.0.0/24", "192.0.2.3"), InKernel("10.1.0.0/24"));
        Assert.Equal(1, (await Status(writer)).Writes);
    }

    [Fact]
    public async Task A_stale_route_goes_only_after_every_source_has_said_everything()
    {
        Put(Learned("10.1.0.0/24"));
        Put(Pod("10.9.0.1", AddLink("cali1")));
        var writer = Start();

        Complete(writer, RouteSource.Bgp);
        Complete(writer, RouteSource.Blocks);
        Complete(writer, RouteSource.Peers);
        await Want(writer, Learned("10.2.0.0/24"));
        Assert.NotNull(InKernel("10.1.0.0/24"));
        Assert.NotNull(InKernel("10.9.0.1/32"));

        Complete(writer, RouteSource.Workloads);
        await Eventually(() => Assert.Null(InKernel("10.1.0.0/24")));
        Assert.Null(InKernel("10.9.0.1/32"));
        Assert.NotNull(InKernel("10.2.0.0/24"));
    }

    [Fact]
    public async Task A_route_that_was_learned_here_and_lost_again_goes_at_once_however_long_others_take()
    {
        Put(Learned("10.1.0.0/24"));
        var writer = Start();

        await Want(writer, Learned("10.1.0.0/24"), Learned("10.2.0.0/24"));
        await Unwant(writer, Learned("10.1.0.0/24").Key, Learned("10.2.0.0/24").Key);
        Assert.Null(InKernel("10.2.0.0/24"));
        // It outlived a restart, and another source or peer may still tell it.
        Assert.NotNull(InKernel("10.1.0.0/24"));

        CompleteAll(writer);
        await Eventually(() => Assert.Null(InKernel("10.1.0.0/24")));
    }

    [Fact]
    public async Task What_was_learned_here_is_told_from_what_was_there_also_after_events_were_lost()
    {
        Put(Learned("10.1.0.0/24"));
        var writer = Start();
        await Want(writer, Learned("10.2.0.0/24"));

        Put(Learned("10.3.0.0/24"));
        Host.LoseEvents();
        await Eventually(async () => Assert.Equal(3, (await Status(writer)).Present));
        await Unwant(writer, Learned("10.2.0.0/24").Key);

        Assert.Null(InKernel("10.2.0.0/24"));
        Assert.NotNull(InKernel("10.1.0.0/24"));
        Assert.NotNull(InKernel("10.3.0.0/24"));
    }

    [Fact]
    public async Task A_route_of_another_protocol_is_never_touched()
    {
        var administrators = Learned("10.1.0.0/24") with { Protocol = Static };
        var boot = Pod("10.9.0.1", Uplink);
        Put(administrators);
        Put(boot);
        var writer = Start();

        CompleteAll(writer);
        await Want(writer, Learned("10.2.0.0/24"));

        Assert.Equal(administrators, InKernel("10.1.0.0/24"));
        Assert.Equal(boot, InKernel("10.9.0.1/32"));
    }

    [Fact]
    public async Task A_route_that_an_administrator_put_where_ours_could_not_be_stays_when_ours_is_not_wanted_any_more()
    {
        var writer = Start();
        CompleteAll(writer);
        var administrators = Learned("10.1.0.0/24", "192.0.2.7") with { Protocol = Static };
        Kernel.Refuse = (operation, subject) => (operation, subject) == ("add route", "10.1.0.0/24")
            && Thread.CurrentThread.Name == DispatcherNames.KernelWriter ? Errno.ENOMEM : Errno.None;
        await Want(writer, Learned("10.1.0.0/24"));
        Put(administrators);
        // Events come in order: when this one has been dealt with, that one has.
        Put(Learned("10.3.0.0/24"));
        await Eventually(() => Assert.Null(InKernel("10.3.0.0/24")));

        await Unwant(writer, Learned("10.1.0.0/24").Key);
        await Want(writer, Learned("10.2.0.0/24"));

        Assert.Equal(administrators, InKernel("10.1.0.0/24"));
    }

    [Fact]
    public async Task What_others_remove_is_written_again()
    {
        var writer = Start();
        await Want(writer, Learned("10.1.0.0/24"));

        Put(Learned("10.1.0.0/24"), delete: true);

        await Eventually(() => Assert.Equal(Learned("10.1.0.0/24"), InKernel("10.1.0.0/24")));
    }

    [Theory]
    [InlineData("192.0.2.0/24", 2)]
    [InlineData("0.0.0.0/0", Static)]
    [InlineData("10.1.0.0/24", Static)]
    public async Task A_learned_route_takes_no_place_that_another_has_and_its_own_once_that_is_gone(string destination, byte protocol)
    {
        var others = protocol == Static ? Learned(destination, "192.0.2.7") with { Protocol = Static } : InKernel(destination)!;
        if (protocol == Static)
            Put(others);
        var writer = Start();
        CompleteAll(writer);

        var committed = await Want(writer, Learned(destination));

        Assert.Contains("another's route has its place", Assert.Single(committed.Failed).Reason, StringComparison.Ordinal);
        Assert.Equal(others, InKernel(destination));
        await Unwant(writer, Learned(destination).Key);
        Assert.Equal(others, InKernel(destination));

        await Want(writer, Learned(destination));
        Put(others, delete: true);
        // Written once the kernel would take it: the next hop of one of these is on the link's own subnet.
        if (protocol == Static)
            await Eventually(() => Assert.Equal(Learned(destination), InKernel(destination)));
    }

    [Fact]
    public async Task A_route_that_an_administrator_puts_in_the_place_of_a_learned_one_stays()
    {
        var writer = Start();
        CompleteAll(writer);
        await Want(writer, Learned("10.1.0.0/24"));
        var administrators = Learned("10.1.0.0/24", "192.0.2.7") with { Protocol = Static };

        Put(administrators);
        await Eventually(async () => Assert.Equal(1, (await Status(writer)).Failed));

        Assert.Equal(administrators, InKernel("10.1.0.0/24"));
        Put(administrators, delete: true);
        await Eventually(() => Assert.Equal(Learned("10.1.0.0/24"), InKernel("10.1.0.0/24")));
    }

    [Fact]
    public async Task What_BIRD_left_is_taken_over_route_by_route_and_never_removed()
    {
        var birds = Learned("10.1.0.0/24", "192.0.2.7") with { Protocol = RouteWriterOptions.BirdProtocol };
        var stray = Learned("10.2.0.0/24", "192.0.2.7") with { Protocol = RouteWriterOptions.BirdProtocol };
        Put(birds);
        Put(stray);
        var writer = Start();
        CompleteAll(writer);

        Assert.Empty((await Want(writer, Learned("10.1.0.0/24"))).Failed);

        Assert.Equal(Learned("10.1.0.0/24"), InKernel("10.1.0.0/24"));
        Assert.Equal(stray, InKernel("10.2.0.0/24"));
    }

    [Fact]
    public async Task A_pods_route_takes_the_place_of_any_other()
    {
        var pod = AddLink("cali1");
        Put(Pod("10.9.0.1", Uplink) with { Protocol = Static });
        var writer = Start();

        await Want(writer, RouteSource.Workloads, Pod("10.9.0.1", pod));

        Assert.Equal(Pod("10.9.0.1", pod), InKernel("10.9.0.1/32"));
    }

    [Fact]
    public async Task What_goes_with_a_link_or_an_address_is_written_again()
    {
        var writer = Start();
        await Want(writer, Learned("10.1.0.0/24"));

        Links.Change(new Calico.Kernel.Links.LinkChange(Uplink) { Up = false });
        Links.Change(new Calico.Kernel.Links.LinkChange(Uplink) { Up = true });
        Assert.Null(InKernel("10.1.0.0/24"));
        await Eventually(() => Assert.Equal(Learned("10.1.0.0/24"), InKernel("10.1.0.0/24")));

        Links.Change(new Calico.Kernel.Links.LinkChange(Uplink) { Up = false });
        await Eventually(async () => Assert.Equal(1, (await Status(writer)).Failed));
        Links.Change(new Calico.Kernel.Links.LinkChange(Uplink) { Up = true });
        await Eventually(() => Assert.Equal(Learned("10.1.0.0/24"), InKernel("10.1.0.0/24")));
    }

    [Fact]
    public async Task Lost_events_make_it_look_again()
    {
        var writer = Start();
        await Want(writer, Learned("10.1.0.0/24"), Learned("10.2.0.0/24"));
        // An IPv4 route that goes with its link is reported to nobody.
        Links.Change(new Calico.Kernel.Links.LinkChange(Uplink) { Up = false });
        Links.Change(new Calico.Kernel.Links.LinkChange(Uplink) { Up = true });
        Assert.Null(InKernel("10.1.0.0/24"));

        Host.LoseEvents();

        await Eventually(() => Assert.NotNull(InKernel("10.1.0.0/24")));
        await Eventually(() => Assert.NotNull(InKernel("10.2.0.0/24")));
    }

    [Fact]
    public async Task After_a_restart_nothing_is_written_and_nothing_forgotten()
    {
        var writer = Start();
        CompleteAll(writer);
        await Want(writer, Learned("10.1.0.0/24"));
        await Want(writer, RouteSource.Blocks, Blackhole("10.5.0.0/26"));

        Crash(writer);

        var status = await Status(writer);
        Assert.Equal((2, 2, 0L, true), (status.Wanted, status.Present, status.Writes, status.Complete));
        await Want(writer, Learned("10.1.0.0/24"));
        Assert.Equal(0, (await Status(writer)).Writes);
        await Unwant(writer, Learned("10.1.0.0/24").Key);
        await Eventually(() => Assert.Null(InKernel("10.1.0.0/24")));
        Assert.NotNull(InKernel("10.5.0.0/26"));
    }

    [Fact]
    public async Task What_is_said_while_it_restarts_is_newer_than_what_it_knew()
    {
        var writer = Start();
        CompleteAll(writer);
        await Want(writer, Learned("10.1.0.0/24", "192.0.2.2"), Learned("10.2.0.0/24", "192.0.2.2"));

        // Busy with a route, it finds its end and what came after it in its mailbox.
        using var busy = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        Kernel.Refuse = (_, _) =>
        {
            busy.Set();
            go.Wait();
            return Errno.None;
        };
        writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Bgp, [Learned("10.3.0.0/24")], []));
        busy.Wait();
        Crash(writer);
        writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Bgp, [Learned("10.2.0.0/24", "192.0.2.3")], [Learned("10.1.0.0/24").Key]));
        Kernel.Refuse = null;
        go.Set();

        await Eventually(() => Assert.Null(InKernel("10.1.0.0/24")));
        await Eventually(() => Assert.Equal(Learned("10.2.0.0/24", "192.0.2.3"), InKernel("10.2.0.0/24")));
        var status = await Status(writer);
        Assert.Equal((2, 2), (status.Wanted, status.Present));
        Assert.Equal(Learned("10.2.0.0/24", "192.0.2.3"), InKernel("10.2.0.0/24"));
    }

    [Fact]
    public async Task A_route_whose_link_is_missing_is_written_when_the_link_appears()
    {
        var writer = Start();
        var next = AddLink("probe");
        Links.Delete("probe");
        var route = Pod("10.9.0.1", next + 1);

        var committed = await Want(writer, RouteSource.Workloads, route);
        Assert.Contains("ENODEV", Assert.Single(committed.Failed).Reason, StringComparison.Ordinal);
        Assert.Equal(1, (await Status(writer)).Failed);

        Assert.Equal(next + 1, AddLink("cali1"));
        await Eventually(() => Assert.Equal(route, InKernel("10.9.0.1/32")));
        Assert.Equal(0, (await Status(writer)).Failed);
    }

    [Fact]
    public async Task A_write_that_fails_is_reported_and_tried_again_and_stops_no_other()
    {
        var refusals = 1;
        Kernel.Refuse = (_, subject) => subject == "10.1.0.0/24" && Interlocked.Decrement(ref refusals) >= 0 ? Errno.ENOMEM : Errno.None;
        var writer = Start();

        var committed = await Want(writer, Learned("10.1.0.0/24"), Learned("10.2.0.0/24"));

        Assert.Equal(Learned("10.1.0.0/24").Key, Assert.Single(committed.Failed).Key);
        Assert.NotNull(InKernel("10.2.0.0/24"));
        await Eventually(() => Assert.NotNull(InKernel("10.1.0.0/24")));
        Assert.Equal(2, (await Status(writer)).Writes);
    }

    [Fact]
    public async Task A_route_that_failed_and_is_not_wanted_any_more_counts_no_longer_as_failed()
    {
        Kernel.Refuse = (_, subject) => subject == "10.1.0.0/24" ? Errno.ENOMEM : Errno.None;
        var writer = Start();
        await Want(writer, Learned("10.1.0.0/24"));
        Assert.Equal(1, (await Status(writer)).Failed);

        await Unwant(writer, Learned("10.1.0.0/24").Key);

        Assert.Equal(0, (await Status(writer)).Failed);
    }

    [Fact]
    public async Task Of_two_sources_the_first_has_the_destination_and_the_second_after_it()
    {
        var writer = Start();
        CompleteAll(writer);
        await Want(writer, Learned("10.5.0.0/26"));
        await Want(writer, RouteSource.Blocks, Blackhole("10.5.0.0/26"));
        Assert.Equal(RouteKind.Blackhole, InKernel("10.5.0.0/26")?.Kind);

        writer.Tell(new RouteProtocol.ChangeRoutes(RouteSource.Blocks, [], [Blackhole("10.5.0.0/26").Key]));

        await Eventually(() => Assert.Equal(Learned("10.5.0.0/26"), InKernel("10.5.0.0/26")));
    }

    private IActorRef Start() =>
        Sys.ActorOf(RouteWriterActor.Props(Host, new RouteWriterOptions()).WithDispatcher(DispatcherNames.KernelWriter));

    private Task<RouteProtocol.RoutesCommitted> Want(IActorRef writer, params Route[] routes) => Want(writer, RouteSource.Bgp, routes);

    private Task<RouteProtocol.RoutesCommitted> Want(IActorRef writer, RouteSource source, params Route[] routes) =>
        Change(writer, source, [.. routes], []);

    private Task<RouteProtocol.RoutesCommitted> Unwant(IActorRef writer, params RouteKey[] keys) =>
        Change(writer, RouteSource.Bgp, [], [.. keys]);

    private async Task<RouteProtocol.RoutesCommitted> Change(IActorRef writer, RouteSource source, ImmutableArray<Route> wanted,
        ImmutableArray<RouteKey> unwanted)
    {
        var id = ++_lastRequest;
        writer.Tell(new RouteProtocol.ChangeRoutes(source, wanted, unwanted, id), TestActor);
        return await ExpectMsgAsync<RouteProtocol.RoutesCommitted>(c => c.RequestId == id, TimeSpan.FromSeconds(20));
    }

    private static void Complete(IActorRef writer, RouteSource source) => writer.Tell(new RouteProtocol.SourceComplete(source));

    private static void CompleteAll(IActorRef writer)
    {
        foreach (var source in Enum.GetValues<RouteSource>())
            Complete(writer, source);
    }

    private static Task<RouteProtocol.Status> Status(IActorRef writer) =>
        writer.Ask<RouteProtocol.Status>(new RouteProtocol.GetStatus(), TimeSpan.FromSeconds(20));

    private Route Learned(string destination, string gateway = "192.0.2.2") => new(new RouteKey(Cidr.Parse(destination), 0),
        RouteKind.Unicast, RouteWriterOptions.CalicoProtocol, [new NextHop(IpAddr.Parse(gateway), Uplink)]);

    private static Route Blackhole(string destination) => new(new RouteKey(Cidr.Parse(destination), 0), RouteKind.Blackhole,
        RouteWriterOptions.CalicoProtocol, []);

    private static Route Pod(string address, int link) => new(new RouteKey(Cidr.Host(IpAddr.Parse(address)), 1024), RouteKind.Unicast,
        RouteWriterOptions.BootProtocol, [new NextHop(null, link)])
    { Scope = RouteScope.Link };
}
