using System.CommandLine;
using System.Text.Json;
using Calico.Core.Model.Kubernetes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Core.Model.V1;
using Calico.Core.Model.Validation;
using Calico.Ctl.Output;
using Calico.Datastore.Manifests;

namespace Calico.Ctl.Commands;

/// <summary>convert: Kubernetes policies, and resources of Calico's first API, as the resources that they become.</summary>
internal static class ConvertCommand
{
    public static Command Build(CtlContext context)
    {
        var file = CommonOptions.File();
        var recursive = CommonOptions.Recursive();
        var output = new Option<string>("--output", "-o") { Description = "yaml or json", DefaultValueFactory = _ => "yaml" };
        var command = new ExampleCommand("convert", "Show Kubernetes policies, and resources of Calico's first API (apiVersion v1), as today's Calico resources.", "convert -f networkpolicy.yaml") { file, recursive, output };
        command.SetAction(async (parsed, _) =>
        {
            var path = parsed.GetValue(file) ?? throw new CtlException("no resources specified: name a file with -f, or '-' for standard input");
            var isJson = parsed.GetValue(output) switch
            {
                "yaml" or "yml" => false,
                "json" => true,
                var other => throw new CtlException($"unrecognized output format '{other}': use yaml or json"),
            };
            var converted = new List<JsonElement>();
            var problems = new List<string>();
            foreach (var document in ResourceFiles.Read(path, parsed.GetValue(recursive), skipEmpty: false, context.In))
            {
                var (resource, found) = Convert(document);
                problems.AddRange(found.Select(p => $"{document.Source}:{document.Line}: {p}"));
                if (resource is not null)
                    converted.Add(ResourceCodec.ToJson(resource));
            }
            if (isJson && converted.Count > 0)
                await context.Out.WriteLineAsync(OutputFormat.Indent(OutputFormat.OneOrList(converted)));
            else
                await context.Out.WriteAsync(string.Concat(converted.Select(c => (converted.Count > 1 ? "---\n" : "") + YamlText.From(c))));
            foreach (var problem in problems)
                await context.Error.WriteLineAsync($"not converted: {problem}");
            return problems.Count == 0 ? CommandLine.Success : CommandLine.Failure;
        });
        return command;
    }

    private static (Resource? Resource, IEnumerable<string> Problems) Convert(ManifestDocument document)
    {
        var kind = document.Json.TryGetProperty("kind", out var k) ? k.ToString() : "";
        var version = document.Json.TryGetProperty("apiVersion", out var v) ? v.ToString() : "";
        try
        {
            if (version == V1Conversion.ApiVersion && V1Conversion.IsKnown(kind))
            {
                var converted = ResourceDefaults.Apply(V1Conversion.Convert(document.Json));
                ResourceValidator.Check(converted);
                return (converted, []);
            }
            if (kind == "NetworkPolicy" && version.StartsWith("networking.k8s.io/", StringComparison.Ordinal))
            {
                var (policy, problems) = PolicyConversion.FromNetworkPolicy(KubeCodec.ParseStrict<KubeNetworkPolicy>(document.Json));
                var named = policy! with { Metadata = policy.Metadata with { Name = KubeNames.PolicyPrefix + policy.Name, Uid = null, ResourceVersion = null } };
                return (named, problems);
            }
            if (kind == "ClusterNetworkPolicy" && version.StartsWith("policy.networking.k8s.io/", StringComparison.Ordinal))
            {
                var (policy, problems) = ClusterPolicyConversion.Convert(KubeCodec.ParseStrict<KubeClusterNetworkPolicy>(document.Json));
                return (policy, problems);
            }
        }
        catch (InvalidResourceException e)
        {
            return (null, [e.Message]);
        }
        return (null, [$"{kind} of {version} has no Calico form: NetworkPolicy of networking.k8s.io, ClusterNetworkPolicy of policy.networking.k8s.io and Calico's own kinds of v1 have"]);
    }
}
