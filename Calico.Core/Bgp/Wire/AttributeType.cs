namespace Calico.Core.Bgp.Wire;

/// <summary>Path attribute type codes (IANA "BGP Path Attributes") that this speaker gives a meaning to.</summary>
public enum AttributeType : byte
{
    Origin = 1,
    AsPath = 2,
    NextHop = 3,
    MultiExitDisc = 4,
    LocalPref = 5,
    AtomicAggregate = 6,
    Aggregator = 7,

    /// <summary>RFC 1997.</summary>
    Communities = 8,

    /// <summary>RFC 4456.</summary>
    OriginatorId = 9,

    /// <summary>RFC 4456.</summary>
    ClusterList = 10,

    /// <summary>RFC 4760.</summary>
    MpReachNlri = 14,

    /// <summary>RFC 4760.</summary>
    MpUnreachNlri = 15,

    /// <summary>RFC 4360.</summary>
    ExtendedCommunities = 16,

    /// <summary>RFC 6793: the four-octet path beside a two-octet AS_PATH.</summary>
    As4Path = 17,

    /// <summary>RFC 6793.</summary>
    As4Aggregator = 18,

    /// <summary>RFC 8092.</summary>
    LargeCommunities = 32,

    /// <summary>OTC, RFC 9234: the route has gone down or across, from the AS in it, and may only go further down.</summary>
    OnlyToCustomer = 35,
}

/// <summary>The high bits of an attribute's flag octet (RFC 4271 section 4.3).</summary>
[Flags]
public enum AttributeFlags : byte
{
    None = 0,
    ExtendedLength = 0x10,
    Partial = 0x20,
    Transitive = 0x40,
    Optional = 0x80,
}

/// <summary>How the route entered BGP; lower is preferred (RFC 4271 section 5.1.1).</summary>
public enum Origin : byte
{
    Igp = 0,
    Egp = 1,
    Incomplete = 2,
}

/// <summary>Well-known communities that decide where a route may go and what it is worth (RFC 1997, 9494).</summary>
public static class WellKnownCommunity
{
    public const uint NoExport = 0xFFFFFF01;
    public const uint NoAdvertise = 0xFFFFFF02;
    public const uint NoExportSubconfed = 0xFFFFFF03;

    /// <summary>Its origin has not been heard of for long: the last choice.</summary>
    public const uint LlgrStale = 0xFFFF0006;

    /// <summary>It must not be kept for long.</summary>
    public const uint NoLlgr = 0xFFFF0007;
}
