using System.Collections.Immutable;
using System.Threading.Channels;
using Calico.Actors.Feed;
using Calico.Actors.Ipam;
using Calico.Actors.Protocol;

namespace Calico.Actors.Gateway;

/// <summary>
/// The only thing the two actor systems of a process share: two bounded queues of immutable messages. The mesh system
/// may die and be built anew behind it; what was queued or lost meanwhile is asked for again by whoever needs it, so a
/// full queue drops the newest message and counts it.
/// </summary>
public sealed class MeshLink
{
    private const int Capacity = 4096;

    private readonly Channel<ILocalMessage> _toMesh = Make();
    private readonly Channel<ILocalMessage> _toNode = Make();
    private long _dropped;

    public ChannelReader<ILocalMessage> ForMesh => _toMesh.Reader;
    public ChannelReader<ILocalMessage> ForNode => _toNode.Reader;

    /// <summary>Messages that found their queue full.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    public void ToMesh(ILocalMessage message) => Put(_toMesh, message);
    public void ToNode(ILocalMessage message) => Put(_toNode, message);

    private void Put(Channel<ILocalMessage> queue, ILocalMessage message)
    {
        if (!queue.Writer.TryWrite(message))
            Interlocked.Increment(ref _dropped);
    }

    // Wait, not a dropping mode: TryWrite then says that the queue is full.
    private static Channel<ILocalMessage> Make() =>
        Channel.CreateBounded<ILocalMessage>(new BoundedChannelOptions(Capacity) { FullMode = BoundedChannelFullMode.Wait });
}

/// <summary>What passes over a <see cref="MeshLink"/>.</summary>
public static class MeshLinkProtocol
{
    /// <summary>Node to mesh: pull from this member's log (its address), or from our own replica.</summary>
    public sealed record PullFrom(string? Member, FeedProtocol.Pull Pull) : ILocalMessage;

    /// <summary>Node to mesh: a command for the owner of a block.</summary>
    public sealed record ToBlock(IWithBlock Command) : ILocalMessage;

    /// <summary>Node to mesh: for the lease of another node.</summary>
    public sealed record ToNode(IToNode Message) : ILocalMessage;

    /// <summary>Mesh to node: from the lease of another node.</summary>
    public sealed record FromNode(IToNode Message) : ILocalMessage;

    /// <summary>Mesh to node: the answer to a pull; the member's address, or null for our own replica.</summary>
    public sealed record NewsFrom(string? Member, FeedProtocol.News News) : ILocalMessage;

    /// <summary>Mesh to node: what the owner of a block answered.</summary>
    public sealed record FromBlock(IWireMessage Answer) : ILocalMessage;

    /// <summary>Mesh to node: who is a member now, this node included; empty while there is no mesh.</summary>
    public sealed record Members(ImmutableArray<MeshMember> Now) : ILocalMessage;
}

/// <summary>A member: its address in the mesh and its node's name.</summary>
public sealed record MeshMember(string Address, string Node, bool Reachable);
