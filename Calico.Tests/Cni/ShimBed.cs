using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Calico.Actors.Cni;
using Calico.Core.Cni;
using Calico.Core.Net;

namespace Calico.Tests.Cni;

/// <summary>What one run of the shim left behind.</summary>
internal sealed record ShimRun(int ExitCode, string Output, string Errors)
{
    public JsonObject Json => JsonNode.Parse(Output)!.AsObject();
    public int Code => Json["code"]!.GetValue<int>();
    public string Message => Json["msg"]!.GetValue<string>();
    public string Details => Json["details"]?.GetValue<string>() ?? "";

    /// <summary>Runs a plugin with exactly this environment.</summary>
    public static async Task<ShimRun> OfAsync(string program, IReadOnlyDictionary<string, string> environment, string input, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
        };
        start.Environment.Clear();
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        try
        {
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The plugin ended without reading all of it.
        }
        await process.WaitForExitAsync();
        return new ShimRun(process.ExitCode, await output, await errors);
    }
}

/// <summary>
/// The real shim under both names, a pod's network namespace, and a listener in the place of the node. The
/// namespace belongs to a sleeping child, so that it goes away with it.
/// </summary>
public sealed class ShimBed : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("calico-shim-").FullName;
    private Process? _pod;

    public string Socket => Path.Combine(_folder, "cni.sock");

    /// <summary>Where DELs wait that found no node.</summary>
    public string Pending => CniPendingDelete.FolderOf(Socket);

    /// <summary>Where the plugins are; a test may put others beside them.</summary>
    public string Folder => _folder;
    public string PodNetns => $"/proc/{_pod!.Id}/ns/net";
    public string PodNamespaceName => File.ResolveLinkTarget(PodNetns, returnFinalTarget: false)!.Name;

    public async Task InitializeAsync()
    {
        foreach (var name in (string[])["calico", "calico-ipam"])
            File.CreateSymbolicLink(Path.Combine(_folder, name), Artifacts.Shim());
        var own = File.ResolveLinkTarget("/proc/self/ns/net", returnFinalTarget: false)!.Name;
        _pod = Process.Start("unshare", ["--net", "sleep", "600"]);
        await Wait.Until(() => PodNamespaceName != own, "the pod's namespace");
    }

    public async Task DisposeAsync()
    {
        if (_pod is { HasExited: false })
        {
            _pod.Kill();
            await _pod.WaitForExitAsync();
        }
        _pod?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>A node that answers every ADD with one address, parsing the configuration as the real one does.</summary>
    public CniListener StartNode(Action<CniCall>? observe = null) =>
        CniListener.Start(new CniListenerOptions(Socket), async (call, _) =>
        {
            observe?.Invoke(call);
            await call.ReplyAsync(Answer(call));
        });

    /// <summary>The environment of an ordinary call.</summary>
    public Dictionary<string, string> Environment(string command) => new()
    {
        ["CNI_COMMAND"] = command,
        ["CNI_CONTAINERID"] = "cid-1",
        ["CNI_NETNS"] = PodNetns,
        ["CNI_IFNAME"] = "eth0",
        ["CNI_PATH"] = _folder,
        ["CNI_ARGS"] = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0",
        ["CALICO_CNI_SOCKET"] = Socket,
    };

    internal Task<ShimRun> RunAsync(Dictionary<string, string> environment, string input, string binary = "calico",
        params string[] arguments) => ShimRun.OfAsync(Path.Combine(_folder, binary), environment, input, arguments);

    private static CniReply Answer(CniCall call)
    {
        if (!CniNetworkConfig.TryParse(call.Request.Config, call.Request.Command, out var config, out var error))
            return error!.ToReply(CniVersion.Newest);
        if (call.Request.Command != CniCommand.Add)
            return CniReply.Done;
        return CniReply.Result(new CniResult(
            [new CniInterface("cali1a2b3c4d5e6"), new CniInterface(call.Request.InterfaceName, "", call.Request.NetnsPath)],
            [new CniAddress(Cidr.Parse("10.65.1.2/32"), 1)], []), config.Version);
    }
}

/// <summary>Waiting on a condition, with a bound that only a broken test meets.</summary>
internal static class Wait
{
    public static async Task Until(Func<bool> condition, string what)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!condition())
        {
            if (limit.IsCancellationRequested)
                throw new TimeoutException($"{what} did not come about");
            await Task.Delay(10);
        }
    }
}
