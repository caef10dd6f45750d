using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy.Graph;

namespace Calico.Core.Policy.Render;

/// <summary>The chains that depend on single addresses of workloads: floating addresses and permitted foreign sources.</summary>
internal static class AddressChains
{
    public static void Render(TableState table, IpVersion family, IReadOnlyList<LocalEndpoint> endpoints)
    {
        var floating = endpoints.SelectMany(e => e.FloatingIps.Select(f => (Endpoint: e, Ip: f)))
            .Where(x => x.Ip.External.Version == family && x.Ip.Internal.Version == family).ToList();
        table.Put(ChainNames.In(Layer.Nat, StaticChains.FloatingDnat), () =>
            [.. floating.DistinctBy(x => x.Ip.External).OrderBy(x => x.Ip.External)
                .Select(x => Inwards(EndpointChains.CauseOf(x.Endpoint), x.Ip))]);
        table.Put(ChainNames.In(Layer.Nat, StaticChains.FloatingSnat), () =>
            [.. floating.DistinctBy(x => x.Ip.Internal).OrderBy(x => x.Ip.Internal)
                .Select(x => Hairpin(EndpointChains.CauseOf(x.Endpoint), x.Ip))]);
        table.Put(ChainNames.In(Layer.Raw, StaticChains.RpfSkip), () =>
            [.. endpoints.SelectMany(e => e.AllowedSources.Where(n => n.Version == family).Order()
                .Select(n => Permitted(e, n)))]);
    }

    private static NftRule Inwards(Cause cause, FloatingIp ip) => new(cause,
        Terms.Net(NftSide.Destination, Cidr.Host(ip.External)), Terms.Counter, new NftStatement.Dnat(ip.Internal));

    // A workload that calls itself by its floating address must not see itself as the caller.
    private static NftRule Hairpin(Cause cause, FloatingIp ip) => new(cause,
        Terms.Net(NftSide.Destination, Cidr.Host(ip.Internal)), Terms.Net(NftSide.Source, Cidr.Host(ip.Internal)),
        Terms.Counter, new NftStatement.Snat(ip.External, FullyRandom: true));

    private static NftRule Permitted(LocalEndpoint endpoint, Cidr network) => new(EndpointChains.CauseOf(endpoint),
        Terms.InInterface(endpoint.InterfaceName), Terms.Net(NftSide.Source, network), Terms.Counter, Terms.Accept);
}
