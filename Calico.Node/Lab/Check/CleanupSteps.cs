namespace Calico.Node.Lab.Check;

/// <summary>After <c>down</c> there is no namespace, process, file or link of the lab.</summary>
internal static class CleanupSteps
{
    public static async Task<string> DownAsync(CheckRun run)
    {
        var state = LabState.Load(run.Lab.Place);
        var namespaces = run.Lab.Topology.Namespaces();
        var inside = Processes.OfLab(run.Lab.Place, namespaces);
        await run.Lab.DownAsync();

        var left = run.Lab.Topology.Namespaces();
        CheckRun.Require(left.Count == 0, $"namespaces are left: {string.Join(' ', left)}");
        var alive = (state?.Processes ?? []).Concat(inside).Where(Processes.IsAlive).ToList();
        CheckRun.Require(alive.Count == 0, $"processes are left: {string.Join(' ', alive.Select(p => $"{p.Role} ({p.Pid})"))}");
        CheckRun.Require(!Directory.Exists(run.Lab.Place.Folder), $"{run.Lab.Place.Folder} is left");
        await run.Lab.DownAsync();
        return $"{namespaces.Count} namespaces and {inside.Count} processes were there; a second down is no error";
    }
}
