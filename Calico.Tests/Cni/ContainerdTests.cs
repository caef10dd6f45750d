using System.Diagnostics;
using Calico.Core.Net;

namespace Calico.Tests.Cni;

/// <summary>
/// Real containers: containerd with folders and a socket of its own, which finds the plugin and its configuration where it
/// always looks, in a mount namespace where these folders are the test's.
/// </summary>
[Layer("conformance")]
public sealed class ContainerdTests : IAsyncLifetime
{
    // With an address it fetches a line from there, without one it hands lines out.
    private const string Program = """
        #include <arpa/inet.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
          int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
          struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };
          if (argc > 1) {
            char line[6] = "";
            alarm(20);
            inet_pton(AF_INET, argv[1], &a.sin_addr);
            if (connect(s, (struct sockaddr *)&a, sizeof a) != 0) return 1;
            return read(s, line, 5) == 5 && strcmp(line, "hello") == 0 ? 0 : 2;
          }
          setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
          if (bind(s, (struct sockaddr *)&a, sizeof a) != 0 || listen(s, 8) != 0) return 3;
          for (;;) {
            int c = accept(s, 0, 0);
            if (c < 0 || write(c, "hello", 5) != 5) return 4;
            close(c);
          }
        }
        """;

    private readonly List<Process> _running = [];
    private NodeBed _bed = null!;

    private string Folder => Path.Combine(_bed.Folder, "containerd");
    private string Address => Path.Combine(Folder, "containerd.sock");

    public async Task InitializeAsync() => _bed = await NodeBed.StartDualAsync();

    public async Task DisposeAsync()
    {
        if (_running.Count > 0)
        {
            foreach (var name in (string[])["server", "client"])
            {
                await CtrAsync("task", "kill", "-s", "9", name);
                await CtrAsync("task", "delete", "--force", name);
                await CtrAsync("container", "delete", name);
            }
        }
        foreach (var process in _running.AsEnumerable().Reverse())
        {
            if (!process.HasExited)
                process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
        await _bed.DisposeAsync();
    }

    [SkippableFact]
    public async Task Two_containers_of_containerd_talk_through_the_plugin_and_leave_nothing_behind()
    {
        foreach (var program in (string[])["/usr/bin/containerd", "/usr/bin/ctr", "/usr/sbin/runc", "/usr/bin/gcc"])
            Skip.IfNot(File.Exists(program), $"{program} is not installed");
        await PrepareAsync();
        Start("containerd", "-c", Path.Combine(Folder, "config.toml"));
        await Wait.Until(() => CtrAsync("version").GetAwaiter().GetResult() == 0, "containerd");

        var server = Start("unshare", "--mount", "--propagation", "private", "sh", Path.Combine(Folder, "run.sh"), "server", "/bin/talk");
        IpAddr? address = null;
        await Wait.Until(() =>
        {
            Assert.False(server.HasExited, "the server ended");
            address = _bed.WorkloadsAsync().GetAwaiter().GetResult().Select(w => (IpAddr?)w.ParsedAddresses.Single()).FirstOrDefault();
            return address is not null;
        }, "the server's address");
        // Its program starts when its network is there.
        await Task.Delay(TimeSpan.FromSeconds(1));
        var client = Start("unshare", "--mount", "--propagation", "private", "sh", Path.Combine(Folder, "run.sh"), "client", "/bin/talk", address.ToString()!);
        await client.WaitForExitAsync();

        Assert.Equal(0, client.ExitCode);
        await Wait.Until(() => _bed.WorkloadsAsync().GetAwaiter().GetResult().Length == 1, "the client's DEL");
        await CtrAsync("task", "kill", "-s", "9", "server");
        await server.WaitForExitAsync();
        await Wait.Until(() => _bed.WorkloadsAsync().GetAwaiter().GetResult().Length == 0, "the server's DEL");
        Assert.Equal((0, 0), (_bed.HostLinks(), await _bed.AllocatedAsync()));
    }

    private async Task PrepareAsync()
    {
        foreach (var folder in (string[])["root", "state", "rootfs/bin", "net.d"])
            Directory.CreateDirectory(Path.Combine(Folder, folder));
        var source = Path.Combine(Folder, "talk.c");
        await File.WriteAllTextAsync(source, Program);
        Assert.Equal(0, await TestPrograms.RunAsync("gcc", "-static", "-O2", "-o", Path.Combine(Folder, "rootfs/bin/talk"), source));
        await File.WriteAllTextAsync(Path.Combine(Folder, "config.toml"), $$"""
            version = 2
            root = "{{Folder}}/root"
            state = "{{Folder}}/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
              address = "{{Address}}"
            """);
        await File.WriteAllTextAsync(Path.Combine(Folder, "net.d/10-calico.conflist"), $$"""
            {"cniVersion": "1.0.0", "name": "ctr", "plugins": [{"type": "calico", "node_socket": "{{_bed.Socket}}", "ipam": {"type": "calico-ipam"} } ] }
            """);
        // ctr looks in /etc/cni/net.d and /opt/cni/bin and nowhere else.
        await File.WriteAllTextAsync(Path.Combine(Folder, "run.sh"), $$"""
            set -e
            mount -t tmpfs tmpfs /opt
            mkdir -p /opt/cni/bin
            ln -s {{_bed.Folder}}/calico /opt/cni/bin/calico
            mount -t tmpfs tmpfs /etc
            mkdir -p /etc/cni/net.d
            cp {{Folder}}/net.d/10-calico.conflist /etc/cni/net.d/
            name=$1; shift
            exec ctr -a {{Address}} run --rm --cni --rootfs {{Folder}}/rootfs "$name" "$@"
            """);
    }

    private Task<int> CtrAsync(params string[] arguments) => TestPrograms.RunAsync("ctr", ["-a", Address, "--timeout", "5s", .. arguments]);

    private Process Start(string program, params string[] arguments)
    {
        var log = Path.Combine(Folder, $"{_running.Count}.log");
        var start = new ProcessStartInfo("/bin/sh", ["-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1 </dev/null", "sh", log, program, .. arguments]);
        var process = Process.Start(start)!;
        _running.Add(process);
        return process;
    }
}
