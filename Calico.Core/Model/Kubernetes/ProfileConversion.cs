using System.Diagnostics.CodeAnalysis;
using Calico.Core.Model.Resources;

namespace Calico.Core.Model.Kubernetes;

/// <summary>Namespaces and service accounts as profiles: their labels reach the pods that list the profile.</summary>
public static class ProfileConversion
{
    private static readonly ValueList<Rule> AllowAll = [new Rule { Action = RuleAction.Allow }];

    /// <summary>
    /// <c>kns.NAME</c>: allows everything both ways, which is what a pod without policies may do, and carries the labels.
    /// </summary>
    public static Profile FromNamespace(KubeNamespace ns)
    {
        var name = ns.Metadata.Name ?? "";
        return new Profile
        {
            Metadata = Metadata(Profile.NamespacePrefix + name, ns.Metadata),
            Spec = new ProfileSpec
            {
                Ingress = AllowAll,
                Egress = AllowAll,
                LabelsToApply = Labels(KubeNames.NamespaceLabelPrefix, name, ns.Metadata.Labels),
            },
        };
    }

    /// <summary><c>ksa.NAMESPACE.NAME</c>: labels only.</summary>
    public static Profile FromServiceAccount(KubeServiceAccount account)
    {
        var name = account.Metadata.Name ?? "";
        return new Profile
        {
            Metadata = Metadata(ServiceAccountProfile(account.Metadata.Namespace, name), account.Metadata),
            Spec = new ProfileSpec
            {
                LabelsToApply = Labels(KubeNames.ServiceAccountLabelPrefix, name, account.Metadata.Labels),
            },
        };
    }

    public static string ServiceAccountProfile(string? ns, string account) =>
        $"{Profile.ServiceAccountPrefix}{(string.IsNullOrEmpty(ns) ? "default" : ns)}.{account}";

    /// <summary>The namespace behind a profile <c>kns.NAME</c>.</summary>
    public static bool TryGetNamespace(string profile, [NotNullWhen(true)] out string? ns)
    {
        ns = profile.StartsWith(Profile.NamespacePrefix, StringComparison.Ordinal) ? profile[Profile.NamespacePrefix.Length..] : null;
        return ns is not null;
    }

    /// <summary>The account behind a profile <c>ksa.NAMESPACE.NAME</c>.</summary>
    public static bool TryGetServiceAccount(string profile, [NotNullWhen(true)] out string? ns, [NotNullWhen(true)] out string? account)
    {
        ns = account = null;
        if (profile.Split('.', 3) is not ["ksa", var space, var name])
            return false;
        (ns, account) = (space, name);
        return true;
    }

    private static ObjectMeta Metadata(string name, ObjectMeta source) => new()
    {
        Name = name,
        CreationTimestamp = source.CreationTimestamp,
        Uid = source.Uid is { } uid && KubeNames.TryConvertUid(uid, out var converted) ? converted : null,
    };

    private static StringMap Labels(string prefix, string name, StringMap labels) =>
        StringMap.From(labels.Select(l => KeyValuePair.Create(prefix + l.Key, l.Value))
            .Append(KeyValuePair.Create(prefix + KubeNames.NameLabel, name)));
}
