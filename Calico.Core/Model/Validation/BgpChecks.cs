using Calico.Core.Bgp.Session;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Validation;

/// <summary>The rules of BGP configurations, peers and filters.</summary>
internal static class BgpChecks
{
    public static void Configuration(BGPConfiguration configuration, ErrorList errors)
    {
        var spec = configuration.Spec;
        var meshIsOff = spec.NodeToNodeMeshEnabled == false;
        errors.When(meshIsOff && spec.NodeMeshPassword is not null, "spec.nodeMeshPassword",
            "nodeMeshPassword cannot be set when nodeToNodeMeshEnabled is false");
        errors.When(meshIsOff && spec.NodeMeshMaxRestartTime is not null, "spec.nodeMeshMaxRestartTime",
            "nodeMeshMaxRestartTime cannot be set when nodeToNodeMeshEnabled is false");
        errors.When(!spec.Communities.IsEmpty && spec.PrefixAdvertisements.IsEmpty, "spec.communities",
            "communities are defined but not used in prefixAdvertisements");
        for (var i = 0; i < spec.Communities.Count; i++)
        {
            if (spec.Communities[i].Value is { } value && !Formats.IsCommunity(value))
                errors.Add($"{ErrorList.Index("spec.communities", i)}.value", value, "must be a community, 16-bit a:b or 32-bit a:b:c");
        }
        for (var i = 0; i < spec.PrefixAdvertisements.Count; i++)
        {
            foreach (var community in spec.PrefixAdvertisements[i].Communities)
            {
                if (!Formats.IsCommunity(community) && spec.Communities.All(c => c.Name != community))
                    errors.Add($"{ErrorList.Index("spec.prefixAdvertisements", i)}.communities", community,
                        "is neither a community nor the name of one in spec.communities");
            }
        }
        if (configuration.Name != "default")
            PerNode(spec, errors);
    }

    public static void Peer(BGPPeer peer, ErrorList errors)
    {
        foreach (var (value, problem) in PeerAnnotations.Problems(peer.Metadata.Annotations))
            errors.Add("metadata.annotations", value, problem);
        Peer(peer.Spec, errors);
    }

    private static void Peer(BGPPeerSpec spec, ErrorList errors)
    {
        var hasAsNumber = spec.AsNumber.Value != 0;
        errors.When(spec.Node is not null && spec.NodeSelector is not null, "spec", "node and nodeSelector cannot both be set");
        errors.When(spec.PeerIP is not null && spec.PeerSelector is not null, "spec", "peerIP and peerSelector cannot both be set");
        errors.When(spec.PeerSelector is not null && hasAsNumber, "spec.asNumber", "asNumber must be empty when peerSelector is set");
        errors.When(spec.ReachableBy is not null && spec.PeerIP is null, "spec.reachableBy", "reachableBy must be empty when peerIP is empty");
        errors.When(spec.KeepOriginalNextHop && spec.NextHopMode is not null, "spec",
            "keepOriginalNextHop and nextHopMode cannot both be set; keepOriginalNextHop is deprecated, use nextHopMode instead");
        if (spec.LocalWorkloadSelector is not null)
        {
            errors.When(spec.PeerIP is not null, "spec.peerIP", "peerIP must be empty when localWorkloadSelector is set");
            errors.When(spec.PeerSelector is not null, "spec.peerSelector", "peerSelector must be empty when localWorkloadSelector is set");
            errors.When(!hasAsNumber, "spec.asNumber", "asNumber is required when localWorkloadSelector is set");
        }
        if (spec.PeerIP is { } peer && Formats.TryParseIpPort(peer, out var address, out _)
            && spec.ReachableBy is { } gateway && IpAddr.TryParse(gateway, out var via) && via.Version != address.Version)
            errors.Add("spec.reachableBy", gateway, "ReachableBy and PeerIP address family mismatched");
    }

    public static void Filter(BGPFilterSpec spec, ErrorList errors)
    {
        Rules(spec.ExportV4, "spec.exportV4", errors);
        Rules(spec.ImportV4, "spec.importV4", errors);
        Rules(spec.ExportV6, "spec.exportV6", errors);
        Rules(spec.ImportV6, "spec.importV6", errors);
    }

    private static void Rules<T>(ValueList<T> rules, string path, ErrorList errors)
        where T : BGPFilterRule
    {
        for (var i = 0; i < rules.Count; i++)
        {
            var at = ErrorList.Index(path, i);
            var rule = rules[i];
            errors.When(rule.Cidr is null != rule.MatchOperator is null, at, "cidr and matchOperator must both be set or both be empty");
            errors.When(rule.PrefixLength is not null && rule.Cidr is null, $"{at}.prefixLength", "cidr is required when prefixLength is set");
            errors.When(!rule.Operations.IsEmpty && rule.Action != "Accept", $"{at}.operations", "operations may only be used with action Accept");
            for (var j = 0; j < rule.Operations.Count; j++)
            {
                var operation = rule.Operations[j];
                object?[] set = [operation.AddCommunity, operation.PrependASPath, operation.SetPriority];
                errors.When(set.Count(o => o is not null) != 1, ErrorList.Index($"{at}.operations", j),
                    "must have exactly one of addCommunity, prependASPath, setPriority");
            }
        }
    }

    private static void PerNode(BGPConfigurationSpec spec, ErrorList errors)
    {
        (bool IsSet, string Field)[] globalOnly =
        [
            (spec.NodeToNodeMeshEnabled is not null, "nodeToNodeMeshEnabled"), (spec.AsNumber is not null, "asNumber"),
            (!spec.ServiceClusterIPs.IsEmpty, "serviceClusterIPs"), (!spec.ServiceExternalIPs.IsEmpty, "serviceExternalIPs"),
            (!spec.ServiceLoadBalancerIPs.IsEmpty, "serviceLoadBalancerIPs"), (spec.NodeMeshPassword is not null, "nodeMeshPassword"),
            (spec.NodeMeshMaxRestartTime is not null, "nodeMeshMaxRestartTime"),
        ];
        foreach (var (_, field) in globalOnly.Where(f => f.IsSet))
            errors.Add($"spec.{field}", null, $"Cannot set {field} on a non default BGP Configuration: set it on default");
    }
}
