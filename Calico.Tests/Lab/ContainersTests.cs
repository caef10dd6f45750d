using Calico.Node.Lab;
using Calico.Node.Lab.Check;
using Calico.Node.Lab.Containers;

namespace Calico.Tests.Lab;

/// <summary>Container runtimes of the distribution, which have never heard of the lab, and the agents.</summary>
[Layer("lab")]
[Collection("lab")]
public sealed class ContainersTests : IAsyncLifetime
{
    private readonly StringWriter _said = new();
    private readonly global::Calico.Node.Lab.Lab _lab;

    public ContainersTests() => _lab = new global::Calico.Node.Lab.Lab(TestLabs.Place("containers"), new LabOutput(_said, onTerminal: false));

    public async Task InitializeAsync()
    {
        Artifacts.LinkPrograms();
        await TestLabs.SweepAsync();
    }

    public async Task DisposeAsync() => await _lab.DownAsync();

    [SkippableFact]
    public Task Containers_of_containerd_get_addresses_a_network_and_policy_and_leave_nothing() =>
        RunAsync(ContainerSteps.ContainerdAsync, "containerd", "ctr", "runc", "umoci", "busybox");

    [SkippableFact]
    public Task Containers_of_podman_get_addresses_a_network_and_policy_and_leave_nothing() =>
        RunAsync(ContainerSteps.PodmanAsync, "podman", "conmon", "runc", "umoci", "busybox");

    private async Task RunAsync(Func<CheckRun, Task> steps, params string[] programs)
    {
        var missing = programs.Where(p => !((string[])["/usr/sbin", "/usr/bin", "/sbin", "/bin"]).Any(f => File.Exists(Path.Combine(f, p)))).ToList();
        Skip.If(missing.Count > 0, $"not installed: {string.Join(", ", missing)}");
        var why = await ContainerProbe.WhyNotAsync();
        Skip.If(why is not null, $"no container can run on this machine: {why}");

        var exit = await new CheckRun(_lab, 2, [steps]).RunAsync(CancellationToken.None);

        Assert.True(exit == 0, _said.ToString());
    }
}
