using System.Text.Json.Nodes;
using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab.Containers;

/// <summary>Whether this machine can run a container at all, network or not.</summary>
internal static class ContainerProbe
{
    // What runc does without a runtime above it; the specification is its own, without control groups and terminal.
    private const string Try = """
        set -e
        cd "$1"
        mkdir -p rootfs/bin
        cp "$(command -v busybox)" rootfs/bin/busybox
        runc --root "$1/state" run --bundle "$1" "calico-probe-$$"
        """;

    /// <summary>What stands in the way, in runc's words; null if nothing does.</summary>
    public static async Task<string?> WhyNotAsync()
    {
        var folder = Directory.CreateTempSubdirectory("calico-probe-").FullName;
        try
        {
            using var own = NetworkNamespace.OpenCurrent();
            var environment = new Dictionary<string, string?>();
            var (written, _, refusal) = await Processes.RunAsync(own, environment, null, [Programs.Find("runc", "runc"), "spec", "--bundle", folder]);
            if (written != 0)
                return refusal.Trim();
            await SimplifyAsync(Path.Combine(folder, "config.json"));
            var (exit, output, errors) = await Processes.RunAsync(own, environment, null, ["/bin/sh", "-c", Try, "sh", folder]);
            return exit == 0 ? null : $"{output}{errors}".Trim();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task SimplifyAsync(string path)
    {
        var spec = JsonNode.Parse(await File.ReadAllTextAsync(path))!;
        spec["process"]!["terminal"] = false;
        spec["process"]!["args"] = new JsonArray("/bin/busybox", "true");
        spec["process"]!.AsObject().Remove("rlimits");
        await File.WriteAllTextAsync(path, spec.ToJsonString());
    }
}
