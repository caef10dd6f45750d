using Akka.Actor;
using Akka.Event;
using Calico.Actors.Bfd;
using Calico.Core.Bfd;
using Calico.Core.Bgp.Session;

namespace Calico.Actors.Bgp;

/// <summary>
/// The path to the peer, watched by BFD from the first session on (RFC 5882 section 10.2: the session itself waits for nobody). A peer that
/// never answered says nothing by its silence: it may know no BFD, or a firewall may be between.
/// </summary>
internal sealed partial class BgpSessionActor
{
    private readonly IActorRef _bfd;
    private (BfdEndpoint Endpoint, BfdParameters Parameters)? _watched;
    private bool _wasHeard;

    private void ReceiveBfd()
    {
        Receive<BfdProtocol.StateChanged>(OnPathChanged);
        Receive<BfdProtocol.WatchRefused>(m => _log.Warning("bgp session {Peer}: its path cannot be watched: {Reason}", _peer.Name, m.Reason));
    }

    private void WatchPath()
    {
        if (_state.Main is not { } main || Find(main.Id) is not { } connection)
            return;
        (BfdEndpoint, BfdParameters)? wanted = _peer.Bfd is { } parameters ? (new BfdEndpoint(_peer.Address, connection.LocalAddress, _peer.BindDevice), parameters) : null;
        if (wanted == _watched)
            return;
        if (_watched is { } old && old.Endpoint != wanted?.Item1)
        {
            _bfd.Tell(new BfdProtocol.Unwatch(old.Endpoint, Self));
            _wasHeard = false;
        }
        _watched = wanted;
        if (_watched is { } path)
            _bfd.Tell(new BfdProtocol.Watch(path.Endpoint, path.Parameters, Self));
    }

    private void OnPathChanged(BfdProtocol.StateChanged changed)
    {
        if (changed.Endpoint != _watched?.Endpoint)
            return;
        if (changed.State == BfdState.Up)
        {
            _wasHeard = true;
        }
        else if (_wasHeard && changed.IsFailure)
        {
            _wasHeard = false;
            Step(new SessionEvent.PathFailed());
        }
    }
}
