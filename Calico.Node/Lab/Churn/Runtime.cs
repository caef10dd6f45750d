using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab.Churn;

/// <summary>A pod's network namespace and the name under which the plugin is called for it. A pod may get another later.</summary>
internal sealed record Sandbox(string Name, string Container, string Node, string Role);

/// <summary>
/// What a container runtime does with sandboxes: it makes and removes their namespaces and executes the real plugin, one
/// process a call. Every call is logged with its outcome.
/// </summary>
internal sealed class Runtime(Lab lab, CallLog log, CancellationToken halt)
{
    public const string Namespace = "churn";
    public const string RoleLabel = "role";
    private static int _lastContainer;

    /// <summary>Of IPAM, as Calico forms it: the network's name and the container's id.</summary>
    public static string HandleOf(string container) => $"kns.{Namespace}.{container}";

    public Sandbox Make(string name, string node, string role)
    {
        halt.ThrowIfCancellationRequested();
        var sandbox = new Sandbox(name, $"c{Interlocked.Increment(ref _lastContainer):d7}", node, role);
        NetworkNamespace.CreateNamed(NetnsOf(sandbox.Container)).Dispose();
        return sandbox;
    }

    public void Discard(string container) => NetworkNamespace.DeleteNamed(NetnsOf(container));

    public string NetnsOf(string container) => $"{lab.Place.Name}-pod-{container}";

    /// <param name="brokenOffAfter">When the plugin is killed if it is not done by then.</param>
    public Task<CallOutcome> AddAsync(Sandbox sandbox, TimeSpan? brokenOffAfter = null) => CallAsync("ADD", sandbox, null, brokenOffAfter);

    public Task<CallOutcome> DelAsync(Sandbox sandbox) => CallAsync("DEL", sandbox, null, null);

    /// <param name="added">What the ADD printed.</param>
    public Task<CallOutcome> CheckAsync(Sandbox sandbox, string added) => CallAsync("CHECK", sandbox, JsonNode.Parse(added), null);

    /// <summary>The address in what an ADD printed; null if there is not exactly one.</summary>
    public static string? AddressOf(CallOutcome added)
    {
        var addresses = JsonNode.Parse(added.Text)?["ips"]?.AsArray().Select(ip => ip?["address"]?.GetValue<string>()).ToList();
        return addresses is [{ } only] && only.EndsWith("/32", StringComparison.Ordinal) ? only[..^3] : null;
    }

    private async Task<CallOutcome> CallAsync(string command, Sandbox sandbox, JsonNode? previous, TimeSpan? brokenOffAfter)
    {
        halt.ThrowIfCancellationRequested();
        var pod = new LabPod(Namespace, sandbox.Name, sandbox.Node, sandbox.Container, "")
        {
            Labels = new Dictionary<string, string> { [RoleLabel] = sandbox.Role },
        };
        var configuration = lab.Pods.Configuration(pod, null);
        if (previous is not null)
            configuration["prevResult"] = previous;
        var at = log.Now;
        var begun = Stopwatch.GetTimestamp();
        using var broken = CancellationTokenSource.CreateLinkedTokenSource(halt);
        broken.CancelAfter(brokenOffAfter ?? Timeout.InfiniteTimeSpan);
        int? code = null;
        var text = "";
        try
        {
            var (exit, output, errors) = await lab.Pods.RunShimAsync(command, pod, configuration.ToJsonString(), $"/run/netns/{NetnsOf(sandbox.Container)}", broken.Token);
            (code, text) = exit == 0 ? (0, output) : ErrorOf(output, errors);
        }
        catch (OperationCanceledException)
        {
            text = "broken off";
        }
        var outcome = new CallOutcome(command, sandbox.Node, sandbox.Name, sandbox.Container, code, text, at, Stopwatch.GetElapsedTime(begun));
        log.Called(outcome);
        return outcome;
    }

    // A plugin that fails without a CNI error on its standard output breaks the specification: no code that a caller expects.
    private static (int Code, string Text) ErrorOf(string output, string errors)
    {
        try
        {
            var error = JsonNode.Parse(output);
            return (error!["code"]!.GetValue<int>(), $"{error["msg"]} {error["details"]}".Trim());
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException)
        {
            return (-1, $"{output}{errors}".Trim());
        }
    }
}
