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
    /// <summary>Make the pair; the namespace stays the caller's to dispose.</summary>
    public sealed record Wire(long RequestId, WiringRequest Request, INetworkNamespace Pod) : ILocalMessage;

    public sealed record Wired(long RequestId, WiredPod Pod) : ILocalMessage;

    /// <summary>Give the pod its addresses.</summary>
    public sealed record Address(long RequestId, PodSide Pod, ImmutableArray<IpAddr> Addresses) : ILocalMessage
    {
        /// <summary>Where the pod's routes lead; empty for everywhere.</summary>
        public ImmutableArray<Cidr> Destinations { get; init; } = [];
    }

    public sealed record Addressed(long RequestId) : ILocalMessage;

    /// <summary>Let packets through: the pod's policy is in the kernel.</summary>
    public sealed record Activate(long RequestId, string HostInterface, int HostIndex, bool Ipv6) : ILocalMessage
    {
        /// <summary>The pod may use other source addresses than its own.</summary>
        public bool AllowSpoofing { get; init; }
    }

    public sealed record Activated(long RequestId) : ILocalMessage;

    public sealed record Unwire(long RequestId, string HostInterface) : ILocalMessage;

    public sealed record Unwired(long RequestId, bool WasThere) : ILocalMessage;

    public sealed record Refused(long RequestId, string Reason) : ILocalMessage;

    public sealed record GetStatus : ILocalMessage;

    public sealed record Status(long Writes) : ILocalMessage;
}

/// <summary>
/// The one writer of this node's workload links and their sysctls, on a thread of its own. Holds no state: what is
/// there is what the kernel says. Its restart opens its socket again and nothing else.
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
    private readonly ILinkTable _links;
    private readonly ISysctl _sysctl;
    private readonly WorkloadWiring _wiring;
    private readonly ILoggingAdapter _log = Context.GetLogger();

    public static Props Props(INetworkNamespace host) => Akka.Actor.Props.Create(() => new LinkWriterActor(host));

    public LinkWriterActor(INetworkNamespace host)
    {
        _links = host.OpenLinks();
        _sysctl = host.OpenSysctl();
        _wiring = new WorkloadWiring(_links, _sysctl);

        Receive<LinkProtocol.Wire>(w => Answer(w.RequestId, () => new LinkProtocol.Wired(w.RequestId, _wiring.Create(w.Request, w.Pod))));
        Receive<LinkProtocol.Address>(a => Answer(a.RequestId, () =>
        {
            WorkloadWiring.Address(a.Pod, a.Addresses, a.Destinations);
            return new LinkProtocol.Addressed(a.RequestId);
        }));
        Receive<LinkProtocol.Activate>(a => Answer(a.RequestId, () =>
        {
            _wiring.Activate(a.HostInterface, a.HostIndex, a.Ipv6, a.AllowSpoofing);
            return new LinkProtocol.Activated(a.RequestId);
        }));
        Receive<LinkProtocol.Unwire>(OnUnwire);
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
        _links.Dispose();
        _sysctl.Dispose();
    }

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
