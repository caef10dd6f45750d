using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Mrt;

/// <summary>Whom the routes or messages are from.</summary>
public readonly record struct MrtPeer(IpAddr Address, Asn As)
{
    /// <summary>Its BGP identifier, where the file tells it.</summary>
    public RouterId Id { get; init; }
}

/// <summary>One thing that an MRT file tells (RFC 6396).</summary>
/// <param name="Time">When it was written.</param>
public abstract record MrtRecord(DateTimeOffset Time)
{
    /// <summary>Type of the record as readers of MRT files write it, such as <c>TABLE_DUMP2</c>.</summary>
    public string Type { get; init; } = "";
}

/// <summary>A route of a table.</summary>
/// <param name="Learned">Since when the peer has announced it.</param>
/// <param name="PathId">Its path identifier (RFC 8050), where the table has them.</param>
/// <param name="Attributes">The attribute set in canonical form (<see cref="CanonicalAttributes"/>).</param>
public sealed record MrtRoute(DateTimeOffset Time, DateTimeOffset Learned, MrtPeer Peer, Cidr Prefix, uint? PathId, IpAddr NextHop,
    ReadOnlyMemory<byte> Attributes) : MrtRecord(Time);

/// <summary>A message as it was on the wire.</summary>
/// <param name="Message">With its header.</param>
/// <param name="Context">What the session had agreed on, as far as the record says.</param>
public sealed record MrtMessage(DateTimeOffset Time, MrtPeer Peer, ReadOnlyMemory<byte> Message, WireContext Context) : MrtRecord(Time);

/// <summary>A session went from one state of RFC 4271, numbered from 1 (Idle) to 6 (Established), to another.</summary>
public sealed record MrtStateChange(DateTimeOffset Time, MrtPeer Peer, int From, int To) : MrtRecord(Time);

/// <summary>A record that is passed over: of another protocol, or a route that cannot be read.</summary>
/// <param name="Why">What about it.</param>
public sealed record MrtSkipped(DateTimeOffset Time, string Why) : MrtRecord(Time);
