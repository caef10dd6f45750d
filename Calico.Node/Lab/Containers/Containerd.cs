namespace Calico.Node.Lab.Containers;

/// <summary>
/// A containerd of a node's own, and its containers, made with <c>ctr run --cni</c>. As under CRI a container joins a network
/// namespace that was there before it; the lab's name on it is what <c>down</c> finds a container by.
/// </summary>
internal sealed class Containerd(Lab lab, Machine machine) : IContainerRuntime
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);

    // The CRI service has no place here: its pods are made by a kubelet.
    private const string Config = """
        version = 2
        disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.devmapper",
          "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs"]
        """;

    public Machine Machine => machine;

    public static async Task<IContainerRuntime> StartAsync(Lab lab, LabNode node, string image)
    {
        Programs.Find("runc", "runc");
        var files = new Dictionary<string, string> { ["/etc/containerd/config.toml"] = Config };
        var machine = await Machine.StartAsync(lab, node, "containerd", ownNames: false, files, [Programs.Find("containerd", "containerd")], ["ctr", "version"]);
        await machine.RequireAsync("ctr", "images", "import", "--base-name", Image.Name, image);
        return new Containerd(lab, machine);
    }

    public async Task<Container> RunAsync(string name, string role)
    {
        machine.Configure(role);
        lab.Topology.CreatePod(PodOf(name));
        var log = Path.Combine(lab.Place.Folder, "containers", name + ".log");
        // In the foreground: then the runtime itself has the plugin remove what it added when the container ends.
        var process = machine.Start($"container {name}", log, "ctr", "run", "--rm", "--cni", "--cgroup", "", "--with-ns", $"network:/run/netns/{lab.Place.PodNamespace(PodOf(name))}",
            $"{Image.Name}:{Image.Tag}", name, "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www");
        string? address = null;
        var answer = "";
        await Until.TrueAsync(async () =>
        {
            if (!Processes.IsAlive(process))
                throw new LabException($"container {name} ended: {Processes.Tail(log)}");
            address = Address(name);
            if (address is null)
                return false;
            var (exit, output, errors) = await ExecAsync(name, Image.Ask("127.0.0.1"));
            answer = $"{output}{errors} ({exit}) ";
            return output.Contains(Image.Page, StringComparison.Ordinal);
        }, StartLimit, () => $"container {name} has {address ?? "no address"} and its server does not answer: {answer}{Processes.Tail(log)}");
        // The runtime puts its own namespace before the name.
        return new Container(name, $"default-{name}", address!);
    }

    public async Task RemoveAsync(string name)
    {
        await machine.RequireAsync("ctr", "tasks", "kill", "-s", "KILL", name);
        await Until.TrueAsync(async () => !(await machine.RequireAsync("ctr", "containers", "ls", "-q")).Split('\n').Contains(name), StartLimit,
            () => $"container {name} is still there");
        lab.Topology.RemovePod(PodOf(name));
    }

    public Task<(int ExitCode, string Output, string Errors)> ExecAsync(string name, params string[] applet) => machine.RunAsync(
        ["ctr", "tasks", "exec", "--exec-id", $"e{Interlocked.Increment(ref _lastExec)}", name, "/bin/busybox", .. applet]);

    private static int _lastExec;

    private static PodId PodOf(string name) => new("containerd", name);

    private string? Address(string name)
    {
        using var inside = lab.Topology.OpenPod(PodOf(name));
        using var links = inside.OpenLinks();
        return links.Find("eth0") is { } eth0 ? links.DumpAddresses(eth0.Index).Where(a => a.Address.IsV4).Select(a => a.Address.Address.ToString()).FirstOrDefault() : null;
    }
}
