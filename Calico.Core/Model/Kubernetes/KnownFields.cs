namespace Calico.Core.Model.Kubernetes;

/// <summary>
/// A policy's spec without the fields that this release does not know. Where they could narrow a policy they must not be
/// ignored; but a stored object is checked by its other fields, since whoever wrote them had them checked by a release that
/// knows them.
/// </summary>
internal static class KnownFields
{
    public static KubeNetworkPolicySpec Of(KubeNetworkPolicySpec spec) => spec with
    {
        Unknown = null,
        PodSelector = Of(spec.PodSelector)!,
        Ingress = [.. spec.Ingress.Select(r => r with { Unknown = null, Ports = Of(r.Ports), From = Of(r.From) })],
        Egress = [.. spec.Egress.Select(r => r with { Unknown = null, Ports = Of(r.Ports), To = Of(r.To) })],
    };

    private static ValueList<KubePolicyPort> Of(ValueList<KubePolicyPort> ports) => [.. ports.Select(p => p with { Unknown = null })];

    private static ValueList<KubePeer> Of(ValueList<KubePeer> peers) =>
    [
        .. peers.Select(p => p with
        {
            Unknown = null,
            PodSelector = Of(p.PodSelector),
            NamespaceSelector = Of(p.NamespaceSelector),
            IpBlock = p.IpBlock is { } block ? block with { Unknown = null } : null,
        }),
    ];

    private static LabelSelector? Of(LabelSelector? selector) => selector is null ? null : selector with
    {
        Unknown = null,
        MatchExpressions = [.. selector.MatchExpressions.Select(e => e with { Unknown = null })],
    };
}
