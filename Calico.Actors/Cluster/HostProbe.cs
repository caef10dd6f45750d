using System.Net.Sockets;
using Calico.Core.Net;

namespace Calico.Actors.Cluster;

/// <summary>Whether a host's kernel still answers, whatever happened to its agent.</summary>
public interface IHostProbe
{
    /// <summary>True if anything came back: an accepted or a refused connection both prove a living kernel.</summary>
    Task<bool> AnswersAsync(IpAddr address, CancellationToken cancellation);
}

/// <summary>
/// Connects to the BGP port. Refused means that the host forwards although its agent is down; only silence or
/// "no route to host" count as no answer.
/// </summary>
public sealed class TcpHostProbe(int port, TimeSpan timeout) : IHostProbe
{
    public async Task<bool> AnswersAsync(IpAddr address, CancellationToken cancellation)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(timeout);
        try
        {
            await socket.ConnectAsync(address.ToIPAddress(), port, deadline.Token);
            return true;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.ConnectionReset;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }
}
