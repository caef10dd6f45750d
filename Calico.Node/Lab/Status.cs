using System.Globalization;

namespace Calico.Node.Lab;

/// <summary>What runs and how it is: processes, readiness, sessions as each node tells them, blocks, and what is wrong.</summary>
internal sealed class Status(Lab lab)
{
    private readonly List<string> _problems = [];

    /// <summary>Returns 1 if something is wrong, after it has been named.</summary>
    public async Task<int> PrintAsync()
    {
        var state = lab.State;
        if (!state.IsComplete)
            _problems.Add("an 'up' did not finish, or is still at work");
        await PrintNodesAsync(state);
        PrintProcesses(state);
        var hasDatastore = state.Process(NodeProcess.DatastoreRole) is { } datastore && Processes.IsAlive(datastore);
        if (hasDatastore)
        {
            await PrintSessionsAsync(state);
            _problems.AddRange(await Consistency.FindAsync(lab));
        }
        _problems.AddRange(state.Pods.Except(state.WiredPods).Select(p => $"{p.Id}: neither made nor removed; ./run.sh pod rm {p.Id}"));
        lab.Output.Heading("Blocks, as the nodes' kernels have them:");
        new Demo(lab).PrintBlocks();
        if (_problems.Count == 0)
            return 0;
        lab.Output.Heading("Wrong:");
        foreach (var problem in _problems)
            lab.Output.Line("  " + problem);
        return 1;
    }

    private async Task PrintNodesAsync(LabState state)
    {
        var rows = new List<IReadOnlyList<string>>();
        foreach (var node in state.AllNodes)
        {
            var process = state.Process(node.Name);
            var alive = process is not null && Processes.IsAlive(process);
            var (ready, answer) = alive ? await AskReadinessAsync(node) : (false, "its agent does not run");
            if (!ready)
                _problems.Add($"{node.Name}: {answer}");
            rows.Add([node.Name, node.Address.ToString(), alive ? process!.Pid.ToString(CultureInfo.InvariantCulture) : "-",
                ready ? "ready" : alive ? "not ready" : "gone", state.WiredPods.Count(p => p.Node == node.Name).ToString(CultureInfo.InvariantCulture)]);
        }
        lab.Output.Heading("Nodes:");
        lab.Output.Table(["node", "address", "process", "state", "pods"], rows);
    }

    private void PrintProcesses(LabState state)
    {
        foreach (var role in (string[])[Router.Role, NodeProcess.DatastoreRole])
        {
            var alive = state.Process(role) is { } process && Processes.IsAlive(process);
            if (!alive)
                _problems.Add($"{role}: does not run");
            lab.Output.Line($"{role}: {(alive ? $"process {state.Process(role)!.Pid}" : "gone")}");
        }
    }

    private async Task PrintSessionsAsync(LabState state)
    {
        lab.Output.Heading("BGP sessions, as each node tells them:");
        foreach (var node in state.AllNodes)
        {
            var (exit, output, errors) = await lab.Ctl.RunOnNodeAsync(node.Name, "node", "status");
            var text = exit == 0 ? output : errors.Length > 0 ? errors : output;
            if (exit == 0)
                _problems.AddRange(SessionsDown(output).Select(peer => $"{node.Name}: its session with {peer} is not up"));
            lab.Output.Line($"{node.Name}:");
            foreach (var line in text.TrimEnd().Split('\n'))
                lab.Output.Line("  " + line);
        }
    }

    // | 192.0.2.1 | node-to-node mesh | up | 12:00:00 | Established |
    internal static IEnumerable<string> SessionsDown(string status) => status.Split('\n')
        .Select(line => line.Split('|', StringSplitOptions.TrimEntries))
        .Where(cells => cells.Length >= 6 && Core.Net.IpAddr.TryParse(cells[1], out _) && cells[3] != "up")
        .Select(cells => cells[1]);

    private async Task<(bool Ready, string Answer)> AskReadinessAsync(LabNode node)
    {
        using var inside = lab.Topology.OpenNode(node.Name);
        return await NodeHttp.TryGetAsync(inside, 9099, "/readiness");
    }
}
