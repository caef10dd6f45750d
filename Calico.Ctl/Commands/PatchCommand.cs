using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Patch;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Manifests;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>patch: changes fields of one resource without naming the others.</summary>
internal static class PatchCommand
{
    private const int Attempts = 16;

    public static Command Build(CtlContext context)
    {
        var kind = KindNames.Argument(isRequired: true);
        var name = new Argument<string>("NAME");
        var patch = new Option<string?>("--patch", "-p") { Description = "The patch, in JSON or YAML." };
        var type = new Option<string>("--type", "-t")
        {
            Description = "strategic or merge: fields replace fields, null removes one; json: a list of operations (RFC 6902).",
            DefaultValueFactory = _ => "strategic",
        };
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var command = new ExampleCommand("patch", "Change fields of a resource in place.",
            """patch node node-0 -p '{"spec":{"bgp":{"routeReflectorClusterID":"224.0.0.1"}}}'""",
            """patch gnp web -t json -p '[{"op":"remove","path":"/spec/ingress/0"}]'""")
        { kind, name, patch, type, ns, config };
        command.SetAction((parsed, cancellation) =>
        {
            var change = Change(parsed.GetValue(type)!, Read(parsed.GetValue(patch)));
            var wanted = Namespaces.Resolve(KindNames.Named(KindNames.Find(parsed.GetValue(kind)), parsed.GetValue(name)), parsed.GetValue(ns), allNamespaces: false);
            return context.WithStoreAsync(parsed.GetValue(config)!, async (_, store) =>
            {
                try
                {
                    Writability.Check(wanted, "patch");
                    await StoreAsync(store, wanted.Key, change, cancellation);
                }
                catch (Exception e) when (e is ResourceException or InvalidResourceException or PatchException)
                {
                    throw new CtlException($"Failed to patch '{wanted.Kind}' resource: {e.Message}", e);
                }
                await context.Out.WriteLineAsync($"Successfully patched 1 '{wanted.Kind}' resource");
                return CommandLine.Success;
            });
        });
        return command;
    }

    private static async Task StoreAsync(ResourceStore store, ResourceKey key, Func<JsonNode?, JsonNode?> change, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            var stored = await store.GetAsync(key, cancellation);
            var before = ResourceCodec.ToJson(stored);
            var after = change(JsonNode.Parse(before.GetRawText()))
                ?? throw new PatchException("nothing is left of the resource; 'calicoctl delete' deletes one");
            using var document = JsonDocument.Parse(after.ToJsonString());
            var patched = ResourceCodec.ParseStrict(document.RootElement, before);
            if (patched.Key != key)
                throw new PatchException("kind, name and namespace of a resource cannot be changed");
            try
            {
                await store.UpdateAsync(patched, cancellation);
                return;
            }
            catch (ResourceException e) when (e.Fault == ResourceFault.Conflict && attempt < Attempts
                && patched.Metadata.ResourceVersion == stored.Metadata.ResourceVersion)
            {
                // Somebody else changed it in between: the patch applies to what is there now.
            }
        }
    }

    private static Func<JsonNode?, JsonNode?> Change(string type, JsonNode? patch) => type switch
    {
        "strategic" => target => MergePatch.ApplyStrategic(target, patch),
        "merge" => target => MergePatch.Apply(target, patch),
        "json" => target => JsonPatch.Apply(target, patch),
        var other => throw new CtlException($"unknown patch type '{other}': use strategic, merge or json"),
    };

    // The reader takes documents apart that are lists, so the patch stands below a name.
    private static JsonNode? Read(string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
            throw new CtlException("no patch specified: name one with --patch");
        try
        {
            if (text.TrimStart() is ['{' or '[', ..])
                return JsonNode.Parse(text);
            var documents = ManifestReader.Read("patch:\n" + string.Concat(text.Split('\n').Select(l => $"  {l}\n")), "patch");
            return documents is [var only] ? JsonNode.Parse(only.Json.GetProperty("patch").GetRawText()) : throw new CtlException("the patch must be one document");
        }
        catch (Exception e) when (e is JsonException or ManifestException)
        {
            throw new CtlException($"the patch is neither JSON nor YAML: {e.Message}", e);
        }
    }
}
