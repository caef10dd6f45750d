namespace Calico.Node.Lab.Containers;

/// <param name="Id">Under which the runtime calls the plugin.</param>
internal sealed record Container(string Name, string Id, string Address);

/// <summary>A container runtime on one node, and its containers.</summary>
internal interface IContainerRuntime
{
    Machine Machine { get; }

    /// <summary>Starts a container with a web server, and returns when it has an address and the server runs.</summary>
    /// <param name="role">The label that policies select by.</param>
    Task<Container> RunAsync(string name, string role);

    /// <summary>Runs a busybox applet inside the container.</summary>
    Task<(int ExitCode, string Output, string Errors)> ExecAsync(string name, params string[] applet);

    /// <summary>Kills the container; returns when the runtime has taken everything of it back.</summary>
    Task RemoveAsync(string name);
}
