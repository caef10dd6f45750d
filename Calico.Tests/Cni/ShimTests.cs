using System.Diagnostics;
using System.Net.Sockets;
using Calico.Core.Cni;

namespace Calico.Tests.Cni;

[Layer("aot")]
public class ShimTests(ShimBed bed) : IClassFixture<ShimBed>
{
    private const string Config = """{"cniVersion": "1.1.0", "name": "net1", "type": "calico", "ipam": {"type": "calico-ipam"}}""";

    [Fact]
    public async Task Version_needs_neither_node_nor_configuration()
    {
        var run = await bed.RunAsync(new() { ["CNI_COMMAND"] = "VERSION" }, "");

        Assert.Equal((0, ""), (run.ExitCode, run.Errors));
        Assert.Equal("""{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}""", run.Output);
    }

    [Fact]
    public async Task The_release_is_printed_on_request() =>
        Assert.Equal("0.1.0\n", (await bed.RunAsync([], "", "calico", "-v")).Output);

    [Fact]
    public async Task The_whole_call_and_the_namespace_reach_the_node()
    {
        CniRequest? seen = null;
        string? namespaceSeen = null;
        await using var node = bed.StartNode(call =>
        {
            seen = call.Request;
            namespaceSeen = new FileInfo($"/proc/self/fd/{call.Netns!.DangerousGetHandle()}").LinkTarget;
        });

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal(0, run.ExitCode);
        Assert.Equal("10.65.1.2/32", run.Json["ips"]![0]!["address"]!.GetValue<string>());
        Assert.Equal(new CniRequest(CniCommand.Add, CniPlugin.Interface)
        {
            ContainerId = "cid-1",
            NetnsPath = bed.PodNetns,
            InterfaceName = "eth0",
            Args = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0",
            Path = seen!.Path,
            Config = System.Text.Encoding.UTF8.GetBytes(Config),
            NetnsAttached = true,
        }, seen);
        Assert.Equal(bed.PodNamespaceName, namespaceSeen);
    }

    [Theory]
    [InlineData("calico", CniPlugin.Interface)]
    [InlineData("calico-ipam", CniPlugin.Ipam)]
    public async Task The_name_it_was_called_by_reaches_the_node(string binary, CniPlugin plugin)
    {
        CniPlugin? seen = null;
        await using var node = bed.StartNode(call => seen = call.Request.Plugin);

        await bed.RunAsync(bed.Environment("ADD"), Config, binary);

        Assert.Equal(plugin, seen);
    }

    [Theory]
    [InlineData("DEL")]
    [InlineData("CHECK")]
    [InlineData("STATUS")]
    [InlineData("GC")]
    public async Task Every_other_command_passes_through_and_prints_nothing(string command)
    {
        CniCommand? seen = null;
        await using var node = bed.StartNode(call => seen = call.Request.Command);

        var run = await bed.RunAsync(bed.Environment(command), Config);

        Assert.Equal((0, "", ""), (run.ExitCode, run.Output, run.Errors));
        Assert.Equal(command, seen!.Value.ToText());
    }

    [Fact]
    public async Task The_configuration_may_name_the_socket()
    {
        await using var node = bed.StartNode();
        var environment = bed.Environment("ADD");
        environment.Remove("CALICO_CNI_SOCKET");

        var run = await bed.RunAsync(environment, Config.Replace("{\"cni", $"{{\"node_socket\": \"{bed.Socket}\", \"cni", StringComparison.Ordinal));

        Assert.Equal(0, run.ExitCode);
    }

    [Fact]
    public async Task A_configuration_of_almost_a_megabyte_arrives()
    {
        var length = 0;
        await using var node = bed.StartNode(call => length = call.Request.Config.Length);
        var config = Config.Replace("{\"cni", $"{{\"comment\": \"{new string('x', 900_000)}\", \"cni", StringComparison.Ordinal);

        var run = await bed.RunAsync(bed.Environment("ADD"), config);

        Assert.Equal((0, config.Length), (run.ExitCode, length));
    }

    [Fact]
    public async Task A_longer_one_is_refused()
    {
        var run = await bed.RunAsync(bed.Environment("ADD"), new string(' ', 2_000_000));

        Assert.Equal((1, 7), (run.ExitCode, run.Code));
    }

    [Theory]
    [InlineData("ADD")]
    [InlineData("CHECK")]
    public async Task A_namespace_that_is_not_there_is_named(string command)
    {
        var environment = bed.Environment(command);
        environment["CNI_NETNS"] = "/run/netns/gone";

        var run = await bed.RunAsync(environment, Config);

        Assert.Equal((1, 8), (run.ExitCode, run.Code));
        Assert.Contains("/run/netns/gone", run.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/etc/passwd")]
    [InlineData("/proc/self/ns/mnt")]
    [InlineData("/proc/self/ns/net")]
    public async Task What_is_no_pod_s_namespace_is_refused(string path)
    {
        var environment = bed.Environment("ADD");
        environment["CNI_NETNS"] = path;

        var run = await bed.RunAsync(environment, Config);

        Assert.Equal((1, 8), (run.ExitCode, run.Code));
        Assert.Contains(path, run.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/run/netns/gone")]
    [InlineData("/etc/passwd")]
    [InlineData("")]
    public async Task A_delete_goes_on_without_a_namespace(string path)
    {
        bool? attached = null;
        await using var node = bed.StartNode(call => attached = call.Request.NetnsAttached);
        var environment = bed.Environment("DEL");
        environment["CNI_NETNS"] = path;

        var run = await bed.RunAsync(environment, Config);

        Assert.Equal((0, false), (run.ExitCode, attached));
    }

    [Theory]
    [InlineData("ADD", 11)]
    [InlineData("CHECK", 11)]
    [InlineData("STATUS", 50)]
    [InlineData("GC", 11)]
    public async Task Without_a_node_the_runtime_is_told_to_come_back(string command, int code)
    {
        var environment = bed.Environment(command);
        environment["CALICO_CNI_SOCKET"] = "/run/calico-nowhere/cni.sock";

        var run = await bed.RunAsync(environment, Config);

        Assert.Equal((1, code), (run.ExitCode, run.Code));
        Assert.Contains("calico-node is not running: its socket /run/calico-nowhere/cni.sock does not exist", run.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_socket_that_a_dead_node_left_is_told_apart()
    {
        await bed.StartNode().DisposeAsync();

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains($"connect to {bed.Socket}: Connection refused", run.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_in_the_socket_s_place_is_named()
    {
        var environment = bed.Environment("ADD");
        environment["CALICO_CNI_SOCKET"] = "/etc/passwd";

        var run = await bed.RunAsync(environment, Config);

        Assert.Equal((11, "/etc/passwd is not a socket"), (run.Code, run.Message));
    }

    [SkippableFact]
    public async Task A_socket_of_somebody_else_is_not_trusted()
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "only root can give a file away");
        await using var node = bed.StartNode(_ => Assert.Fail("the request was sent"));
        using (var chown = Process.Start("chown", ["12345", bed.Socket]))
            await chown.WaitForExitAsync();

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal((11, $"{bed.Socket} belongs to user 12345, not to root"), (run.Code, run.Message));
    }

    [Fact]
    public async Task A_node_that_dies_midway_is_try_again_later()
    {
        using var node = new RawNode(bed.Socket, peer =>
        {
            peer.Receive(new byte[4096]);
            peer.Close();
        });

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains($"closed {bed.Socket} before it answered", run.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("43434E49")]
    [InlineData("43434E49000100020000000701")]
    public async Task An_answer_that_ends_early_is_try_again_later(string hex)
    {
        using var node = new RawNode(bed.Socket, peer =>
        {
            peer.Receive(new byte[4096]);
            peer.Send(Convert.FromHexString(hex));
            peer.Close();
        });

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
    }

    [Theory]
    [InlineData("485454502F312E3120343030", "does not speak")]
    [InlineData("43434E490002000200000000", "another version")]
    [InlineData("43434E490001000100000000", "neither a request nor a reply")]
    [InlineData("43434E4900010002FFFFFFFF", "longer than 1 MiB")]
    [InlineData("43434E4900010002000000050100000009", "does not speak")]
    public async Task An_answer_that_is_garbage_is_try_again_later(string hex, string why)
    {
        using var node = new RawNode(bed.Socket, peer =>
        {
            peer.Receive(new byte[4096]);
            peer.Send(Convert.FromHexString(hex));
            peer.Shutdown(SocketShutdown.Send);
        });

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains(why, run.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_answer_may_come_in_single_bytes()
    {
        using var node = new RawNode(bed.Socket, peer =>
        {
            peer.Receive(new byte[4096]);
            foreach (var b in new CniReply(3, "{}"u8.ToArray()).ToFrame())
                peer.Send([b]);
        });

        var run = await bed.RunAsync(bed.Environment("ADD"), Config);

        Assert.Equal((3, "{}"), (run.ExitCode, run.Output));
    }

    [Fact]
    public async Task A_node_that_never_answers_is_not_waited_for_longer_than_asked()
    {
        using var node = new RawNode(bed.Socket, peer => peer.Receive(new byte[4096]));
        var environment = bed.Environment("ADD");
        environment["CALICO_CNI_TIMEOUT"] = "1";

        var run = await bed.RunAsync(environment, Config);

        Assert.Equal((1, 11), (run.ExitCode, run.Code));
        Assert.Contains($"did not answer on {bed.Socket} within 1 s", run.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", 6)]
    [InlineData("{\"name\": \"net1\"", 6)]
    [InlineData("{\"cniVersion\": 4, \"name\": \"net1\"}", 6)]
    [InlineData("{}", 7)]
    [InlineData("{\"name\": \"net 1\"}", 7)]
    [InlineData("{\"cniVersion\": \"2.0.0\", \"name\": \"net1\"}", 1)]
    public async Task A_configuration_that_cannot_work_never_reaches_the_node(string config, int code)
    {
        await using var node = bed.StartNode(_ => Assert.Fail("the request was sent"));

        var run = await bed.RunAsync(bed.Environment("ADD"), config);

        Assert.Equal((1, code), (run.ExitCode, run.Code));
    }

    /// <summary>A node of a few bytes: accepts one connection after the other and does as told.</summary>
    private sealed class RawNode : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly List<Socket> _peers = [];
        private readonly Thread _thread;

        public RawNode(string path, Action<Socket> serve)
        {
            File.Delete(path);
            _socket.Bind(new UnixDomainSocketEndPoint(path));
            _socket.Listen();
            _thread = new Thread(() =>
            {
                try
                {
                    while (true)
                    {
                        var peer = _socket.Accept();
                        _peers.Add(peer);
                        serve(peer);
                    }
                }
                catch (SocketException)
                {
                    // Disposed.
                }
            });
            _thread.Start();
        }

        public void Dispose()
        {
            _socket.Dispose();
            _thread.Join();
            _peers.ForEach(p => p.Dispose());
        }
    }
}
