using Akka.Actor;
using Calico.Actors.Bfd;
using Calico.Core.Bfd;

namespace Calico.Actors.Bgp;

/// <summary>The status of a speaker with that of the paths to its peers, which another actor keeps. For the edges of a process.</summary>
public static class SpeakerStatus
{
    /// <param name="bfd">Who watches the paths; one that does not answer in time costs only what it knows.</param>
    /// <exception cref="AskTimeoutException">The speaker does not answer.</exception>
    public static async Task<BgpProtocol.BgpStatus> ReadAsync(IActorRef speaker, IActorRef bfd, TimeSpan patience)
    {
        var paths = PathsAsync(bfd, patience);
        var status = await speaker.Ask<BgpProtocol.BgpStatus>(new BgpProtocol.GetBgpStatus(), patience);
        var known = await paths;
        return status with
        {
            Peers = [.. status.Peers.Select(p => p with { Neighbour = p.Path is { } path ? known.GetValueOrDefault(path) : null })],
        };
    }

    private static async Task<IReadOnlyDictionary<BfdEndpoint, BfdProtocol.BfdNeighbour>> PathsAsync(IActorRef bfd, TimeSpan patience)
    {
        try
        {
            return (await bfd.Ask<BfdProtocol.BfdStatus>(new BfdProtocol.GetBfdStatus(), patience)).Sessions.ToDictionary(s => s.Session.Endpoint);
        }
        catch (AskTimeoutException)
        {
            return new Dictionary<BfdEndpoint, BfdProtocol.BfdNeighbour>();
        }
    }
}
