using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Net;

namespace Calico.Core.Cni;

/// <summary>Every key of every result shape; what a version does not have stays null and is not printed.</summary>
internal sealed class ResultDto
{
    public string? CniVersion { get; set; }
    public List<InterfaceDto?>? Interfaces { get; set; }
    public List<AddressDto?>? Ips { get; set; }
    public List<RouteDto?>? Routes { get; set; }
    public FamilyDto? Ip4 { get; set; }
    public FamilyDto? Ip6 { get; set; }
    public DnsDto? Dns { get; set; }
}

internal sealed class InterfaceDto
{
    public string? Name { get; set; }
    public string? Mac { get; set; }
    public uint? Mtu { get; set; }
    public string? Sandbox { get; set; }
    public string? SocketPath { get; set; }
    public string? PciID { get; set; }
}

internal sealed class AddressDto
{
    public string? Version { get; set; }
    public int? Interface { get; set; }
    public string? Address { get; set; }
    public string? Gateway { get; set; }
}

internal sealed class RouteDto
{
    public string? Dst { get; set; }
    public string? Gw { get; set; }
    public int? Mtu { get; set; }
    public int? Advmss { get; set; }
    public int? Priority { get; set; }
    public int? Table { get; set; }
    public int? Scope { get; set; }
}

internal sealed class FamilyDto
{
    public string? Ip { get; set; }
    public string? Gateway { get; set; }
    public List<RouteDto?>? Routes { get; set; }
}

internal sealed class DnsDto
{
    public List<string?>? Nameservers { get; set; }
    public string? Domain { get; set; }
    public List<string?>? Search { get; set; }
    public List<string?>? Options { get; set; }
}

/// <summary>Between <see cref="CniResult"/> and the shape of each specification version.</summary>
internal static class CniResultJson
{
    private static readonly CniVersion FirstWithInterfaces = new(0, 3, 0);
    private static readonly CniVersion FirstWithoutFamily = new(1, 0, 0);

    public static byte[] Write(CniResult result, CniVersion version)
    {
        var dto = new ResultDto { CniVersion = version.ToString(), Dns = ToDto(result.Dns) };
        if (version < FirstWithInterfaces)
        {
            dto.Ip4 = ToFamily(result, IpVersion.V4);
            dto.Ip6 = ToFamily(result, IpVersion.V6);
        }
        else
        {
            var modern = version >= FirstWithoutFamily;
            dto.Interfaces = OrNull(result.Interfaces, InterfaceDto? (i) => ToDto(i, modern));
            dto.Ips = OrNull(result.Addresses, AddressDto? (a) => ToDto(a, modern));
            dto.Routes = OrNull(result.Routes, RouteDto? (r) => ToDto(r, modern));
        }
        return JsonSerializer.SerializeToUtf8Bytes(dto, CniJsonContext.Default.ResultDto);
    }

    public static bool TryRead(ResultDto dto, out CniResult result, out CniVersion version, out string? error)
    {
        result = CniResult.Empty;
        version = CniVersion.Unspecified;
        if (!string.IsNullOrEmpty(dto.CniVersion)
            && (!CniVersion.TryParse(dto.CniVersion, out version) || !version.IsSupported))
        {
            error = $"cniVersion '{dto.CniVersion}' is not one of {CniVersion.SupportedText()}";
            return false;
        }
        var addresses = ImmutableArray.CreateBuilder<CniAddress>();
        var routes = ImmutableArray.CreateBuilder<CniRoute>();
        error = version < FirstWithInterfaces
            ? ReadFamily(dto.Ip4, "ip4", addresses, routes) ?? ReadFamily(dto.Ip6, "ip6", addresses, routes)
            : ReadAddresses(dto, addresses) ?? ReadRoutes(dto.Routes, "routes", routes);
        if (error is not null)
            return false;
        result = new CniResult(
            version < FirstWithInterfaces ? [] : [.. (dto.Interfaces ?? []).Select(i => FromDto(i ?? new InterfaceDto()))],
            addresses.ToImmutable(), routes.ToImmutable())
        {
            Dns = FromDto(dto.Dns),
        };
        return true;
    }

    private static string? ReadFamily(FamilyDto? dto, string where, ImmutableArray<CniAddress>.Builder addresses,
        ImmutableArray<CniRoute>.Builder routes)
    {
        if (dto is null)
            return null;
        if (!Cidr.TryParse(dto.Ip, out var address))
            return $"{where}.ip '{dto.Ip}' is not an address with a prefix length";
        if (!TryReadGateway(dto.Gateway, out var gateway))
            return $"{where}.gateway '{dto.Gateway}' is not an address";
        addresses.Add(new CniAddress(address, null, gateway));
        return ReadRoutes(dto.Routes, $"{where}.routes", routes);
    }

    private static string? ReadAddresses(ResultDto dto, ImmutableArray<CniAddress>.Builder addresses)
    {
        for (var i = 0; i < (dto.Ips?.Count ?? 0); i++)
        {
            var ip = dto.Ips![i] ?? new AddressDto();
            if (!Cidr.TryParse(ip.Address, out var address))
                return $"ips[{i}].address '{ip.Address}' is not an address with a prefix length";
            if (!TryReadGateway(ip.Gateway, out var gateway))
                return $"ips[{i}].gateway '{ip.Gateway}' is not an address";
            if (ip.Interface is { } index && (index < 0 || index >= (dto.Interfaces?.Count ?? 0)))
                return $"ips[{i}].interface {index} is not an index into interfaces";
            addresses.Add(new CniAddress(address, ip.Interface, gateway));
        }
        return null;
    }

    private static string? ReadRoutes(List<RouteDto?>? dtos, string where, ImmutableArray<CniRoute>.Builder routes)
    {
        for (var i = 0; i < (dtos?.Count ?? 0); i++)
        {
            var dto = dtos![i] ?? new RouteDto();
            if (!Cidr.TryParse(dto.Dst, out var destination))
                return $"{where}[{i}].dst '{dto.Dst}' is not a network";
            if (!TryReadGateway(dto.Gw, out var gateway))
                return $"{where}[{i}].gw '{dto.Gw}' is not an address";
            routes.Add(new CniRoute(destination, gateway)
            {
                Mtu = dto.Mtu,
                AdvMss = dto.Advmss,
                Priority = dto.Priority,
                Table = dto.Table,
                Scope = dto.Scope,
            });
        }
        return null;
    }

    private static bool TryReadGateway(string? text, out IpAddr? gateway)
    {
        gateway = null;
        if (string.IsNullOrEmpty(text))
            return true;
        if (!IpAddr.TryParse(text, out var address))
            return false;
        gateway = address;
        return true;
    }

    private static FamilyDto? ToFamily(CniResult result, IpVersion family)
    {
        var address = result.Addresses.FirstOrDefault(a => a.Address.Version == family);
        return address is null ? null : new FamilyDto
        {
            Ip = address.Address.ToString(),
            Gateway = address.Gateway?.ToString(),
            Routes = OrNull([.. result.Routes.Where(r => r.Destination.Version == family)], RouteDto? (r) => ToDto(r, modern: false)),
        };
    }

    private static InterfaceDto ToDto(CniInterface i, bool modern) => new()
    {
        Name = i.Name,
        Mac = OrNull(i.Mac),
        Mtu = modern && i.Mtu > 0 ? i.Mtu : null,
        Sandbox = OrNull(i.Sandbox),
        SocketPath = modern ? OrNull(i.SocketPath) : null,
        PciID = modern ? OrNull(i.PciId) : null,
    };

    private static CniInterface FromDto(InterfaceDto i) => new(i.Name ?? "", i.Mac ?? "", i.Sandbox ?? "")
    {
        Mtu = i.Mtu ?? 0,
        SocketPath = i.SocketPath ?? "",
        PciId = i.PciID ?? "",
    };

    private static AddressDto ToDto(CniAddress a, bool modern) => new()
    {
        Version = modern ? null : a.Address.IsV4 ? "4" : "6",
        Interface = a.Interface,
        Address = a.Address.ToString(),
        Gateway = a.Gateway?.ToString(),
    };

    private static RouteDto ToDto(CniRoute r, bool modern) => new()
    {
        Dst = r.Destination.ToString(),
        Gw = r.Gateway?.ToString(),
        Mtu = modern ? r.Mtu : null,
        Advmss = modern ? r.AdvMss : null,
        Priority = modern ? r.Priority : null,
        Table = modern ? r.Table : null,
        Scope = modern ? r.Scope : null,
    };

    private static DnsDto ToDto(CniDns dns) => new()
    {
        Nameservers = OrNull(dns.Nameservers, string? (s) => s),
        Domain = OrNull(dns.Domain),
        Search = OrNull(dns.Search, string? (s) => s),
        Options = OrNull(dns.Options, string? (s) => s),
    };

    public static CniDns FromDto(DnsDto? dns) => dns is null
        ? CniDns.None
        : new CniDns(Texts(dns.Nameservers), dns.Domain ?? "", Texts(dns.Search), Texts(dns.Options));

    private static ImmutableArray<string> Texts(List<string?>? texts) => texts is null ? [] : [.. texts.OfType<string>()];

    private static string? OrNull(string text) => text.Length == 0 ? null : text;

    private static List<TOut>? OrNull<T, TOut>(ImmutableArray<T> items, Func<T, TOut> map) =>
        items.IsDefaultOrEmpty ? null : [.. items.Select(map)];
}
