using Calico.Actors.Bgp;
using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Bgp.Wire;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;

namespace Calico.Actors.Routing;

/// <summary>The policies of sessions: a peer's BGPFilters, and what a node of a cluster announces. Equal inputs make equal policies.</summary>
internal sealed class PeerPolicies(PeeringContext context)
{
    private readonly Dictionary<(ValueList<string> Filters, Families Families, bool WithBlocks), (IRoutePolicy? Import, IRoutePolicy? Export)> _known = [];
    private readonly Dictionary<(IpVersion Version, bool WithBlocks), ClusterExport> _cluster = [];

    private PeeringInputs Inputs => context.Inputs;

    public PeerConfig Attach(PeerConfig peer, ValueList<string> filters)
    {
        // Between internal peers nothing is passed on, so what lies inside our blocks concerns only those who hear of others' routes.
        var withBlocks = context.Self.IsReflector || peer.As != (peer.LocalAs ?? context.LocalAs);
        var families = peer.ExchangedFamilies;
        var key = (filters, families, withBlocks);
        if (!_known.TryGetValue(key, out var policies))
        {
            policies = (ForEach(families, v => ImportOf(filters, v)), ForEach(families, v => ExportOf(filters, v, withBlocks)));
            _known.Add(key, policies);
        }
        return peer with { Import = policies.Import, Export = policies.Export };
    }

    private static IRoutePolicy? ForEach(Families families, Func<IpVersion, IRoutePolicy?> make) => families switch
    {
        Families.Ipv4Unicast => make(IpVersion.V4),
        Families.Ipv6Unicast => make(IpVersion.V6),
        _ => FamilyPolicy.Of(make(IpVersion.V4), make(IpVersion.V6)),
    };

    private ImportPolicy? ImportOf(ValueList<string> filters, IpVersion version) =>
        RulesOf(filters, isExport: false, version) is { IsEmpty: false } rules ? new ImportPolicy(rules) : null;

    private ExportPolicy? ExportOf(ValueList<string> filters, IpVersion version, bool withBlocks)
    {
        var rules = RulesOf(filters, isExport: true, version);
        if (Inputs.IsAlone)
            return rules.IsEmpty ? null : new ExportPolicy(rules, null);
        if (!_cluster.TryGetValue((version, withBlocks), out var cluster))
        {
            cluster = ClusterOf(version, withBlocks);
            _cluster.Add((version, withBlocks), cluster);
        }
        return new ExportPolicy(rules, cluster);
    }

    private ValueList<FilterRule> RulesOf(ValueList<string> filters, bool isExport, IpVersion version) =>
        FilterCompiler.Compile(filters.Select(f => Inputs.Filters.GetValueOrDefault(f)), isExport, version);

    private ClusterExport ClusterOf(IpVersion version, bool withBlocks)
    {
        var global = Inputs.Global;
        var pools = Inputs.Pools.Values.Select(p => (Range: RangeOf(p.Spec.Cidr, version), IsHidden: p.Spec.DisableBGPExport)).Where(p => p.Range is not null).ToList();
        return new ClusterExport
        {
            HiddenPools = Sorted(pools.Where(p => p.IsHidden).Select(p => p.Range)),
            Pools = Sorted(pools.Where(p => !p.IsHidden).Select(p => p.Range)),
            Blocks = withBlocks ? Sorted(Inputs.Blocks.Select(b => b.Version == version ? b : (Cidr?)null)) : [],
            Reflected = context.Self.IsReflector
                ? Sorted(global.ServiceLoadBalancerIPs.Concat(global.ServiceExternalIPs).Select(e => RangeOf(e.Cidr, version)))
                : [],
            Tags = TagsOf(version),
            NormalPriority = Inputs.NormalPriority(version),
        };
    }

    private ValueList<PrefixTags> TagsOf(IpVersion version)
    {
        var own = Inputs.Of(context.Self.Name);
        var advertisements = own is { PrefixAdvertisements.IsEmpty: false } ? own.PrefixAdvertisements : Inputs.Global.PrefixAdvertisements;
        var names = Inputs.Global.Communities.Concat(own?.Communities ?? []).Where(c => c.Name is not null).ToLookup(c => c.Name!, c => c.Value);
        return new([.. advertisements.Select(a => (Range: RangeOf(a.Cidr, version), a.Communities)).Where(a => a.Range is not null)
            .Select(a => new PrefixTags(a.Range!.Value, Parsed(a.Communities.Select(c => names[c].LastOrDefault() ?? c))))]);
    }

    private static ValueList<RouteTag> Parsed(IEnumerable<string> texts) =>
        new([.. texts.Select(t => RouteTag.TryParse(t, out var tag) ? tag : (RouteTag?)null).OfType<RouteTag>()]);

    private static Cidr? RangeOf(string? text, IpVersion version) =>
        Cidr.TryParse(text, out var cidr) && cidr.Version == version ? cidr.Network : null;

    private static ValueList<Cidr> Sorted(IEnumerable<Cidr?> ranges) => new([.. ranges.OfType<Cidr>().Distinct().Order()]);
}
