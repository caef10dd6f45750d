using System.CommandLine;
using Calico.Kernel;
using Calico.Node.Lab.Check;
using Calico.Node.Lab.Churn;
using Calico.Node.Lab.Containers;

namespace Calico.Node.Lab;

/// <summary>The command line of the lab; <c>./run.sh</c> passes its arguments on to it.</summary>
public static class LabCommand
{
    /// <summary><c>calico-node lab</c>; without a subcommand: <c>up</c>, then the demo.</summary>
    public static Command Create()
    {
        var command = new Command("lab", "A cluster on one machine, in network namespaces: real nodes, a router with BIRD, pods wired by the CNI plugin.")
        {
            Up(), Apply(), Delete(), Pod(), Node(), Datastore(), MatrixOf(), Ctl(), StatusOf(), Check(), ChurnCommand.Create(), OfContainers(), Down(), Serve(), Store(), Control(),
        };
        command.SetAction((_, _) => ChangeAsync(async lab =>
        {
            await lab.UpAsync(DefaultNodes);
            await new Demo(lab).RunAsync();
        }));
        return command;
    }

    private const int DefaultNodes = 3;

    private static Option<int> NodesOption() => new("--nodes")
    {
        Description = $"How many nodes, 1 to {LabNode.Most}; odd ones are on segment A, even ones on segment B.",
        DefaultValueFactory = _ => DefaultNodes,
    };

    internal static Option<LabDatastore> DatastoreOption() => new("--datastore")
    {
        Description = "The embedded store, or the distribution's etcd.",
        DefaultValueFactory = _ => LabDatastore.Embedded,
    };

    private static Option<string> FileOption() => new("--filename", "-f")
    {
        Description = "A YAML file with Calico resources (projectcalico.org/v3) or Kubernetes Namespaces and NetworkPolicies; - is standard input.",
        Required = true,
    };

    private static Option<string> NamespaceOption() => new("--namespace", "-n")
    {
        Description = "The pod's Kubernetes namespace; it is made if it is not there.",
        DefaultValueFactory = _ => "default",
    };

    private static Command Up()
    {
        var nodes = NodesOption();
        var datastore = DatastoreOption();
        var command = new Command("up", "Builds the network and starts the nodes.") { nodes, datastore };
        command.SetAction((result, _) => ChangeAsync(lab =>
        {
            var wanted = result.GetValue(nodes);
            return wanted is > 0 and <= LabNode.Most
                ? lab.UpAsync(wanted, result.GetValue(datastore))
                : throw new LabException($"a lab has 1 to {LabNode.Most} nodes, not {wanted}");
        }));
        return command;
    }

    private static Command Apply()
    {
        var file = FileOption();
        var command = new Command("apply", "Creates or replaces resources.") { file };
        command.SetAction((result, _) => ChangeAsync(async lab =>
            lab.Output.Line($"{await lab.ApplyAsync(result.GetRequiredValue(file))} resources applied")));
        return command;
    }

    private static Command Delete()
    {
        var file = FileOption();
        var command = new Command("delete", "Deletes the resources that a file names.") { file };
        command.SetAction((result, _) => ChangeAsync(async lab =>
            lab.Output.Line($"{await lab.DeleteAsync(result.GetRequiredValue(file))} resources deleted")));
        return command;
    }

    private static Command Pod()
    {
        var name = new Argument<string>("name") { Description = "The pod's name, or namespace/name." };
        var space = NamespaceOption();
        var node = new Option<string>("--node") { Description = "The node to run on.", Required = true };
        var labels = new Option<string>("--labels") { Description = "k=v,k=v" };
        var listen = new Option<string>("--listen") { Description = "Ports that answer with the pod's name: 80/tcp,53/udp" };
        var pool = new Option<string>("--pool") { Description = "The only IP pool to take the address from." };
        var add = new Command("add", "Makes a pod: a namespace, wired by the CNI plugin.") { name, node, space, labels, listen, pool };
        add.SetAction((result, _) => ChangeAsync(async lab =>
        {
            var pod = await lab.AddPodAsync(new PodRequest(PodId.Parse(result.GetRequiredValue(name), result.GetValue(space)!), result.GetRequiredValue(node))
            {
                Labels = ParseLabels(result.GetValue(labels)),
                Listen = [.. Split(result.GetValue(listen)).Select(LabPort.Parse)],
                Pool = result.GetValue(pool),
            });
            lab.Output.Line($"{pod.Id} on {pod.Node} has {pod.Address}");
        }));

        var remove = new Command("rm", "Removes a pod.") { name, space };
        remove.SetAction((result, _) => ChangeAsync(async lab =>
        {
            var pod = PodId.Parse(result.GetRequiredValue(name), result.GetValue(space)!);
            await lab.RemovePodAsync(pod);
            lab.Output.Line($"{pod} is removed");
        }));

        var rest = new Argument<string[]>("command") { Description = "The program and its arguments.", CaptureRemainingTokens = true, Arity = ArgumentArity.OneOrMore };
        var execute = new Command("exec", "Runs a program inside a pod's network: pod exec NAME -- ip route") { name, space, rest };
        execute.SetAction((result, _) => LookAsync(async lab =>
        {
            var pod = lab.State.Pod(PodId.Parse(result.GetRequiredValue(name), result.GetValue(space)!));
            using var inside = lab.Topology.OpenPod(pod.Id);
            return await Processes.RunAttachedAsync(inside, new Dictionary<string, string?>(), [.. result.GetRequiredValue(rest).SkipWhile(t => t == "--")]);
        }));
        return new Command("pod", "Pods: add, rm, exec.") { add, remove, execute };
    }

    private static Command Node()
    {
        var name = new Argument<string>("node") { Description = "node1, node2, …" };
        var kill = new Command("kill", "kill -9 of a node's agent; its pods go on.") { name };
        kill.SetAction((result, _) => ChangeAsync(async lab =>
        {
            var node = lab.State.Node(result.GetRequiredValue(name));
            await lab.KillNodeAsync(node);
            lab.Output.Line($"the agent of {node.Name} is killed; its pods and what is in its kernel stay");
        }));
        var start = new Command("start", "Starts a node's agent again.") { name };
        start.SetAction((result, _) => ChangeAsync(lab =>
        {
            var node = lab.State.Node(result.GetRequiredValue(name));
            return lab.Output.StepAsync($"{node.Name}: its agent, until it can forward for its pods", () => lab.StartNodeAsync(node));
        }));
        var remove = new Command("rm", "A power cut: the node and its pods are gone for good.") { name };
        remove.SetAction((result, _) => ChangeAsync(async lab =>
        {
            var node = lab.State.Node(result.GetRequiredValue(name));
            await lab.RemoveNodeAsync(node);
            lab.Output.Line($"{node.Name} is gone, with its pods and its cable");
        }));
        return new Command("node", "Nodes: kill, start, rm.") { kill, start, remove };
    }

    private static Command Datastore()
    {
        var kill = new Command("kill", "kill -9 of the datastore; its file stays.");
        kill.SetAction((_, _) => ChangeAsync(async lab =>
        {
            await lab.KillDatastoreAsync();
            lab.Output.Line("the datastore is killed; its file stays");
        }));
        var start = new Command("start", "Starts the datastore again.");
        start.SetAction((_, _) => ChangeAsync(lab =>
            lab.Output.StepAsync("datastore: until it serves", lab.StartDatastoreAsync)));
        return new Command("datastore", "The datastore: kill, start.") { kill, start };
    }

    private static Command MatrixOf()
    {
        var port = new Option<string>("--port") { Description = "80/tcp, 53/udp or icmp.", DefaultValueFactory = _ => "80/tcp" };
        var format = new Option<string>("--output", "-o") { Description = "json, or nothing for a table." };
        format.AcceptOnlyFromAmong("json");
        var command = new Command("matrix", "Who reaches whom: '.' reached, 'X' blocked, 'r' refused, '!' another pod answered.") { port, format };
        command.SetAction((result, _) => LookAsync(async lab =>
        {
            var matrix = await lab.MatrixAsync(LabPort.Parse(result.GetValue(port)!));
            if (result.GetValue(format) == "json")
                lab.Output.Line(matrix.ToJson());
            else
                matrix.Print(lab.Output);
            return 0;
        }));
        return command;
    }

    private static Command Ctl()
    {
        var rest = new Argument<string[]>("arguments") { Description = "What calicoctl is given.", CaptureRemainingTokens = true, Arity = ArgumentArity.ZeroOrMore };
        var command = new Command("ctl", "calicoctl on the lab's datastore.") { rest };
        command.SetAction((result, _) => LookAsync(lab => lab.RunCtlAsync(result.GetValue(rest) ?? [])));
        return command;
    }

    private static Command StatusOf()
    {
        var command = new Command("status", "Nodes, processes, BGP sessions, blocks; status 1 if something is wrong.");
        command.SetAction((_, _) => LookAsync(lab => new Status(lab).PrintAsync()));
        return command;
    }

    private static Command Check()
    {
        var command = new Command("check", "Brings a lab up, asserts what Calico promises, takes it down; the exit status tells.");
        command.SetAction((_, cancellation) => RunAsync(changes: true, lab => new CheckRun(lab).RunAsync(cancellation)));
        return command;
    }

    private static Command OfContainers()
    {
        var command = new Command("containers", "A lab of two nodes with containerd and podman, whose containers get their network from the plugin; the exit status tells.");
        command.SetAction((_, cancellation) => RunAsync(changes: true, lab =>
            new CheckRun(lab, 2, [ContainerSteps.ContainerdAsync, ContainerSteps.PodmanAsync]).RunAsync(cancellation)));
        return command;
    }

    private static Command Down()
    {
        var command = new Command("down", "Removes everything that belongs to the lab, whatever state it is in.");
        command.SetAction((_, _) => ChangeAsync(async lab =>
        {
            var removed = await lab.DownAsync();
            lab.Output.Line(removed == 0 ? "there is no lab" : $"the lab is gone ({removed} namespaces)");
        }));
        return command;
    }

    // What runs inside a pod; started by the lab itself.
    private static Command Serve()
    {
        var name = new Option<string>("--name") { Required = true };
        var listen = new Option<string>("--listen") { Required = true };
        var command = new Command("responder", "Answers with a name.") { name, listen };
        command.Hidden = true;
        command.SetAction((result, cancellation) => Responder.RunAsync(result.GetRequiredValue(name),
            Split(result.GetRequiredValue(listen)).Select(LabPort.Parse), cancellation));
        return command;
    }

    // What reads the datastore inside the lab's network; started by the lab itself.
    private static Command Store()
    {
        var prefix = new Argument<string>("prefix");
        var command = new Command("store", "Prints what is stored below a prefix.") { prefix };
        command.Hidden = true;
        command.SetAction((result, cancellation) => ReportAsync(() =>
            LabStore.PrintAsync(result.GetRequiredValue(prefix), Console.Out, cancellation)));
        return command;
    }

    // What writes as the controllers do, inside the lab's network; started by the lab itself.
    private static Command Control()
    {
        var verb = new Argument<string>("verb");
        verb.AcceptOnlyFromAmong("apply", "delete");
        var command = new Command("control", "Stores or deletes the resources on standard input.") { verb };
        command.Hidden = true;
        command.SetAction((result, cancellation) => ReportAsync(() =>
            LabStore.ControlAsync(result.GetRequiredValue(verb) == "delete", Console.In, cancellation)));
        return command;
    }

    private static Task<int> ChangeAsync(Func<Lab, Task> action) => RunAsync(changes: true, async lab =>
    {
        await action(lab);
        return 0;
    });

    private static Task<int> LookAsync(Func<Lab, Task<int>> action) => RunAsync(changes: false, action);

    internal static Task<int> RunAsync(bool changes, Func<Lab, Task<int>> action) => ReportAsync(async () =>
    {
        if (!Environment.IsPrivilegedProcess)
            throw new LabException("the lab needs root, because it makes network namespaces: sudo ./run.sh");
        using var only = changes ? await LabLock.TakeAsync(LabPlace.Default) : null;
        return await action(new Lab(LabPlace.Default, LabOutput.Console));
    });

    private static async Task<int> ReportAsync(Func<Task<int>> action)
    {
        try
        {
            return await action();
        }
        catch (Exception e) when (e is LabException or KernelException or IOException)
        {
            await Console.Error.WriteLineAsync($"error: {e.Message}");
            return 1;
        }
    }

    private static string[] Split(string? text) => text?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];

    private static Dictionary<string, string> ParseLabels(string? text)
    {
        var labels = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in Split(text))
        {
            var equals = pair.IndexOf('=');
            if (equals <= 0)
                throw new LabException($"'{pair}' is not a label; write key=value");
            labels[pair[..equals]] = pair[(equals + 1)..];
        }
        return labels;
    }
}
