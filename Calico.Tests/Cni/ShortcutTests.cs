using Calico.Actors.Cni;
using Calico.Core.Cni;

namespace Calico.Tests.Cni;

/// <summary>
/// The shim has two ways through a call, one without the .NET runtime for what is ordinary. Nobody may be able to tell which
/// was taken, except by the clock.
/// </summary>
[Layer("aot")]
public class ShortcutTests(ShimBed bed) : IClassFixture<ShimBed>
{
    private const string Plain = """{"cniVersion":"1.0.0","name":"k8s-pod-network","type":"calico","ipam":{"type":"calico-ipam"}}""";

    // A variable that the shortcut leaves to the runtime.
    private Task<ShimRun> RunAsync(string command, string config, bool withRuntime, Action<Dictionary<string, string>>? change = null, string binary = "calico")
    {
        var environment = bed.Environment(command);
        change?.Invoke(environment);
        if (withRuntime)
            environment["CALICO_CNI_TIMEOUT"] = "90";
        return bed.RunAsync(environment, config, binary);
    }

    [Theory]
    [InlineData("ADD", Plain)]
    [InlineData("DEL", Plain)]
    [InlineData("CHECK", Plain)]
    [InlineData("ADD", """ { "type" : "calico" , "name" : "net-1" , "cniVersion" : "0.3.1" , "mtu" : 1440, "deep" : [ 1, -2, {"a":[true,false,null]}, [] ], "policy":{} } """)]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"escaped","type":"calico","log_file_path":"/tmp/caf\u00e9","ipam":{"type":"calico-ipam"}}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"umlaut","type":"calico","note":"Grüße","ipam":{"ranges":[{"subnet":"10.0.0.0/8"}],"type":"calico-ipam"}}""")]
    [InlineData("ADD", """{"CNIVERSION":"1.0.0","Name":"case","type":"calico"}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","cniVersion":"1.1.0","name":"twice","type":"calico"}""")]
    [InlineData("ADD", """{"cniVersion":"9.0.0","name":"newer","type":"calico"}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"","type":"calico"}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"cut","type":"calico","ipam":{"type":"calico-ipam"}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"more","type":"calico"} {}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"comma","type":"calico",}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"number","type":"calico","mtu":01}""")]
    [InlineData("ADD", """{"cniVersion":"1.0.0","name":"foreign","type":"calico","ipam":{"type":"not-there"}}""")]
    [InlineData("ADD", "[]")]
    [InlineData("ADD", "")]
    public async Task Both_ways_tell_the_node_and_the_runtime_the_same(string command, string config)
    {
        var requests = new List<CniRequest>();
        await using var node = bed.StartNode(c => requests.Add(c.Request));

        var ordinary = await RunAsync(command, config, withRuntime: false);
        var thorough = await RunAsync(command, config, withRuntime: true);

        Assert.Equal(thorough, ordinary);
        Assert.True(requests.Count is 0 or 2, $"{requests.Count} requests");
        Assert.True(requests.Count == 0 || requests[0] == requests[1], "the requests differ");
    }

    [Theory]
    [InlineData("CNI_IFNAME", "a-name-that-is-too-long")]
    [InlineData("CNI_IFNAME", "a/b")]
    [InlineData("CNI_CONTAINERID", "../x")]
    [InlineData("CNI_CONTAINERID", "")]
    [InlineData("CNI_ARGS", "K8S_POD_NAME")]
    [InlineData("CNI_ARGS", "A=b;=c")]
    [InlineData("CNI_ARGS", "A=b=c")]
    [InlineData("CNI_ARGS", "A=b;")]
    [InlineData("CNI_ARGS", "A=ü")]
    [InlineData("CNI_ARGS", "A=;B=")]
    [InlineData("CNI_NETNS", "")]
    [InlineData("CNI_PATH", "")]
    public async Task Both_ways_read_the_environment_alike(string variable, string value)
    {
        var requests = new List<CniRequest>();
        await using var node = bed.StartNode(c => requests.Add(c.Request));

        var ordinary = await RunAsync("ADD", Plain, withRuntime: false, e => e[variable] = value);
        var thorough = await RunAsync("ADD", Plain, withRuntime: true, e => e[variable] = value);

        Assert.Equal(thorough, ordinary);
        Assert.True(requests.Count is 0 || (requests.Count == 2 && requests[0] == requests[1]), "the requests differ");
    }

    [Fact]
    public async Task An_ordinary_call_starts_no_runtime_and_an_unusual_one_does()
    {
        var threads = new List<int>();
        await using var node = bed.StartNode(_ => threads.Add(ThreadsOfTheShim()));

        Assert.Equal(0, (await RunAsync("ADD", Plain, withRuntime: false)).ExitCode);
        Assert.Equal(0, (await RunAsync("ADD", Plain, withRuntime: false, binary: "calico-ipam")).ExitCode);
        Assert.Equal(0, (await RunAsync("ADD", Plain, withRuntime: true)).ExitCode);

        Assert.Equal([1, 1], threads.Take(2));
        Assert.True(threads[2] > 1, $"{threads[2]} threads");
    }

    private int ThreadsOfTheShim()
    {
        foreach (var process in Directory.EnumerateDirectories("/proc").Where(d => char.IsAsciiDigit(Path.GetFileName(d)[0])))
        {
            try
            {
                if (File.ReadAllText(Path.Combine(process, "cmdline")).StartsWith(bed.Folder, StringComparison.Ordinal))
                    return Directory.GetDirectories(Path.Combine(process, "task")).Length;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended meanwhile.
            }
        }
        return 0;
    }
}
