using System.CommandLine;
using Calico.Core.Model.Resources;

namespace Calico.Ctl.Commands;

/// <summary>label: sets or removes one label of one resource.</summary>
internal static class LabelCommand
{
    public static Command Build(CtlContext context)
    {
        var kind = KindNames.Argument(isRequired: true);
        var name = new Argument<string>("NAME");
        var label = new Argument<string>("LABEL") { Description = "key=value, or the key with --remove." };
        var ns = CommonOptions.Namespace();
        var config = CommonOptions.Config();
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace another value." };
        var remove = new Option<bool>("--remove") { Description = "Remove the label." };
        var command = new ExampleCommand("label", "Add, change or remove a label.", "label node node1 rack=r7", "label node node1 rack --remove") { kind, name, label, ns, config, overwrite, remove };
        command.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (_, store) =>
        {
            var kindName = parsed.GetValue(kind)!;
            var wanted = Namespaces.Resolve(KindNames.Named(KindNames.Find(kindName), parsed.GetValue(name)), parsed.GetValue(ns), allNamespaces: false);
            var resource = await store.GetAsync(wanted.Key, cancellation);
            var (changed, done) = Change(resource, parsed.GetValue(label)!, parsed.GetValue(overwrite), parsed.GetValue(remove), $"{kindName} {resource.Name}");
            await store.UpdateAsync(changed, cancellation);
            await context.Out.WriteLineAsync(done);
            return CommandLine.Success;
        }));
        return command;
    }

    private static (Resource Changed, string Done) Change(Resource resource, string label, bool overwrite, bool remove, string what)
    {
        var labels = resource.Metadata.Labels;
        if (remove)
        {
            if (!labels.ContainsKey(label))
                throw new CtlException($"cannot remove label of {what}, key {label} does not exist");
            return (With(null), $"Successfully removed label {label} from {what}");
        }
        var split = label.IndexOf('=', StringComparison.Ordinal);
        if (split <= 0)
            throw new CtlException($"invalid label {label}: use key=value");
        var (key, value) = (label[..split], label[(split + 1)..]);
        label = key;
        if (!labels.TryGetValue(key, out var old))
            return (With(value), $"Successfully set label {key} on {what}");
        return overwrite || old == value
            ? (With(value), $"Successfully updated label {key} on {what}")
            : throw new CtlException($"failed to update label of {what}, key {key} is already present. please use '--overwrite' to set a new value");

        Resource With(string? newValue) => resource with { Metadata = resource.Metadata with { Labels = labels.With(label, newValue) } };
    }
}
