using Calico.Core.Net;

namespace Calico.Core.Policy.Index;

/// <summary>
/// The members that endpoints contribute to one set, counted because two endpoints may share an address, and with
/// networks inside other networks held back: the kernel's interval sets refuse overlaps, and the wider network means
/// the same. <c>changed</c> hears of every appearance (true) and disappearance (false) of a published member.
/// Costs O(1) while all networks have one length; a wider network costs a walk over what it covers.
/// </summary>
internal sealed class CountedMembers(Action<SetMember, bool> changed)
{
    private readonly Dictionary<SetMember, int> _counts = [];
    private readonly Dictionary<(IpVersion Version, byte Length), int> _lengths = [];

    // Made when a second prefix length of a family appears; covered networks are neighbours in this order.
    private SortedSet<Cidr>? _byAddress;

    /// <summary>The published members: those that no other member covers.</summary>
    public IEnumerable<SetMember> Published => _counts.Keys.Where(m => m.HasPort || !IsCovered(m.Net));

    public void Add(SetMember member)
    {
        if (_counts.TryGetValue(member, out var count))
        {
            _counts[member] = count + 1;
            return;
        }
        if (!member.HasPort)
        {
            var covered = IsCovered(member.Net);
            if (!covered)
            {
                // What the newcomer covers and nothing covered before was published until now.
                foreach (var inner in InsideOf(member.Net).Where(inner => !IsCovered(inner)).ToList())
                    changed(SetMember.Of(inner), false);
            }
            Track(member.Net);
            _counts[member] = 1;
            if (!covered)
                changed(member, true);
            return;
        }
        _counts[member] = 1;
        changed(member, true);
    }

    public void Remove(SetMember member)
    {
        if (!_counts.TryGetValue(member, out var count))
            throw new InvalidOperationException($"set member {member} was removed more often than added");
        if (count > 1)
        {
            _counts[member] = count - 1;
            return;
        }
        _counts.Remove(member);
        if (member.HasPort)
        {
            changed(member, false);
            return;
        }
        Untrack(member.Net);
        if (IsCovered(member.Net))
            return;
        changed(member, false);
        foreach (var inner in InsideOf(member.Net).Where(inner => !IsCovered(inner)).ToList())
            changed(SetMember.Of(inner), true);
    }

    private bool IsCovered(Cidr net)
    {
        foreach (var (version, length) in _lengths.Keys)
        {
            if (version == net.Version && length < net.PrefixLength
                && _counts.ContainsKey(SetMember.Of(new Cidr(net.Address, length))))
                return true;
        }
        return false;
    }

    private IEnumerable<Cidr> InsideOf(Cidr net)
    {
        if (net.IsHost)
            return [];
        if (_byAddress is null)
        {
            if (!_lengths.Keys.Any(k => k.Version == net.Version && k.Length != net.PrefixLength))
                return [];
            IndexByAddress();
        }
        return _byAddress!.GetViewBetween(new Cidr(net.First, net.PrefixLength), Cidr.Host(net.Last))
            .Where(n => n.PrefixLength > net.PrefixLength);
    }

    private void IndexByAddress() =>
        _byAddress = [.. _counts.Keys.Where(m => !m.HasPort).Select(m => m.Net)];

    private void Track(Cidr net)
    {
        var key = (net.Version, net.PrefixLength);
        _lengths[key] = _lengths.GetValueOrDefault(key) + 1;
        _byAddress?.Add(net);
        if (_byAddress is null && _lengths.Keys.Count(k => k.Version == net.Version) > 1)
        {
            IndexByAddress();
            _byAddress!.Add(net);
        }
    }

    private void Untrack(Cidr net)
    {
        var key = (net.Version, net.PrefixLength);
        if (--_lengths[key] == 0)
            _lengths.Remove(key);
        _byAddress?.Remove(net);
    }
}
