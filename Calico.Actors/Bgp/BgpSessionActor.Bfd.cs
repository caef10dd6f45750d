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
    private string? _unwatchable;
    private bool _wasHeard;

    private void ReceiveBfd()
    {
        Receive<BfdProtocol.StateChanged>(OnPathChanged);
        Receive<BfdProtocol.WatchRefused>(OnWatchRefused);
    }

    // The addresses are those of the session; between two sessions those of the last one, with the wishes of now.
    private void WatchPath()
    {
        var endpoint = _state.Main is { } main && Find(main.Id) is { } connection ? new BfdEndpoint(_peer.Address, connection.LocalAddress, _peer.BindDevice)
            : _watched?.Endpoint;
        (BfdEndpoint, BfdParameters)? wanted = _peer.Bfd is { } bfd && endpoint is not null ? (endpoint with { Multihop = bfd.Multihop }, bfd.Parameters) : null;
        if (wanted == _watched)
            return;
        _unwatchable = null;
        if (_watched is { } old && old.Endpoint != wanted?.Item1)
        {
            _bfd.Tell(new BfdProtocol.Unwatch(old.Endpoint, Self));
            _wasHeard = false;
        }
        _watched = wanted;
        if (_watched is { } path)
            _bfd.Tell(new BfdProtocol.Watch(path.Endpoint, path.Parameters, Self));
        TellSpeaker();
    }

    private void OnWatchRefused(BfdProtocol.WatchRefused refused)
    {
        if (refused.Endpoint != _watched?.Endpoint)
            return;
        _unwatchable = refused.Reason;
        _log.Warning("bgp session {Peer}: its path cannot be watched: {Reason}", _peer.Name, refused.Reason);
        TellSpeaker();
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
            Step(new SessionEvent.PathFailed(changed.Diagnostic));
        }
    }
}
