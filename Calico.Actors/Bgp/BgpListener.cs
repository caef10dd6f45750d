using System.Net.Sockets;
using Akka.Actor;
using Calico.Core.Net;

namespace Calico.Actors.Bgp;

/// <summary>
/// One listening socket with its accept loop. Owned by the speaker, told apart by address; it hands each accepted
/// socket over and never judges it.
/// </summary>
internal sealed class BgpListener : IDisposable
{
    private readonly Socket _socket;
    private readonly CancellationTokenSource _stop = new();

    /// <exception cref="SocketException">The address is not ours or the port is taken.</exception>
    public BgpListener(IpAddr address, ushort port, IActorRef owner)
    {
        Address = address;
        Port = port;
        _socket = BgpSockets.CreateListener(address, port);
        _ = AcceptAsync(owner);
    }

    public IpAddr Address { get; }
    public ushort Port { get; }

    /// <summary>Wants connections from the peer signed with this key; an empty one wants them unsigned.</summary>
    public void SetPassword(IpAddr peer, string password)
    {
        if (peer.Version == Address.Version)
            BgpSockets.SetMd5(_socket, peer, password);
    }

    /// <summary>Answers with the full hop count, which peers that check it (RFC 5082) expect from the first segment on.</summary>
    public void SendFullTtl() => _socket.Ttl = 255;

    public void Dispose()
    {
        _stop.Cancel();
        _socket.Dispose();
        _stop.Dispose();
    }

    private async Task AcceptAsync(IActorRef owner)
    {
        try
        {
            while (true)
            {
                var accepted = await _socket.AcceptAsync(_stop.Token);
                try
                {
                    owner.Tell(new SocketAccepted(accepted, BgpSockets.RemoteAddress(accepted)));
                }
                catch (SocketException)
                {
                    // Reset between accept and our look at it.
                    accepted.Dispose();
                }
            }
        }
        catch (SocketException e)
        {
            owner.Tell(new ListenerFailed(Address, e.Message));
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // Closed by its owner.
        }
    }
}
