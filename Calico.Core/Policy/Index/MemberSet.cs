using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Policy.Index;

/// <summary>
/// Members with longest-prefix-free lookup: "is this address in the set" costs one probe per prefix length present,
/// which is one for a set of pods. Not thread-safe.
/// </summary>
public sealed class MemberSet
{
    private readonly HashSet<SetMember> _members = [];
    private readonly Dictionary<(IpVersion Version, byte Length), int> _lengths = [];

    public int Count => _members.Count;

    /// <summary>The members in no particular order; <see cref="Sorted"/> is for output.</summary>
    public IReadOnlyCollection<SetMember> Members => _members;

    public ImmutableArray<SetMember> Sorted => [.. _members.Order()];

    public bool Add(SetMember member)
    {
        if (!_members.Add(member))
            return false;
        var key = (member.Version, member.Net.PrefixLength);
        _lengths[key] = _lengths.GetValueOrDefault(key) + 1;
        return true;
    }

    public bool Remove(SetMember member)
    {
        if (!_members.Remove(member))
            return false;
        var key = (member.Version, member.Net.PrefixLength);
        if (--_lengths[key] == 0)
            _lengths.Remove(key);
        return true;
    }

    public bool Has(SetMember member) => _members.Contains(member);

    /// <summary>True when a network of the set covers the address.</summary>
    public bool Contains(IpAddr address)
    {
        foreach (var (version, length) in _lengths.Keys)
        {
            if (version == address.Version && _members.Contains(SetMember.Of(new Cidr(address, length))))
                return true;
        }
        return false;
    }

    /// <summary>True when the set has this address with this protocol and port.</summary>
    public bool Contains(IpAddr address, byte protocol, int port) =>
        port is >= 0 and <= ushort.MaxValue && _members.Contains(SetMember.Of(address, protocol, (ushort)port));
}
