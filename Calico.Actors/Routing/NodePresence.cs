using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// Which nodes are gone for good: they left the mesh, and the blocks they held were taken back. A node that was never a
/// member (one that runs another agent), one whose agent only restarts, and one that the feed has not told of yet are
/// not gone. Not thread-safe.
/// </summary>
internal sealed class NodePresence
{
    private readonly Dictionary<string, HashSet<Cidr>> _blocks = new(StringComparer.Ordinal);
    private readonly HashSet<string> _left = new(StringComparer.Ordinal);
    private HashSet<string> _members = new(StringComparer.Ordinal);

    /// <summary>The node holds the block, or not any more; returns whether that makes it one that is gone.</summary>
    public bool Learn(string node, Cidr block, bool holds)
    {
        if (holds)
        {
            if (!_blocks.TryGetValue(node, out var held))
                _blocks[node] = held = [];
            held.Add(block);
            return false;
        }
        if (!_blocks.TryGetValue(node, out var left) || !left.Remove(block) || left.Count > 0)
            return false;
        _blocks.Remove(node);
        return _left.Contains(node);
    }

    /// <summary>These are the members now; returns those nodes that are gone by it.</summary>
    public List<string> Learn(IEnumerable<string> members)
    {
        var now = members.ToHashSet(StringComparer.Ordinal);
        var leaving = _members.Where(m => !now.Contains(m)).ToList();
        _left.UnionWith(leaving);
        _left.ExceptWith(now);
        _members = now;
        return leaving.FindAll(m => !_blocks.ContainsKey(m));
    }
}
