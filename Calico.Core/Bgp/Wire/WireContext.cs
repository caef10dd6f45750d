namespace Calico.Core.Bgp.Wire;

/// <summary>
/// What two speakers agreed on, as far as it changes the meaning of octets. Codecs get it as an argument and never ask
/// a session.
/// </summary>
/// <param name="FourOctetAs">AS_PATH and AGGREGATOR carry four-octet numbers (RFC 6793).</param>
/// <param name="ExtendedMessages">Messages may be 65535 octets long (RFC 8654).</param>
/// <param name="Internal">The peer is in our AS: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST have a meaning.</param>
/// <param name="Families">The families whose routes are exchanged; routes of others are ignored.</param>
public readonly record struct WireContext(bool FourOctetAs, bool ExtendedMessages, bool Internal, Families Families)
{
    /// <summary>Families whose prefixes come with a path identifier in front (RFC 7911 section 3).</summary>
    public Families PathIdsIn { get; init; }

    /// <summary>Families whose prefixes we send with one.</summary>
    public Families PathIdsOut { get; init; }

    /// <summary>IPv4 routes may have an IPv6 next hop (RFC 8950).</summary>
    public bool ExtendedNextHop { get; init; }

    /// <summary>The longest message either side may send.</summary>
    public int MaxMessageLength => ExtendedMessages ? BgpFraming.ExtendedMaxLength : BgpFraming.MaxLength;
}
