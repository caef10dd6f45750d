using System.Collections.Immutable;
using System.Net.Sockets;
using Akka.Actor;
using Akka.Event;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// The listening sockets of a speaker and what must be set on them for its peers. An address that cannot be listened
/// on is reported once and tried again; the others work meanwhile.
/// </summary>
internal sealed class BgpListeners(IActorRef owner, ILoggingAdapter log) : IDisposable
{
    private readonly List<BgpListener> _open = [];
    private readonly Dictionary<IpAddr, string> _errors = [];
    private readonly Dictionary<IpAddr, string> _passwords = [];
    private SpeakerConfig? _config;

    /// <summary>Brings the sockets to the configuration; false if some address must be tried again.</summary>
    public bool Apply(SpeakerConfig config)
    {
        if (_config is not null && _config.ListenPort != config.ListenPort)
            CloseAll();
        _config = config;
        foreach (var unwanted in _open.Where(l => !config.ListenAddresses.Contains(l.Address)).ToList())
            Close(unwanted);
        foreach (var address in _errors.Keys.Except(config.ListenAddresses).ToList())
            _errors.Remove(address);
        foreach (var address in config.ListenAddresses.Where(a => !_open.Any(l => l.Address == a)))
            TryOpen(address);
        SetPasswords(config.Peers);
        foreach (var listener in _open)
            SetTtl(listener, config.Peers);
        return _errors.Count == 0;
    }

    /// <summary>The accept loop of an address ended.</summary>
    public void Failed(IpAddr address, string error)
    {
        foreach (var dead in _open.Where(l => l.Address == address).ToList())
            Close(dead);
        NoteError(address, error);
    }

    public ImmutableArray<ListenerStatus> Status => _config is null ? [] :
    [
        .. _config.ListenAddresses.Select(a => new ListenerStatus(a, _config.ListenPort,
            _open.Any(l => l.Address == a) ? null : _errors.GetValueOrDefault(a, "not listening yet"))),
    ];

    public void Dispose() => CloseAll();

    private void TryOpen(IpAddr address)
    {
        try
        {
            var listener = new BgpListener(address, _config!.ListenPort, owner);
            _open.Add(listener);
            foreach (var (peer, password) in _passwords)
                SetPassword(listener, peer, password);
            if (_errors.Remove(address))
                log.Info("bgp listener {Address}:{Port}: listening", address, _config.ListenPort);
        }
        catch (SocketException e)
        {
            NoteError(address, e.Message);
        }
    }

    private void NoteError(IpAddr address, string error)
    {
        // A machine without IPv6 is not a fault.
        var expected = address == IpAddr.AnyV6 && !Socket.OSSupportsIPv6;
        if (_errors.TryAdd(address, error) && !expected)
        {
            log.Error("bgp listener {Address}:{Port}: {Error}; does another speaker run, or is the address not ours?",
                address, _config!.ListenPort, error);
        }
    }

    private void SetPasswords(ImmutableArray<PeerConfig> peers)
    {
        var wanted = peers.Where(p => p.Password is { Length: > 0 })
            .GroupBy(p => p.Address).ToDictionary(g => g.Key, g => g.First().Password!);
        foreach (var gone in _passwords.Keys.Except(wanted.Keys).ToList())
        {
            _passwords.Remove(gone);
            foreach (var listener in _open)
                SetPassword(listener, gone, "");
        }
        foreach (var (peer, password) in wanted)
        {
            if (_passwords.TryGetValue(peer, out var old) && old == password)
                continue;
            _passwords[peer] = password;
            foreach (var listener in _open)
                SetPassword(listener, peer, password);
        }
    }

    private void SetPassword(BgpListener listener, IpAddr peer, string password)
    {
        try
        {
            listener.SetPassword(peer, password);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            log.Error("bgp listener {Address}: cannot set the MD5 password of {Peer}: {Error}",
                listener.Address, peer, e.Message);
        }
    }

    private static void SetTtl(BgpListener listener, ImmutableArray<PeerConfig> peers)
    {
        if (peers.Any(p => p.TtlSecurityHops is not null && p.Address.Version == listener.Address.Version))
            listener.SendFullTtl();
    }

    private void Close(BgpListener listener)
    {
        _open.Remove(listener);
        listener.Dispose();
    }

    private void CloseAll()
    {
        foreach (var listener in _open.ToList())
            Close(listener);
    }
}
