using System.Collections.Immutable;
using Calico.Core.Nft;
using Calico.Core.Policy.Graph;

namespace Calico.Core.Policy.Render;

/// <summary>
/// The chains of host endpoints, by layer:
///
///   filter   th, fh (normal), thfw, fhfw (forwarded)       mangle   fh (pre-DNAT), th (normal, after DNAT)
///   raw      th, fh (untracked)
///
/// The endpoint of interface <c>*</c> takes every interface that has none of its own; it knows no untracked policy, and
/// its normal egress policy leaves packets to workloads alone.
/// </summary>
internal sealed class HostChains(RenderOptions options, EndpointChains chains)
{
    private const string Any = "*";

    /// <summary>Which tiers of an endpoint appear in which layer, for the groups' chains.</summary>
    public static IEnumerable<(string Layer, EndpointPolicies Policies, PolicyStage Stage)> Stages(EndpointPolicies host) =>
    [
        (Layer.Filter, host, PolicyStage.Normal),
        (Layer.Filter, host, PolicyStage.Forward),
        (Layer.Mangle, host, PolicyStage.Normal),
        (Layer.Mangle, host, PolicyStage.PreDnat),
        (Layer.Raw, host, PolicyStage.Untracked),
    ];

    /// <summary>Endpoint and dispatch chains of all host endpoints, by interface name; the same for both families.</summary>
    public IEnumerable<RenderedChain> Render(IReadOnlyDictionary<string, EndpointPolicies> hosts)
    {
        var named = hosts.Keys.Where(n => n != Any).ToList();
        var hasAny = hosts.ContainsKey(Any);
        var untracked = hosts.Where(h => h.Key != Any && !h.Value.Untracked.IsEmpty).Select(h => h.Key).ToList();
        var preDnat = hosts.Where(h => !h.Value.PreDnat.IsEmpty).Select(h => h.Key).ToList();
        return hosts.Values.OrderBy(h => h.Endpoint.InterfaceName, StringComparer.Ordinal).SelectMany(Endpoint)
            .Concat(Dispatch(Layer.Filter, StaticChains.FromHost, "fh", true, named, hasAny))
            .Concat(Dispatch(Layer.Filter, StaticChains.ToHost, "th", false, named, hasAny))
            .Concat(Dispatch(Layer.Filter, StaticChains.FromHostForward, "fhfw", true, named, hasAny))
            .Concat(Dispatch(Layer.Filter, StaticChains.ToHostForward, "thfw", false, named, hasAny))
            .Concat(Dispatch(Layer.Mangle, StaticChains.FromHost, "fh", true, preDnat.Where(n => n != Any),
                preDnat.Contains(Any)))
            .Concat(Dispatch(Layer.Mangle, StaticChains.ToHost, "th", false, named, hasAny))
            .Concat(Dispatch(Layer.Raw, StaticChains.FromHost, "fh", true, untracked, false))
            .Concat(Dispatch(Layer.Raw, StaticChains.ToHost, "th", false, untracked, false));
    }

    private IEnumerable<RenderedChain> Endpoint(EndpointPolicies host)
    {
        var name = host.Endpoint.InterfaceName;
        yield return Chain(host, Layer.Filter, "th", Direction.Egress, PolicyStage.Normal, options.FilterAllow);
        yield return Chain(host, Layer.Filter, "fh", Direction.Ingress, PolicyStage.Normal, options.FilterAllow);
        yield return Chain(host, Layer.Filter, "thfw", Direction.Egress, PolicyStage.Forward, options.FilterAllow);
        yield return Chain(host, Layer.Filter, "fhfw", Direction.Ingress, PolicyStage.Forward, options.FilterAllow);
        yield return Chain(host, Layer.Mangle, "th", Direction.Egress, PolicyStage.Normal, AllowAction.Return);
        if (!host.PreDnat.IsEmpty)
            yield return Chain(host, Layer.Mangle, "fh", Direction.Ingress, PolicyStage.PreDnat, options.MangleAllow);
        if (host.Untracked.IsEmpty || name == Any)
            yield break;
        yield return Chain(host, Layer.Raw, "th", Direction.Egress, PolicyStage.Untracked, AllowAction.Accept);
        yield return Chain(host, Layer.Raw, "fh", Direction.Ingress, PolicyStage.Untracked, AllowAction.Accept);
    }

    private RenderedChain Chain(EndpointPolicies host, string layer, string prefix, Direction direction,
        PolicyStage stage, AllowAction allow)
    {
        var failsafe = stage == PolicyStage.Forward ? null
            : direction == Direction.Ingress ? StaticChains.FailsafeIn : StaticChains.FailsafeOut;
        return new RenderedChain(ChainNames.In(layer, ChainNames.Host(prefix, host.Endpoint.InterfaceName)),
            chains.Render(new EndpointChains.Request(host, direction, stage, layer, failsafe, allow, FromWorkload: false)));
    }

    private IEnumerable<RenderedChain> Dispatch(string layer, string root, string prefix, bool incoming,
        IEnumerable<string> interfaces, bool hasAny)
    {
        var otherwise = ImmutableArray.CreateBuilder<NftRule>();
        if (hasAny)
        {
            if (prefix == "th")
            {
                foreach (var workload in options.WorkloadPrefixes)
                    otherwise.Add(new NftRule(StaticChains.Cause, Terms.OutInterface(workload + "*"), Terms.Counter, Terms.Return));
            }
            otherwise.Add(new NftRule(StaticChains.Cause, Terms.Counter,
                Terms.Goto(ChainNames.In(layer, ChainNames.Host(prefix, Any)))));
        }
        return HostDispatch.Render(layer, root, incoming, interfaces, n => ChainNames.Host(prefix, n), otherwise.ToImmutable());
    }
}
