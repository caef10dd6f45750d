using Calico.Core.Bgp.Wire;

namespace Calico.Core.Bgp.Rib;

/// <summary>Routes that outlive their peer's session for a while (RFC 4724, 9494).</summary>
internal sealed partial class RibTable<T>
{
    /// <summary>What was stale before does not survive a second restart in a row.</summary>
    public void MarkStale(ushort peer)
    {
        for (var i = 0; i < _top && _counts[peer] > 0; i++)
        {
            if (_paths[i].Prefix < 0 || _paths[i].Peer != peer)
                continue;
            if ((_paths[i].Flags & PathFlags.Stale) != 0)
                RemovePath(i);
            else
                _paths[i].Flags |= PathFlags.Stale;
        }
    }

    public void SweepStale(ushort peer)
    {
        for (var i = 0; i < _top && _counts[peer] > 0; i++)
        {
            if (_paths[i].Prefix >= 0 && _paths[i].Peer == peer && (_paths[i].Flags & PathFlags.Stale) != 0)
                RemovePath(i);
        }
    }

    /// <summary>
    /// The mark is an attribute, as the RFC has it: so the decision, the peers and people see it without being told, and the
    /// peer's own announcement takes it away.
    /// </summary>
    public void DemoteStale(ushort peer)
    {
        var marked = new Dictionary<int, int>();
        for (var i = 0; i < _top && _counts[peer] > 0; i++)
        {
            if (_paths[i].Prefix < 0 || _paths[i].Peer != peer || (_paths[i].Flags & PathFlags.Stale) == 0)
                continue;
            ref readonly var facts = ref Attributes.Facts(_paths[i].Attributes);
            if (facts.Has(AttributeTraits.NoLlgr))
                RemovePath(i);
            else if (!facts.Has(AttributeTraits.LlgrStale))
                Replace(i, Marked(_paths[i].Attributes, marked));
        }
        Attributes.Collect();
    }

    // Of a set that is marked already the number may be another's by now, if it was freed: its paths are all behind us then.
    private int Marked(int set, Dictionary<int, int> known)
    {
        if (known.TryGetValue(set, out var made))
            return made;
        var attributes = Attributes.Attributes(set);
        return known[set] = Attributes.Intern(attributes with { Communities = attributes.Communities.Add(new Community(WellKnownCommunity.LlgrStale)) }, Attributes.NextHop(set));
    }

    private void Replace(int path, int attributes)
    {
        var id = _paths[path].Prefix;
        var before = Look(id);
        Attributes.AddReference(attributes);
        UnlinkFromSet(path);
        _paths[path].Attributes = attributes;
        LinkToSet(path);
        MarkAllPathsFeeds(path);
        Decide(id, before);
    }
}
