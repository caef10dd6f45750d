using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>Does one thing to each resource, goes on after errors, and reports in Calico's words.</summary>
internal sealed class Batch(CtlContext context, string verb, string done)
{
    /// <summary>A refusal that the user said is none.</summary>
    public ResourceFault? Skip { get; init; }

    public async Task<int> RunAsync(IReadOnlyList<Resource> resources, Func<Resource, Task<Resource>> act)
    {
        if (resources.Count == 0)
        {
            await context.Out.WriteLineAsync("No resources specified");
            return CommandLine.Success;
        }
        var errors = new List<string>();
        foreach (var resource in resources)
        {
            try
            {
                await act(resource);
            }
            catch (ResourceException e) when (e.Fault == Skip)
            {
                // Asked for with --skip-exists or --skip-not-exists.
            }
            catch (Exception e) when (e is ResourceException or InvalidResourceException or CtlException)
            {
                errors.Add(e.Message);
            }
        }
        var kinds = resources.Select(r => r.Kind).Distinct().ToList();
        await ReportAsync(resources.Count, errors, kinds is [var only] ? only : null);
        return errors.Count == 0 ? CommandLine.Success : CommandLine.Failure;
    }

    private async Task ReportAsync(int count, List<string> errors, string? kind)
    {
        var handled = count - errors.Count;
        var what = kind is null ? "" : $"'{kind}' ";
        var list = string.Join('\n', errors);
        if (errors.Count == 0)
        {
            await context.Out.WriteLineAsync($"Successfully {done} {handled} {what}resource(s)");
        }
        else if (verb == "delete")
        {
            foreach (var error in errors)
                await context.Error.WriteLineAsync($"Failed to delete {what}resource: {error}");
            if (handled > 0)
                await context.Error.WriteLineAsync($"{handled} of {count} {what}resource(s) were deleted");
        }
        else if (handled > 0)
        {
            await context.Error.WriteLineAsync($"Partial success: {done} {handled} out of {count} {what}resources");
            await context.Error.WriteLineAsync($"hit error: {list}");
        }
        else
        {
            await context.Error.WriteLineAsync(count == 1
                ? $"failed to {verb} {what}resource: {list}"
                : $"failed to {verb} any {what}resources: {list}");
        }
    }
}
