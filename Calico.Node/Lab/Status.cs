using System.Globalization;

namespace Calico.Node.Lab;

/// <summary>What runs and how it is: processes, readiness, sessions as each node tells them, blocks.</summary>
internal sealed class Status(Lab lab)
{
    public async Task<int> PrintAsync()
    {
        var state = lab.State;
        var rows = new List<IReadOnlyList<string>>();
        var healthy = true;
        foreach (var node in state.AllNodes)
        {
            var process = state.Process(node.Name);
            var alive = process is not null && Processes.IsAlive(process);
            var (ready, answer) = alive ? await AskReadinessAsync(node) : (false, "gone");
            healthy &= ready;
            rows.Add([node.Name, node.Address.ToString(), alive ? process!.Pid.ToString(CultureInfo.InvariantCulture) : "-",
                ready ? "ready" : alive ? answer : "gone", state.Pods.Count(p => p.Node == node.Name).ToString(CultureInfo.InvariantCulture)]);
        }
        lab.Output.Heading("Nodes:");
        lab.Output.Table(["node", "address", "process", "state", "pods"], rows);
        foreach (var role in (string[])[Router.Role, NodeProcess.DatastoreRole])
        {
            var alive = state.Process(role) is { } process && Processes.IsAlive(process);
            healthy &= alive;
            lab.Output.Line($"{role}: {(alive ? $"process {state.Process(role)!.Pid}" : "gone")}");
        }

        lab.Output.Heading("BGP sessions, as each node tells them:");
        foreach (var node in state.AllNodes)
        {
            var (exit, output, errors) = await lab.Ctl.RunOnNodeAsync(node.Name, "node", "status");
            healthy &= exit == 0;
            lab.Output.Line($"{node.Name}:");
            foreach (var line in (exit == 0 ? output : errors.Length > 0 ? errors : output).TrimEnd().Split('\n'))
                lab.Output.Line("  " + line);
        }
        lab.Output.Heading("Blocks:");
        new Demo(lab).PrintBlocks();
        return healthy ? 0 : 1;
    }

    private async Task<(bool Ready, string Answer)> AskReadinessAsync(LabNode node)
    {
        using var inside = lab.Topology.OpenNode(node.Name);
        return await NodeHttp.TryGetAsync(inside, 9099, "/readiness");
    }
}
