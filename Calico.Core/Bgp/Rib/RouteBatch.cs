using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Rib;

/// <summary>What a section of a batch does.</summary>
public enum RouteAction : byte
{
    Announce,
    Withdraw,
    EndOfRib,

    /// <summary>The peer starts to repeat all routes of the family (RFC 7313): those it does not repeat are gone.</summary>
    RefreshBegin,
    RefreshEnd,
}

/// <summary>A run of prefixes with one fate, as octets in the batch's buffer.</summary>
internal readonly record struct RouteSection(RouteAction Action, Families Family, IpAddr NextHop, int Attributes,
    int AttributesLength, int Nlri, int NlriLength, bool PathIds = false);

/// <summary>
/// Decoded and checked routes of some messages on their way to the RIB: two flat arrays that are reused, nothing per
/// prefix. Filled by the reader of a connection, applied once, cleared, filled again.
/// </summary>
public sealed class RouteBatch
{
    private byte[] _octets = new byte[4096];
    private int _used;
    private RouteSection[] _sections = new RouteSection[16];
    private int _count;

    /// <summary>Messages that went in.</summary>
    public int Messages { get; private set; }

    /// <summary>Octets in use: what back-pressure counts.</summary>
    public int Size => _used;

    public bool IsEmpty => _count == 0;

    /// <summary>Families whose End-of-RIB is inside.</summary>
    public Families EndOfRib { get; private set; }

    internal ReadOnlySpan<RouteSection> Sections => _sections.AsSpan(0, _count);

    internal ReadOnlySpan<byte> Octets(int start, int length) => _octets.AsSpan(start, length);

    public void Clear()
    {
        _used = 0;
        _count = 0;
        Messages = 0;
        EndOfRib = Families.None;
    }

    /// <summary>Adds an accepted UPDATE: withdrawals first, as RFC 4271 section 4.3 has it for a prefix in both fields.</summary>
    public void Add(in UpdateView update)
    {
        Messages++;
        var mp = update.Multiprotocol;
        AddRoutes(RouteAction.Withdraw, Families.Ipv4Unicast, default, default, update.Withdrawn, update.PathIds);
        AddRoutes(RouteAction.Withdraw, mp.UnreachFamily, default, default, mp.Withdrawn, update.PathIds);
        var action = update.Verdict >= AttributeVerdict.TreatAsWithdraw ? RouteAction.Withdraw : RouteAction.Announce;
        AddRoutes(action, Families.Ipv4Unicast, update.NextHop, update.Attributes, update.Announced, update.PathIds);
        AddRoutes(action, mp.ReachFamily, mp.NextHop, update.Attributes, mp.Announced, update.PathIds);
        if (update.EndOfRib != Families.None)
            AddMark(RouteAction.EndOfRib, update.EndOfRib);
    }

    /// <summary>Adds a mark that keeps its place between the routes.</summary>
    public void AddMark(RouteAction action, Families family)
    {
        if (action == RouteAction.EndOfRib)
            EndOfRib |= family;
        AddSection(new(action, family, default, 0, 0, 0, 0));
    }

    private void AddRoutes(RouteAction action, Families family, IpAddr nextHop, ReadOnlySpan<byte> attributes,
        ReadOnlySpan<byte> nlri, Families pathIds)
    {
        if (nlri.IsEmpty)
            return;
        if (action == RouteAction.Withdraw)
            attributes = default;
        AddSection(new(action, family, nextHop, Store(attributes), attributes.Length, Store(nlri), nlri.Length,
            pathIds.Has(family)));
    }

    private void AddSection(in RouteSection section)
    {
        if (_count == _sections.Length)
            Array.Resize(ref _sections, _count * 2);
        _sections[_count++] = section;
    }

    private int Store(ReadOnlySpan<byte> octets)
    {
        if (_octets.Length - _used < octets.Length)
            Array.Resize(ref _octets, Math.Max(_octets.Length * 2, _used + octets.Length));
        var at = _used;
        octets.CopyTo(_octets.AsSpan(at));
        _used += octets.Length;
        return at;
    }
}
