using Akka.Actor;
using Akka.TestKit.Xunit2;
using Calico.Actors.Dispatch;
using Calico.Core.Net;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Routes;
using Xunit.Abstractions;

namespace Calico.Tests.Actors;

/// <summary>
/// Actors of a node's forwarding half, under its supervision and dispatcher, on a machine without a kernel:
/// <c>eth0</c> is up with 192.0.2.1/24.
/// </summary>
public abstract class NodeActorFixture : TestKit
{
    /// <summary>For what comes at once if it comes at all.</summary>
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly string Hocon = $$"""
        akka.loglevel = INFO
        akka.suppress-json-serializer-warning = on
        akka.actor.guardian-supervisor-strategy = "Calico.Actors.NodeSupervisorStrategy, Calico.Actors"
        {{StartedTimers.Hocon}}
        {{DispatcherNames.Hocon}}
        """;

    protected NodeActorFixture(ITestOutputHelper output)
        : base(Hocon, "node", output)
    {
        Host = Kernel.CreateNamespace("host");
        Routes = Host.OpenRoutes();
        Links = Host.OpenLinks();
        Uplink = AddLink("eth0");
        Links.AddAddress(new LinkAddress(Uplink, Cidr.Parse("192.0.2.1/24")));
    }

    protected FakeKernel Kernel { get; } = new();
    protected FakeNetworkNamespace Host { get; }
    protected IRouteTable Routes { get; }
    protected ILinkTable Links { get; }
    protected int Uplink { get; }

    /// <summary>A device that is up; returns its index.</summary>
    protected int AddLink(string name)
    {
        var link = Links.CreateBridge(name);
        Links.Change(new LinkChange(link.Index) { Up = true });
        return link.Index;
    }

    /// <summary>The route of a destination in the main table, or null.</summary>
    protected Route? InKernel(string destination) =>
        Routes.Dump(new RouteFilter()).FirstOrDefault(r => r.Key.Destination == Cidr.Parse(destination));

    /// <summary>Puts a route into the kernel behind the actors' backs.</summary>
    protected void Put(Route route, bool delete = false)
    {
        var results = new Calico.Kernel.Errno[1];
        Routes.Apply([new RouteChange(route, delete)], results);
        Assert.Equal(Calico.Kernel.Errno.None, results[0]);
    }

    /// <summary>Makes the actor fail; its supervisor starts it again with the mailbox that it has.</summary>
    protected static void Crash(IActorRef actor) => actor.Tell(Kill.Instance);

    protected Task Eventually(Action assertion) =>
        AwaitAssertAsync(assertion, Patience, TimeSpan.FromMilliseconds(20));

    protected Task Eventually(Func<Task> assertion) =>
        AwaitAssertAsync(assertion, Patience, TimeSpan.FromMilliseconds(20));
}
