using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>
/// Who holds which block as far as the feed has told, and which holders are known to be former ones. Only a release
/// that was seen counts against a route: not having heard of a grant yet proves nothing.
/// </summary>
internal sealed class BlockOwners
{
    private readonly Dictionary<Cidr, string> _holders = [];
    private readonly HashSet<(string Host, Cidr Block)> _former = [];

    /// <summary>Returns whether that changes what <see cref="IsFormer"/> says.</summary>
    public bool Learn(string host, Cidr block, bool exists)
    {
        if (exists)
        {
            _holders[block] = host;
            return _former.Remove((host, block));
        }
        if (_holders.GetValueOrDefault(block) == host)
            _holders.Remove(block);
        return _former.Add((host, block));
    }

    public bool IsFormer(string? host, Cidr prefix) => host is not null && _former.Contains((host, prefix));
}
