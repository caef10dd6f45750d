using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Calico.Core.Model.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Validation;

// What makes a resource acceptable to write: the limits of its single fields (attributes of the records), its name,
// labels and annotations, and the rules of its kind over several fields (the other files here). Upstream splits the same
// rules over OpenAPI schemas, CEL expressions and field validators; here every error names the field's path and says
// what would be right. Reading never validates: what is stored was accepted by somebody.

/// <summary>Decides whether a resource may be written.</summary>
public static partial class ResourceValidator
{
    private const int MaxAnnotationBytes = 256 * 1024;

    /// <summary>Everything that is wrong; empty when the resource may be stored. Apply <see cref="ResourceDefaults"/> first.</summary>
    public static ImmutableArray<FieldError> Validate(Resource resource)
    {
        var errors = new ErrorList();
        errors.AddRange(SchemaCheck.Limits(ResourceCodec.ToJson(resource), ModelJson.TypeInfo(resource.ResourceKind)));
        Name(resource, errors);
        Annotations(resource.Metadata.Annotations, "metadata.annotations", errors);
        Labels(resource.Metadata.Labels, "metadata.labels", errors);
        KindRules(resource, errors);
        return errors.ToImmutable();
    }

    /// <exception cref="InvalidResourceException">With everything that is wrong.</exception>
    public static void Check(Resource resource)
    {
        if (Validate(resource) is { IsEmpty: false } errors)
            throw new InvalidResourceException(resource.ToString(), errors);
    }

    internal static void Labels(StringMap labels, string path, ErrorList errors)
    {
        foreach (var (key, value) in labels)
        {
            if (!Formats.IsQualifiedName(key))
                errors.Add(path, key, "must be a label name: an optional DNS prefix and '/', then at most 63 letters, digits and inner '-', '_', '.'");
            if (!Formats.IsLabelValue(value))
                errors.Add($"{path}.{key}", value, "must be empty or at most 63 letters, digits and inner '-', '_', '.'");
        }
    }

    internal static void Annotations(StringMap annotations, string path, ErrorList errors)
    {
        long size = 0;
        foreach (var (key, value) in annotations)
        {
            if (!Formats.IsQualifiedName(key.ToLowerInvariant()))
                errors.Add(path, key, "must be an annotation name: an optional DNS prefix and '/', then at most 63 letters, digits and inner '-', '_', '.'");
            size += Encoding.UTF8.GetByteCount(key) + Encoding.UTF8.GetByteCount(value);
        }
        errors.When(size > MaxAnnotationBytes, path, $"have {size} bytes, at most {MaxAnnotationBytes} are allowed");
    }

    private static void Name(Resource resource, ErrorList errors)
    {
        const string path = "metadata.name";
        var name = resource.Name;
        if (name.Length == 0)
        {
            errors.Add(path, null, "is required");
            return;
        }
        if (name.Length > 253)
            errors.Add(path, name, $"name is too long by {(name.Length - 253).ToString(CultureInfo.InvariantCulture)} bytes");
        var kind = resource.ResourceKind;
        if (kind == ResourceKind.Tier)
        {
            if (!Formats.IsLabel(name))
                errors.Add(path, name, "must be a tier name: at most 63 lower-case letters, digits and inner '-'");
        }
        else if (kind == ResourceKind.NetworkPolicy || kind == ResourceKind.StagedNetworkPolicy)
        {
            if (!NetworkPolicyName().IsMatch(name))
                errors.Add(path, name, "must be lower-case letters, digits and inner '-', with at most one '.' between tier and name");
        }
        else if (kind == ResourceKind.GlobalNetworkPolicy || kind == ResourceKind.StagedGlobalNetworkPolicy)
        {
            if (!GlobalNetworkPolicyName().IsMatch(name))
                errors.Add(path, name, "must be lower-case letters, digits and inner '-', with at most one '.' between tier and name");
        }
        else if (Formats.Problem(FieldFormat.Name, name) is { } problem)
        {
            errors.Add(path, name, problem);
        }
    }

    private static void KindRules(Resource resource, ErrorList errors)
    {
        switch (resource)
        {
            case NetworkPolicy p: PolicyChecks.Policy(p.Spec, isGlobal: false, errors); break;
            case StagedNetworkPolicy p: PolicyChecks.Staged(p.Spec, errors); break;
            case GlobalNetworkPolicy p: PolicyChecks.Global(p.Spec, errors); break;
            case StagedGlobalNetworkPolicy p: PolicyChecks.StagedGlobal(p.Spec, errors); break;
            case StagedKubernetesNetworkPolicy p: PolicyChecks.StagedKubernetes(p, errors); break;
            case Profile p: PolicyChecks.Profile(p.Spec, errors); break;
            case Tier t: PolicyChecks.Tier(t, errors); break;
            case NetworkSet s: PolicyChecks.NetworkSetLabels(s, errors); break;
            case GlobalNetworkSet s: PolicyChecks.NetworkSetLabels(s, errors); break;
            case IPPool p: PoolChecks.Pool(p.Spec, errors); break;
            case BGPConfiguration c: BgpChecks.Configuration(c, errors); break;
            case BGPPeer p: BgpChecks.Peer(p, errors); break;
            case BGPFilter f: BgpChecks.Filter(f.Spec, errors); break;
            case HostEndpoint e: EndpointChecks.Host(e.Spec, errors); break;
            case WorkloadEndpoint e: EndpointChecks.Workload(e.Spec, errors); break;
            case NodeResource n: EndpointChecks.Node(n.Spec, errors); break;
            case BlockAffinity a: errors.When(a.Spec.Deleted, "spec.deleted", "cannot be set to true"); break;
            case FelixConfiguration c: ConfigurationChecks.Felix(c, errors); break;
            case KubeControllersConfiguration c: ConfigurationChecks.Controllers(c.Spec, errors); break;
            case IPAMConfiguration c: OnlyDefault(c, errors); break;
            case ClusterInformation c: OnlyDefault(c, errors); break;
            default: break;
        }
    }

    private static void OnlyDefault(Resource resource, ErrorList errors)
    {
        if (resource.Name != "default")
            errors.Add("metadata.name", resource.Name, $"the only {resource.Kind} is named default");
    }

    private const string LabelPattern = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

    [GeneratedRegex($@"\A({LabelPattern}(\.{LabelPattern})?|(knp|ossg)\.default\.{LabelPattern}(\.{LabelPattern})*)\z")]
    private static partial Regex NetworkPolicyName();

    [GeneratedRegex($@"\A({LabelPattern}\.)?{LabelPattern}\z")]
    private static partial Regex GlobalNetworkPolicyName();
}
