using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;

namespace Calico.Tests.Core.Policy;

/// <summary>Short spellings of the things policy tests are made of.</summary>
internal static class PolicyItems
{
    public static readonly CompiledProfile AllowNamespace = Profile("kns.default", ("pcns.projectcalico.org/name", "default"));

    /// <summary>Compiles a v3 policy written as JSON.</summary>
    public static CompiledPolicy Compile(string json, long revision = 1)
    {
        var resource = ResourceCodec.ParseStrict(JsonDocument.Parse(json).RootElement);
        return PolicyCompiler.TryCompile((ITieredPolicy)resource, revision, out var compiled, out var error)
            ? compiled
            : throw new FormatException(error);
    }

    /// <summary>A global policy with rules in JSON, as in <c>{"action":"Allow"}</c>.</summary>
    public static CompiledPolicy Global(string name, string selector, double? order = null, string tier = "default",
        string ingress = "", string egress = "", string types = "Ingress,Egress", string extra = "") => Compile($$$"""
        {"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"{{{name}}}"},
         "spec":{"tier":"{{{tier}}}","selector":"{{{selector}}}","order":{{{(order is { } o ? $"{o}" : "null")}}},
         "types":[{{{string.Join(',', types.Split(',').Select(t => $"\"{t}\""))}}}],{{{extra}}}
         "ingress":[{{{ingress}}}],"egress":[{{{egress}}}]}}
        """);

    /// <summary>A profile that allows everything and passes on labels.</summary>
    public static CompiledProfile Profile(string name, params (string Key, string Value)[] labels) => new()
    {
        Name = name,
        Revision = 1,
        Ingress = [new CompiledRule { Action = Calico.Core.Policy.RuleAction.Allow }],
        Egress = [new CompiledRule { Action = Calico.Core.Policy.RuleAction.Allow }],
        LabelsToApply = Labels(labels),
    };

    /// <summary>A workload called <c>default/name</c> behind <c>caliname</c>.</summary>
    public static PolicyWorld.Workload Workload(string name, string address, params (string Key, string Value)[] labels) =>
        Workload("default", name, [address], [new("http", IpProtocol.Tcp, 8080)], labels);

    public static PolicyWorld.Workload Workload(string ns, string name, IEnumerable<string> addresses,
        ImmutableArray<NamedPort> ports, params (string Key, string Value)[] labels)
    {
        var all = Labels([.. labels, ("projectcalico.org/namespace", ns), ("projectcalico.org/orchestrator", "k8s")]);
        ImmutableArray<IpAddr> ips = [.. addresses.Select(a => IpAddr.Parse(a))];
        return new PolicyWorld.Workload(
            new LocalEndpoint
            {
                Id = $"{ns}/{name}",
                InterfaceName = $"cali{ns[..1]}{name}",
                Labels = all,
                Profiles = [$"kns.{ns}"],
                Addresses = ips,
            },
            new LabelOwner { Labels = all, Profiles = [$"kns.{ns}"], Nets = [.. ips.Select(Cidr.Host)], Ports = ports });
    }

    public static LabelOwner NetSet(string nets, params (string Key, string Value)[] labels) =>
        new() { Labels = Labels(labels), Nets = [.. nets.Split(' ').Select(n => Cidr.Parse(n))] };

    public static ImmutableArray<KeyValuePair<string, string>> Labels(params (string Key, string Value)[] labels) =>
        [.. labels.Select(l => new KeyValuePair<string, string>(l.Key, l.Value))];

    public static PolicyPacket Tcp(string source, string destination, int port) =>
        new(IpAddr.Parse(source), IpAddr.Parse(destination), IpProtocol.Tcp, 40000, port);
}
