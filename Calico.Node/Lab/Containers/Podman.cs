namespace Calico.Node.Lab.Containers;

/// <summary>
/// Podman on a node, with CNI as its network backend. It names network namespaces itself, so its machine has names of its own.
/// </summary>
internal sealed class Podman(Machine machine, string cgroup) : IContainerRuntime
{
    // Limits are given, because podman's own are above what a machine without CAP_SYS_RESOURCE may set.
    private const string Config = $"""
        [containers]
        default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
        [network]
        network_backend = "cni"
        cni_plugin_dirs = ["/opt/cni/bin"]
        network_config_dir = "/etc/cni/net.d"
        default_network = "{Machine.Network}"
        [engine]
        cgroup_manager = "cgroupfs"
        events_logger = "none"
        runtime = "runc"
        """;

    private const string Storage = """
        [storage]
        driver = "vfs"
        graphroot = "/var/lib/containers/storage"
        runroot = "/run/containers/storage"
        """;

    private const string Policy = """{"default":[{"type":"insecureAcceptAnything"}]}""";

    public Machine Machine => machine;

    public static async Task<IContainerRuntime> StartAsync(Lab lab, LabNode node, string image)
    {
        var program = Programs.Find("podman", "podman");
        Programs.Find("runc", "runc");
        var files = new Dictionary<string, string>
        {
            ["/etc/containers/containers.conf"] = Config,
            ["/etc/containers/storage.conf"] = Storage,
            ["/etc/containers/policy.json"] = Policy,
        };
        // Podman has no daemon: something has to hold the mounts.
        var machine = await Machine.StartAsync(lab, node, "podman", ownNames: true, files, ["sleep", "infinity"], ["test", "-e", "/opt/cni/bin/calico"]);
        machine.Configure("none");
        await machine.RequireAsync(program, "load", "-q", "-i", image);
        return new Podman(machine, lab.Place.Name);
    }

    public async Task<Container> RunAsync(string name, string role)
    {
        machine.Configure(role);
        var image = (await machine.RequireAsync("podman", "images", "-q")).Split('\n')[0];
        var id = await machine.RequireAsync("podman", "run", "-d", "--name", name, "--network", Machine.Network, "--cgroup-parent", "/" + cgroup,
            "--cap-add", "NET_RAW", image,
            "/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www");
        var output = await machine.RequireAsync("podman", "exec", name, "/bin/busybox", "ip", "-4", "-o", "addr", "show", "eth0");
        // 2: eth0    inet 10.65.0.1/32 scope global eth0
        var address = output.Split(' ', StringSplitOptions.RemoveEmptyEntries).SkipWhile(w => w != "inet").ElementAtOrDefault(1)?.Split('/')[0];
        return new Container(name, id, address ?? throw new LabException($"container {name} has no address: {output}"));
    }

    public Task<(int ExitCode, string Output, string Errors)> ExecAsync(string name, params string[] applet) =>
        machine.RunAsync(["podman", "exec", name, "/bin/busybox", .. applet]);

    public Task RemoveAsync(string name) => machine.RequireAsync("podman", "rm", "-f", "-t", "0", name);
}
