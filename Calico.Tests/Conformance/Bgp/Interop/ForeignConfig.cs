namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>What a foreign speaker is told to be. With each neighbour it has one IPv4 and one IPv6 session, each over its own family.</summary>
internal sealed record ForeignConfig
{
    public required uint As { get; init; }
    public required uint OurAs { get; init; }
    public string? Password { get; init; }

    /// <summary>Whom it talks to besides us; it passes on what they tell.</summary>
    public ForeignNeighbour[] Others { get; init; } = [];

    /// <summary>Prefixes of either family that it announces, with community <see cref="Community"/> and large community <see cref="LargeCommunity"/>.</summary>
    public string[] Routes { get; init; } = [];

    public string Community => "65010:7";
    public string LargeCommunity => "65010:8:9";

    /// <summary>Its neighbours inside its AS are clients of the cluster <see cref="ClusterId"/> (RFC 4456).</summary>
    public bool Reflects { get; init; }

    public string ClusterId => "192.0.2.98";

    /// <summary>It takes several paths of a prefix from us, and gives all that it has (RFC 7911).</summary>
    public bool AddPaths { get; init; }

    /// <summary>Both families travel in the IPv6 session with us, IPv4 with IPv6 next hops (RFC 8950); there is no IPv4 session.</summary>
    public bool OverIpv6 { get; init; }

    /// <summary>What it is to us (RFC 9234), as our annotation names it.</summary>
    public string? Role { get; init; }

    /// <summary>Prefixes that all <see cref="Others"/> tell it: for a speaker that has no table to pass on from.</summary>
    public string[] Shared { get; init; } = [];

    /// <summary>It starts again after a crash and shall say so (RFC 4724).</summary>
    public bool IsRestart { get; init; }

    public IEnumerable<ForeignNeighbour> Neighbours => [new(1, OurAs), .. Others];

    public bool IsClient(ForeignNeighbour neighbour) => Reflects && neighbour.As == As;
}

/// <summary>A neighbour of a foreign speaker: 192.0.2.HOST and fd00:192::HOST.</summary>
internal sealed record ForeignNeighbour(int Host, uint As)
{
    public bool IsUs => Host == 1;
    public string V4 => $"192.0.2.{Host}";
    public string V6 => $"fd00:192::{Host}";
}

/// <summary>A route as a speaker's own tool shows it: AS numbers, and communities as <c>a:b</c> and <c>a:b:c</c>, in order.</summary>
internal sealed record ForeignRoute(string Prefix, string NextHop, string AsPath, string Communities, string LargeCommunities)
{
    /// <summary>Who told it inside the AS, and the clusters that it went through; empty unless it was reflected.</summary>
    public string Originator { get; init; } = "";

    public string Clusters { get; init; } = "";

    /// <summary>Null outside of the AS.</summary>
    public uint? LocalPref { get; init; }

    /// <summary>The AS of the attribute OTC (RFC 9234).</summary>
    public uint? OnlyTo { get; init; }

    /// <summary>Null where there is none, or the tool does not show it.</summary>
    public uint? PathId { get; init; }

    /// <summary>The same, as far as the other says what it expects of LOCAL_PREF and the path identifier.</summary>
    public bool IsLike(ForeignRoute expected) =>
        this with { LocalPref = expected.LocalPref is null ? null : LocalPref, PathId = expected.PathId is null ? null : PathId } == expected;
}
