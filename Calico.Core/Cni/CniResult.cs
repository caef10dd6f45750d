using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Cni;

/// <summary>A device in a result; one with a <paramref name="Sandbox"/> is inside the container.</summary>
public sealed record CniInterface(string Name, string Mac = "", string Sandbox = "")
{
    /// <summary>Bytes; 0 leaves it out. Printed from 1.0.0 on.</summary>
    public uint Mtu { get; init; }
    public string SocketPath { get; init; } = "";
    public string PciId { get; init; } = "";
}

/// <summary>An address of the container; <paramref name="Interface"/> is an index into the result's interfaces.</summary>
public sealed record CniAddress(Cidr Address, int? Interface = null, IpAddr? Gateway = null);

public sealed record CniRoute(Cidr Destination, IpAddr? Gateway = null)
{
    public int? Mtu { get; init; }
    public int? AdvMss { get; init; }
    public int? Priority { get; init; }
    public int? Table { get; init; }
    public int? Scope { get; init; }
}

public sealed record CniDns(ImmutableArray<string> Nameservers, string Domain, ImmutableArray<string> Search,
    ImmutableArray<string> Options)
{
    public static CniDns None { get; } = new([], "", [], []);
}

/// <summary>
/// The result of an ADD, free of any version's shape. Three shapes are printed and read: <c>ip4</c>/<c>ip6</c> of 0.1.0
/// and 0.2.0 (one address a family, no interfaces), <c>ips</c> with a <c>version</c> of 0.3.x and 0.4.0, and <c>ips</c>
/// without it since 1.0.0. What an older shape cannot say is left out.
/// </summary>
public sealed record CniResult(ImmutableArray<CniInterface> Interfaces, ImmutableArray<CniAddress> Addresses,
    ImmutableArray<CniRoute> Routes)
{
    public CniDns Dns { get; init; } = CniDns.None;

    public static CniResult Empty { get; } = new([], [], []);

    /// <summary>The result in the shape of a version.</summary>
    public byte[] ToBytes(CniVersion version) => CniResultJson.Write(this, version);

    /// <summary>Reads a result of any supported version, such as a <c>prevResult</c>; its <c>cniVersion</c> decides.</summary>
    public static bool TryParse(ReadOnlySpan<byte> json, out CniResult result, out CniVersion version, out string? error)
    {
        result = Empty;
        version = CniVersion.Unspecified;
        try
        {
            var dto = JsonSerializer.Deserialize(json, CniJsonContext.Default.ResultDto);
            if (dto is null)
            {
                error = "it is null";
                return false;
            }
            return CniResultJson.TryRead(dto, out result, out version, out error);
        }
        catch (JsonException e)
        {
            error = CniNetworkConfig.Describe(e);
            return false;
        }
    }
}
