using System.CommandLine;

namespace Calico.Node.Lab.Churn;

/// <summary>The command line of the churn.</summary>
internal static class ChurnCommand
{
    private const int MostPods = 2000;

    public static Command Create()
    {
        var nodes = new Option<int>("--nodes") { Description = $"2 to {LabNode.Most}.", DefaultValueFactory = _ => 6 };
        var pods = new Option<int>("--pods") { Description = $"How many pods there are at most, up to {MostPods}.", DefaultValueFactory = _ => 500 };
        var minutes = new Option<double>("--minutes") { Description = "How long faults and calls go on.", DefaultValueFactory = _ => 3 };
        var seed = new Option<int>("--seed") { Description = "Decides faults and calls; random unless given.", DefaultValueFactory = _ => Random.Shared.Next(1, 10_000) };
        var datastore = LabCommand.DatastoreOption();
        var command = new Command("churn", "A lab of its own whose pods come and go while agents, cables and the datastore fail; the exit status tells.")
        {
            nodes, pods, minutes, seed, datastore,
        };
        command.SetAction((result, cancellation) => LabCommand.RunAsync(changes: true, lab =>
        {
            var options = new ChurnOptions(result.GetValue(nodes), result.GetValue(pods), TimeSpan.FromMinutes(result.GetValue(minutes)),
                result.GetValue(seed), result.GetValue(datastore));
            return options is { Nodes: >= 2 and <= LabNode.Most, Pods: > 0 and <= MostPods } && options.Length > TimeSpan.Zero && options.Seed is >= 0 and < 100_000
                ? new ChurnRun(lab, options).RunAsync(cancellation)
                : throw new LabException($"a churn has 2 to {LabNode.Most} nodes, 1 to {MostPods} pods, some minutes and a seed below 100000");
        }));
        return command;
    }
}
