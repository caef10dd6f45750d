using System.Text.Json.Nodes;

namespace Calico.Node.Lab.Containers;

// Container runtimes keep what they do in /etc, /opt, /run and /var/lib, and some of these places cannot be configured. A
// machine is a mount namespace beside the node's network namespace in which these four are folders of the lab:
//
//   FOLDER/etc      cni/net.d/10-calico.conflist, containerd/config.toml, …
//   FOLDER/opt      cni/bin/calico
//   FOLDER/run      netns (the real one, or the machine's own), the lab's folder
//   FOLDER/var/lib  images, snapshots, results of the plugin
//
// Mounts made inside do not exist outside and go with the last process; nothing is written beside the lab's folder.

/// <summary>A node of the lab as container runtimes see it: its network, and file systems of its own.</summary>
internal sealed class Machine
{
    public const string Network = "kns." + Namespace;
    public const string Namespace = "containers";

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly Dictionary<string, string?> Environment = new() { ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin" };

    // What is bound is a plain folder; the namespace was entered with mounts from outside still arriving (slave), none leaving.
    private const string Setup = """
        set -e
        folder=$1 lab=$2 netns=$3; shift 3
        mkdir -p "$folder"/etc "$folder"/opt "$folder"/run/netns "$folder"/var/lib
        for file in passwd group hosts resolv.conf nsswitch.conf; do [ ! -e /etc/$file ] || cp -L /etc/$file "$folder"/etc/; done
        [ "$netns" = own ] || mount --rbind /run/netns "$folder"/run/netns
        case $lab in /run/*) mkdir -p "$folder$lab"; mount --rbind "$lab" "$folder$lab" ;; esac
        for place in etc opt var/lib run; do mount --rbind "$folder"/$place /$place; done
        exec "$@"
        """;

    private readonly Lab _lab;
    private readonly LabProcess _daemon;

    private Machine(Lab lab, LabNode node, string folder, LabProcess daemon)
    {
        _lab = lab;
        Node = node;
        Folder = folder;
        _daemon = daemon;
    }

    public LabNode Node { get; }
    public string Folder { get; }

    private string Log => Folder + ".log";

    /// <summary>Starts a machine with its daemon; it is there when <paramref name="probe"/> succeeds inside.</summary>
    /// <param name="ownNames">Names of network namespaces are the machine's own; else they are the lab's.</param>
    /// <param name="files">Files that are there before the daemon starts, by their path.</param>
    public static async Task<Machine> StartAsync(Lab lab, LabNode node, string name, bool ownNames,
        IReadOnlyDictionary<string, string> files, string[] daemon, string[] probe)
    {
        var folder = Path.Combine(lab.Place.NodeFolder(node.Name), name);
        foreach (var (path, text) in files)
            Write(folder + path, text);
        Directory.CreateDirectory(folder + "/opt/cni/bin");
        File.Copy(LabPlace.ShimProgram, folder + "/opt/cni/bin/calico", overwrite: true);
        using var inside = lab.Topology.OpenNode(node.Name);
        var process = Processes.Start($"{node.Name} {name}", inside, folder + ".log", Environment,
            [Programs.Find("unshare", "util-linux"), "--mount", "--propagation", "slave", "/bin/sh", "-c", Setup, "sh",
                folder, lab.Place.Folder, ownNames ? "own" : "shared", .. daemon]);
        var machine = new Machine(lab, node, folder, process);
        var answer = "";
        await Until.TrueAsync(async () =>
        {
            (var exit, answer, var errors) = await machine.RunAsync(probe);
            answer += errors;
            return exit == 0 || !Processes.IsAlive(process);
        }, StartLimit, () => $"{name} on {node.Name} does not answer: {answer}; {machine.Log} ends with:\n{Processes.Tail(machine.Log)}");
        return Processes.IsAlive(process)
            ? machine
            : throw new LabException($"{name} on {node.Name} ended at once; {machine.Log} ends with:\n{Processes.Tail(machine.Log)}");
    }

    /// <summary>The plugin's configuration from now on; the label is one that policies can select by.</summary>
    public void Configure(string role) => Write(Folder + "/etc/cni/net.d/10-calico.conflist", Conflist(role).ToJsonString());

    /// <summary>Runs a program on the machine to its end.</summary>
    public async Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] command)
    {
        using var inside = _lab.Topology.OpenNode(Node.Name);
        return await Processes.RunAsync(inside, Environment, null, Enter(command));
    }

    /// <summary>As <see cref="RunAsync"/>, where anything but success is a failure.</summary>
    public async Task<string> RequireAsync(params string[] command)
    {
        var (exit, output, errors) = await RunAsync(command);
        return exit == 0 ? output.Trim() : throw new LabException($"{Node.Name}: {string.Join(' ', command)}: {output}{errors}".Trim());
    }

    /// <summary>Starts a program on the machine and lets go of it.</summary>
    public LabProcess Start(string role, string log, params string[] command)
    {
        using var inside = _lab.Topology.OpenNode(Node.Name);
        return Processes.Start(role, inside, log, Environment, Enter(command));
    }

    private string[] Enter(string[] command) => [Programs.Find("nsenter", "util-linux"), $"--mount=/proc/{_daemon.Pid}/ns/mnt", "--", .. command];

    private JsonObject Conflist(string role) => new()
    {
        ["cniVersion"] = "1.0.0",
        ["name"] = Network,
        ["plugins"] = new JsonArray(new JsonObject
        {
            ["type"] = "calico",
            ["nodename"] = Node.Name,
            ["node_socket"] = _lab.Place.NodeSocket(Node.Name),
            ["ipam"] = new JsonObject { ["type"] = Core.Cni.CniIpamConfig.CalicoType },
            ["args"] = new JsonObject
            {
                ["cni"] = new JsonObject { ["labels"] = new JsonArray(new JsonObject { ["key"] = "role", ["value"] = role }) },
            },
        }),
    };

    private static void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}
