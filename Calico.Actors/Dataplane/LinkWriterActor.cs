using System.Collections.Immutable;
using Akka.Actor;
using Akka.Event;
using Calico.Actors.Protocol;
using Calico.Core.Net;
using Calico.Kernel;
using Calico.Kernel.Links;
using Calico.Kernel.Namespaces;

namespace Calico.Actors.Dataplane;

/// <summary>What is said to the writer of links. Local; every answer names the request.</summary>
public static class LinkProtocol
{
    /// <summary>
    /// Make the pair. Not answered: <see cref="Address"/> of the same request is, or <see cref="Abandon"/>, and one of them
    /// must follow. The namespace stays the caller's to dispose, after that answer.
    /// </summary>
    public sealed record Wire(long RequestId, WiringRequest Request, INetworkNamespace Pod) : ILocalMessage;

    /// <summary>Give the pod of that request its addresses; answered with <see cref="Wired"/>.</summary>
    public sealed record Address(long RequestId, ImmutableArray<IpAddr> Addresses) : ILocalMessage
    {
        /// <summary>Where the pod's routes lead; empty for everywhere.</summary>
        public ImmutableArray<Cidr> Destinations { get; init; } = [];
    }

    public sealed record Wired(long RequestId, int HostIndex, MacAddress PodMac) : ILocalMessage;

    /// <summary>There will be no addresses. The pair stays; <see cref="Unwire"/> removes it.</summary>
    public sealed record Abandon(long RequestId) : ILocalMessage;

    public sealed record Abandoned(long RequestId) : ILocalMessage;

    /// <summary>Let packets through: the pod's policy is in the kernel.</summary>
    public sealed record Activate(long RequestId, string HostInterface, int HostIndex, bool Ipv6) : ILocalMessage
    {
        /// <summary>The pod may use other source addresses than its own.</summary>
        public bool AllowSpoofing { get; init; }

        /// <summary>
        /// What the writer of routes is told in the asker's name once the link is up; its answer takes the place of
        /// <see cref="Activated"/>.
        /// </summary>
        public (IActorRef Writer, RouteProtocol.ChangeRoutes Change)? Routes { get; init; }
    }

    public sealed record Activated(long RequestId) : ILocalMessage;

    /// <summary>
    /// All addresses of this node that are to be on workloads' links (localWorkloadPeeringIPV4, …IPV6); not answered. A link that comes
    /// later has its own as soon as it is open.
    /// </summary>
    /// <param name="Wanted">Links by name, each with an address.</param>
    /// <param name="Prefix">That of the names of workloads' links.</param>
    public sealed record AssignPeering(ImmutableSortedSet<(string Link, IpAddr Address)> Wanted, string Prefix) : ILocalMessage;

    public sealed record Unwire(long RequestId, string HostInterface) : ILocalMessage;

    public sealed record Unwired(long RequestId, bool WasThere) : ILocalMessage;

    public sealed record Refused(long RequestId, string Reason) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    public sealed record Status(long Writes) : ILocalMessage;
}

/// <summary>
/// The one writer of this node's workload links and their sysctls, on a thread of its own. What is there is what the
/// kernel says; it holds the pairs that wait for their addresses, and whoever waits with them is refused after a restart.
/// <para>
/// The kernel takes tens of milliseconds to remove a link, and hardly longer for a hundred. So removals that are asked
/// for meanwhile are carried out together, after whatever else is waiting.
/// </para>
/// </summary>
public sealed class LinkWriterActor : ReceiveActor
{
    private sealed class RemoveDoomed : ITick
    {
        public static readonly RemoveDoomed Instance = new();
    }

    private readonly List<(int Index, long RequestId, IActorRef ReplyTo)> _doomed = [];

    // Pairs between their two requests, or why there is none.
    private readonly Dictionary<long, (WiredPod? Pod, string? Refusal)> _pairs = [];
    private readonly ILinkTable _links;
    private readonly ISysctl _sysctl;
    private readonly WorkloadWiring _wiring;
    private readonly PeeringAddresses _peering;
    private readonly ILoggingAdapter _log = Context.GetLogger();

    public static Props Props(INetworkNamespace host)
    {
        var peering = new PeeringAddresses();
        return Akka.Actor.Props.Create(() => new LinkWriterActor(host, peering));
    }

    public LinkWriterActor(INetworkNamespace host, PeeringAddresses peering)
    {
        _peering = peering;
        _links = host.OpenLinks();
        _sysctl = host.OpenSysctl();
        _wiring = new WorkloadWiring(_links, _sysctl);

        Receive<LinkProtocol.Wire>(w => OrRefuse(() => _pairs.Add(w.RequestId, (_wiring.Create(w.Request, w.Pod), null)),
            reason => _pairs.Add(w.RequestId, (null, reason))));
        Receive<LinkProtocol.Address>(OnAddress);
        Receive<LinkProtocol.Abandon>(a =>
        {
            if (_pairs.Remove(a.RequestId, out var pair))
                pair.Pod?.Pod.Dispose();
            Sender.Tell(new LinkProtocol.Abandoned(a.RequestId));
        });
        Receive<LinkProtocol.Activate>(OnActivate);
        Receive<LinkProtocol.Unwire>(OnUnwire);
        Receive<LinkProtocol.AssignPeering>(assign => _peering.Assign(_links, assign, e => _log.Warning("link: {Reason}", e.Message)));
        Receive<RemoveDoomed>(_ => OnRemoveDoomed());
        Receive<LinkProtocol.GetStatus>(_ => Sender.Tell(new LinkProtocol.Status(_links.WriteCount)));
    }

    protected override void PreStart()
    {
        _sysctl.Write("ipv4/ip_forward", "1");
        if (_sysctl.Read("ipv6/conf/all/forwarding") is not null)
            _sysctl.Write("ipv6/conf/all/forwarding", "1");
    }

    protected override void PreRestart(Exception reason, object message)
    {
        AnswerDoomed(d => new LinkProtocol.Refused(d.RequestId, "the writer of links starts again"));
        base.PreRestart(reason, message);
    }

    protected override void PostStop()
    {
        foreach (var (pod, _) in _pairs.Values)
            pod?.Pod.Dispose();
        _links.Dispose();
        _sysctl.Dispose();
    }

    private void OnAddress(LinkProtocol.Address address)
    {
        if (!_pairs.Remove(address.RequestId, out var pair) || pair.Pod is not { } wired)
        {
            Sender.Tell(new LinkProtocol.Refused(address.RequestId, pair.Refusal ?? "the writer of links has started again"));
            return;
        }
        using (wired.Pod)
        {
            Answer(address.RequestId, () =>
            {
                WorkloadWiring.Address(wired.Pod, address.Addresses, address.Destinations);
                return new LinkProtocol.Wired(address.RequestId, wired.HostIndex, wired.PodMac);
            });
        }
    }

    private void OnActivate(LinkProtocol.Activate activate) => OrRefuse(() =>
    {
        _wiring.Activate(activate.HostInterface, activate.HostIndex, activate.Ipv6, activate.AllowSpoofing);
        if (_peering.Concerns(activate.HostInterface))
            _peering.Apply(_links, activate.HostInterface);
        if (activate.Routes is var (writer, change))
            writer.Tell(change, Sender);
        else
            Sender.Tell(new LinkProtocol.Activated(activate.RequestId));
    }, reason => Sender.Tell(new LinkProtocol.Refused(activate.RequestId, reason)));

    // By index, not by name: if the name is wired again before its turn has come, the new link is another one.
    private void OnUnwire(LinkProtocol.Unwire unwire) => OrRefuse(() =>
    {
        if (_links.Find(unwire.HostInterface) is not { } link)
        {
            Sender.Tell(new LinkProtocol.Unwired(unwire.RequestId, WasThere: false));
            return;
        }
        if (_doomed.Count == 0)
            Self.Tell(RemoveDoomed.Instance);
        _doomed.Add((link.Index, unwire.RequestId, Sender));
    }, reason => Sender.Tell(new LinkProtocol.Refused(unwire.RequestId, reason)));

    private void OnRemoveDoomed() => OrRefuse(() =>
    {
        _links.Delete([.. _doomed.Select(d => d.Index)]);
        AnswerDoomed(d => new LinkProtocol.Unwired(d.RequestId, WasThere: true));
    }, reason => AnswerDoomed(d => new LinkProtocol.Refused(d.RequestId, reason)));

    private void AnswerDoomed(Func<(int Index, long RequestId, IActorRef ReplyTo), object> answer)
    {
        foreach (var doomed in _doomed)
            doomed.ReplyTo.Tell(answer(doomed));
        _doomed.Clear();
    }

    private void Answer(long requestId, Func<object> work) =>
        OrRefuse(() => Sender.Tell(work()), reason => Sender.Tell(new LinkProtocol.Refused(requestId, reason)));

    private void OrRefuse(Action work, Action<string> refuse)
    {
        try
        {
            work();
        }
        catch (KernelException e)
        {
            _log.Warning("link: {Reason}", e.Message);
            refuse(e.Message);
        }
        catch (ObjectDisposedException)
        {
            refuse("whoever asked has given up and closed the pod's namespace");
        }
    }
}
