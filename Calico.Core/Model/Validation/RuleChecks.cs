using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Validation;

/// <summary>The rules over the fields of one policy rule.</summary>
internal static class RuleChecks
{
    private static readonly EntityRule Nothing = new();

    public static void Rule(Rule rule, string path, ErrorList errors)
    {
        Icmp(rule.Icmp, $"{path}.icmp", errors);
        Icmp(rule.NotICMP, $"{path}.notICMP", errors);
        Protocols(rule, path, errors);
        Http(rule, path, errors);
        if (rule.Source is { } source)
            Entity(source, $"{path}.source", errors);
        if (rule.Destination is { } destination)
            Entity(destination, $"{path}.destination", errors);
        Ports(rule, path, errors);
        Families(rule, path, errors);
        if (rule.Metadata is { } metadata)
            ResourceValidator.Annotations(metadata.Annotations, $"{path}.metadata.annotations", errors);
    }

    private static void Icmp(IcmpFields? icmp, string path, ErrorList errors) =>
        errors.When(icmp is { Code: not null, Type: null }, $"{path}.code", "ICMP code specified without an ICMP type: add type");

    private static void Protocols(Rule rule, string path, ErrorList errors)
    {
        errors.When(rule.Icmp is not null && rule.Protocol?.Number is not (1 or 58), $"{path}.icmp",
            "ICMP fields require protocol to be ICMP or ICMPv6");
        foreach (var (protocol, field) in new[] { (rule.Protocol, "protocol"), (rule.NotProtocol, "notProtocol") })
        {
            errors.When(protocol?.Number == 1 && rule.IpVersion is not (null or 4), $"{path}.{field}", "protocol ICMP requires ipVersion 4");
            errors.When(protocol?.Number == 58 && rule.IpVersion is not (null or 6), $"{path}.{field}", "protocol ICMPv6 requires ipVersion 6");
        }
    }

    private static void Http(Rule rule, string path, ErrorList errors)
    {
        if (rule.Http is not { } http)
            return;
        errors.When(rule.Protocol is { Number: not 6 }, $"{path}.http", "rules with HTTP match must have protocol TCP or unset");
        errors.When(rule.Action != RuleAction.Allow, $"{path}.http", "HTTP match is only valid on Allow rules");
        for (var i = 0; i < http.Paths.Count; i++)
        {
            var at = ErrorList.Index($"{path}.http.paths", i);
            var match = http.Paths[i];
            var text = match.Exact ?? match.Prefix;
            errors.When(match is { Exact: not null, Prefix: not null }, at, "both exact and prefix are set: keep one");
            if (text is null)
                errors.Add(at, null, "either exact or prefix must be set");
            else if (text[0] != '/' || text.AsSpan().ContainsAny("? #"))
                errors.Add(at, text, "must start with '/' and hold no '?', '#' or blank");
        }
    }

    private static void Entity(EntityRule entity, string path, ErrorList errors)
    {
        if (entity.Services is not { } services)
            return;
        errors.When(services.Name is null, $"{path}.services.name", "services must specify a service name");
        errors.When(entity.NamespaceSelector is not null, path, "cannot specify NamespaceSelector and Services on the same rule");
        errors.When(entity.ServiceAccounts is not null, path, "cannot specify ServiceAccounts and Services on the same rule");
        errors.When(entity.Selector is not null || entity.NotSelector is not null, path,
            "cannot specify Selector/NotSelector and Services on the same rule");
        errors.When(!entity.Nets.IsEmpty || !entity.NotNets.IsEmpty, path, "cannot specify Nets/NotNets and Services on the same rule");
    }

    private static void Ports(Rule rule, string path, ErrorList errors)
    {
        var source = rule.Source ?? Nothing;
        var destination = rule.Destination ?? Nothing;
        errors.When(destination.Services is not null && !(destination.Ports.IsEmpty && destination.NotPorts.IsEmpty),
            $"{path}.destination", "ports and notPorts cannot be specified with services");
        (ValueList<Port> Ports, string Field)[] lists =
        [
            (source.Ports, "source.ports"), (source.NotPorts, "source.notPorts"),
            (destination.Ports, "destination.ports"), (destination.NotPorts, "destination.notPorts"),
        ];
        foreach (var (ports, field) in lists.Where(l => !l.Ports.IsEmpty))
        {
            if (rule.Protocol is { } protocol)
                errors.When(!protocol.SupportsPorts, $"{path}.{field}", "rules that specify ports must set protocol to TCP or UDP or SCTP");
            else
                errors.When(ports.Any(p => !p.IsNamed), $"{path}.{field}",
                    "rules with numeric port or port range must set protocol to TCP or UDP or SCTP");
        }
    }

    // One rule compiles to one family's rules: all its networks must agree.
    private static void Families(Rule rule, string path, ErrorList errors)
    {
        var source = rule.Source ?? Nothing;
        var destination = rule.Destination ?? Nothing;
        (ValueList<string> Nets, string Field, bool IsNegated)[] lists =
        [
            (source.Nets, "source.nets", false), (source.NotNets, "source.notNets", true),
            (destination.Nets, "destination.nets", false), (destination.NotNets, "destination.notNets", true),
        ];
        var seen = new HashSet<IpVersion>();
        foreach (var (nets, field, isNegated) in lists)
        {
            for (var i = 0; i < nets.Count; i++)
            {
                var at = ErrorList.Index($"{path}.{field}", i);
                if (!Cidr.TryParse(nets[i], out var cidr))
                {
                    errors.When(Formats.Problem(FieldFormat.Net, nets[i]) is null, at, $"'{nets[i]}' is an address: add its prefix length, as in {nets[i]}/32");
                    continue;
                }
                if (isNegated && cidr.PrefixLength == 0)
                    errors.Add(at, nets[i], "catch-all CIDR in negation creates logical contradiction (matches no traffic)");
                if (rule.IpVersion is { } version && version != (int)cidr.Version)
                    errors.Add(at, nets[i], "rule IP version doesn't match CIDR version");
                if (seen.Add(cidr.Version) && seen.Count == 2)
                    errors.Add(at, nets[i], "rule contains both IPv4 and IPv6 CIDRs: use one rule for each");
            }
        }
    }
}
