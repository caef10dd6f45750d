using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands;

/// <summary>
/// Does one thing to each resource, goes on after errors, and reports in Calico's words. Where only some succeed it says
/// which: nothing that is half done is hidden.
/// </summary>
internal sealed class Batch(CtlContext context, string verb, string done)
{
    private readonly List<Resource> _handled = [];
    private readonly List<string> _errors = [];

    /// <summary>A refusal that the user said is none.</summary>
    public ResourceFault? Skip { get; init; }

    public async Task<int> RunAsync(IReadOnlyList<PlacedResource> resources, Func<Resource, Task> act)
    {
        if (resources.Count == 0)
        {
            await context.Out.WriteLineAsync("No resources specified");
            return CommandLine.Success;
        }
        var progress = new Progress(context, resources.Count);
        foreach (var placed in resources)
        {
            try
            {
                await act(placed.Resource);
                _handled.Add(placed.Resource);
            }
            catch (ResourceException e) when (e.Fault == Skip)
            {
                // Asked for with --skip-exists or --skip-not-exists.
                _handled.Add(placed.Resource);
            }
            catch (Exception e) when (e is ResourceException or InvalidResourceException or CtlException)
            {
                _errors.Add(placed.Explain(e));
            }
            catch (DatastoreException e) when (_handled.Count + _errors.Count > 0)
            {
                _errors.Add($"{placed.Resource.Kind}({placed.Resource.Name}): {e.Message}; those after it were not tried");
                break;
            }
            progress.Step();
        }
        progress.End();
        var kinds = resources.Select(r => r.Resource.Kind).Distinct().ToList();
        await ReportAsync(resources.Count, kinds is [var only] ? $"'{only}' " : "");
        return _errors.Count == 0 ? CommandLine.Success : CommandLine.Failure;
    }

    private async Task ReportAsync(int count, string what)
    {
        var list = string.Join('\n', _errors);
        if (_errors.Count == 0)
        {
            await context.Out.WriteLineAsync($"Successfully {done} {_handled.Count} {what}resource(s)");
        }
        else if (verb == "delete")
        {
            foreach (var error in _errors)
                await context.Error.WriteLineAsync($"Failed to delete {what}resource: {error}");
            if (_handled.Count > 0)
                await context.Error.WriteLineAsync($"{_handled.Count} of {count} {what}resource(s) were deleted: {Names()}");
        }
        else if (_handled.Count > 0)
        {
            await context.Error.WriteLineAsync($"Partial success: {done} {_handled.Count} out of {count} {what}resources: {Names()}");
            await context.Error.WriteLineAsync($"hit error: {list}");
        }
        else
        {
            await context.Error.WriteLineAsync(count == 1
                ? $"failed to {verb} {what}resource: {list}"
                : $"failed to {verb} any {what}resources: {list}");
        }
    }

    private string Names()
    {
        const int shown = 20;
        var names = string.Join(", ", _handled.Take(shown).Select(r => r.Namespace is { } ns ? $"{r.Kind}({ns}/{r.Name})" : $"{r.Kind}({r.Name})"));
        return _handled.Count > shown ? $"{names} and {_handled.Count - shown} more" : names;
    }
}
