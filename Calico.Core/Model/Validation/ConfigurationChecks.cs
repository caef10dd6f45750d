using System.Text.RegularExpressions;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Core.Model.Validation;

/// <summary>The rules of the agent's and the controllers' options.</summary>
internal static partial class ConfigurationChecks
{
    // Linux numbers routing tables with 32 bits; more tables than this make the agent's own table index too large.
    private const long MaxTable = uint.MaxValue;
    private const long MaxTables = 65535;

    // openstack-region- and the region together are a DNS label.
    private const int MaxRegionLength = 63 - 17;

    public static void Felix(FelixConfiguration configuration, ErrorList errors)
    {
        var spec = configuration.Spec;
        errors.When(spec.NodeSelector is not null && (configuration.Name == "default" || configuration.Name.StartsWith("node.", StringComparison.Ordinal)),
            "spec.nodeSelector", "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration");
        RouteTables(spec, errors);
        var nodePorts = spec.KubeNodePortRanges ?? default;
        for (var i = 0; i < nodePorts.Count; i++)
        {
            if (nodePorts[i].IsNamed)
                errors.Add(ErrorList.Index("spec.kubeNodePortRanges", i), nodePorts[i].Name, "node port ranges should not contain named ports");
        }
        InterfaceExclude(spec.InterfaceExclude, errors);
        if (spec.OpenstackRegion is { } region && (region.Length > MaxRegionLength || !Formats.IsLabel(region)))
            errors.Add("spec.openstackRegion", region, $"must be a DNS label of at most {MaxRegionLength} characters");
        foreach (var name in (spec.BpfLogFilters ?? default).Keys)
        {
            if (Formats.Problem(FieldFormat.Interface, name) is not null || name == "*")
                errors.Add("spec.bpfLogFilters", name, "must be an interface name");
        }
        FailsafePorts(spec.FailsafeInboundHostPorts, "spec.failsafeInboundHostPorts", errors);
        FailsafePorts(spec.FailsafeOutboundHostPorts, "spec.failsafeOutboundHostPorts", errors);
        for (var i = 0; i < spec.HealthTimeoutOverrides.Count; i++)
        {
            var at = ErrorList.Index("spec.healthTimeoutOverrides", i);
            var entry = spec.HealthTimeoutOverrides[i];
            if (!ComponentName().IsMatch(entry.Name ?? ""))
                errors.Add($"{at}.name", entry.Name, "must be letters, digits, blanks, '_' and '-'");
        }
        if (spec.IstioDSCPMark is { } mark && !EndpointChecks.IsDscp(mark))
            errors.Add("spec.istioDSCPMark", mark.ToString(), "must be from 0 to 63 or one of DF, EF, AFxy, CSx");
    }

    public static void Controllers(KubeControllersConfigurationSpec spec, ErrorList errors)
    {
        var templates = spec.Controllers.Node?.HostEndpoint?.Templates ?? default;
        for (var i = 0; i < templates.Count; i++)
        {
            var at = ErrorList.Index("spec.controllers.node.hostEndpoint.templates", i);
            ResourceValidator.Labels(templates[i].Labels, $"{at}.labels", errors);
            ResourceValidator.Annotations(templates[i].Annotations, $"{at}.annotations", errors);
        }
    }

    private static void RouteTables(FelixConfigurationSpec spec, ErrorList errors)
    {
        errors.When(spec.RouteTableRange is not null && spec.RouteTableRanges is not null, "spec",
            "routeTableRange and routeTableRanges cannot both be set");
        errors.When(spec.RouteTableRange is { } old && (old.Min < 1 || old.Max < old.Min || old.Max > 250), "spec.routeTableRange",
            "must be a range of route table indices within 1..250");
        long tables = 0;
        var ranges = spec.RouteTableRanges ?? default;
        for (var i = 0; i < ranges.Count; i++)
        {
            var at = ErrorList.Index("spec.routeTableRanges", i);
            var range = ranges[i];
            errors.When(range.Min < 1, at, "min must be >= 1");
            errors.When(range.Min > range.Max, at, "min must not be greater than max");
            errors.When(range.Max > MaxTable, at, $"max must not be greater than {MaxTable}");
            tables += Math.Clamp(range.Max - range.Min + 1, 0, MaxTable);
        }
        errors.When(tables > MaxTables, "spec.routeTableRanges", $"targets {tables} tables, at most {MaxTables} are allowed");
    }

    private static void InterfaceExclude(string? list, ErrorList errors)
    {
        foreach (var entry in list?.Split(',') ?? [])
        {
            var problem = entry is ['/', _, .., '/'] && !entry.Any(char.IsWhiteSpace)
                ? Formats.Problem(FieldFormat.Regex, entry[1..^1])
                : InterfaceName().IsMatch(entry) ? null
                : "must be names of at most 15 letters, digits, '_' and '-', or regular expressions between slashes, separated by commas";
            if (problem is not null)
                errors.Add("spec.interfaceExclude", entry, problem);
        }
    }

    private static void FailsafePorts(ValueList<ProtoPort>? ports, string path, ErrorList errors)
    {
        var list = ports ?? default;
        for (var i = 0; i < list.Count; i++)
        {
            if (list[i].Protocol is not ("TCP" or "UDP" or "SCTP"))
                errors.Add($"{ErrorList.Index(path, i)}.protocol", list[i].Protocol, "protocol must be 'TCP' or 'UDP' or 'SCTP'");
        }
    }

    [GeneratedRegex(@"\A[a-zA-Z0-9_-]{1,15}\z")]
    private static partial Regex InterfaceName();

    [GeneratedRegex(@"\A[a-zA-Z0-9_ -]+\z")]
    private static partial Regex ComponentName();
}
