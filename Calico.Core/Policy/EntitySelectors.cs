using Calico.Core.Model.Resources;
using Calico.Core.Model.Selectors;

namespace Calico.Core.Policy;

/// <summary>
/// How Calico folds the several selectors of a policy or of one end of a rule into one over endpoint labels. It works
/// on text, and so must this: parentheses, and with them canonical form and set id, depend on it.
///
/// Labels of namespaces and service accounts reach endpoints through profiles under the prefixes <c>pcns.</c> and
/// <c>pcsa.</c>; <c>all()</c> over namespaces means "in any namespace", <c>global()</c> "in none".
/// </summary>
internal static class EntitySelectors
{
    private const string NamespacePrefix = "pcns.";
    private const string ServiceAccountPrefix = "pcsa.";
    private const string InNamespace = "has(projectcalico.org/namespace)";
    private const string InNoNamespace = "!has(projectcalico.org/namespace)";
    private const string HasServiceAccount = "has(projectcalico.org/serviceaccount)";

    /// <summary>The endpoints a policy applies to; a namespaced one only within its namespace.</summary>
    public static string OfPolicy(string ns, IPolicySpec spec)
    {
        var selector = spec.Selector ?? "";
        if (ns.Length > 0)
        {
            var term = InOne(ns);
            selector = selector.Length == 0 ? term : $"({selector}) && {term}";
            return And(selector, spec.ServiceAccountSelector, ServiceAccountPrefix);
        }
        if (spec is GlobalNetworkPolicySpec { NamespaceSelector: { Length: > 0 } namespaces })
            selector = And(selector, namespaces, NamespacePrefix).Replace("all()", InNamespace, StringComparison.Ordinal);
        if (spec.ServiceAccountSelector is { Length: > 0 } accounts)
        {
            selector = And(selector, accounts, ServiceAccountPrefix)
                .Replace("all()", HasServiceAccount, StringComparison.Ordinal);
        }
        return selector;
    }

    /// <summary>
    /// The positive and the separate negative selector of one end of a rule, either empty if there is none. A negative
    /// one beside a positive one narrows it; alone it also means what is no endpoint at all.
    /// </summary>
    public static (string Positive, string Negative) OfEntity(EntityRule entity, string ns)
    {
        var positive = Positive(entity, ns);
        var negative = entity.NotSelector ?? "";
        return positive.Length > 0 && negative.Length > 0
            ? ($"({positive}) && (!({negative}))", "")
            : (positive, negative);
    }

    private static string Positive(EntityRule entity, string ns)
    {
        var namespaces = "";
        if (entity.NamespaceSelector is { Length: > 0 } given)
        {
            namespaces = Prefixed(given, NamespacePrefix)
                .Replace("all()", InNamespace, StringComparison.Ordinal)
                .Replace("global()", InNoNamespace, StringComparison.Ordinal);
        }
        else if (ns.Length > 0)
        {
            namespaces = InOne(ns);
        }

        var accounts = ServiceAccounts(entity.ServiceAccounts);
        var own = entity.Selector ?? "";
        var selector = accounts.Length == 0 ? own : own.Length == 0 ? accounts : $"({accounts}) && ({own})";

        // A namespaced policy's rule is bound to namespaces as soon as it selects anything at all.
        var selects = selector.Length > 0 || !string.IsNullOrEmpty(entity.NotSelector)
            || !string.IsNullOrEmpty(entity.NamespaceSelector);
        if (namespaces.Length == 0 || !selects)
            return selector;
        return selector.Length == 0 ? namespaces : $"({namespaces}) && ({selector})";
    }

    private static string ServiceAccounts(ServiceAccountMatch? match)
    {
        if (match is null)
            return "";
        var labels = string.IsNullOrEmpty(match.Selector) ? "" : Prefixed(match.Selector, ServiceAccountPrefix);
        if (match.Names.IsEmpty)
            return labels;
        var names = Selector.Parse(
            $"projectcalico.org/serviceaccount in {{ '{string.Join("', '", match.Names)}' }}").CanonicalText;
        return labels.Length == 0 ? names : $"({labels}) && ({names})";
    }

    private static string InOne(string ns) => $"projectcalico.org/namespace == '{ns}'";

    private static string Prefixed(string selector, string prefix) =>
        Selector.Parse(selector).WithLabelPrefix(prefix).CanonicalText;

    private static string And(string current, string? added, string prefix)
    {
        if (string.IsNullOrEmpty(added))
            return current;
        var prefixed = Prefixed(added, prefix);
        return current.Length == 0 ? prefixed : $"({current}) && {prefixed}";
    }
}
