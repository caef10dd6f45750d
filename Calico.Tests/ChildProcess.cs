using System.Diagnostics;
using Calico.Tests.Conformance.Bfd;
using Calico.Tests.Datastore.Embedded;

namespace Calico.Tests;

/// <summary>
/// Tests that must kill a process, or run one elsewhere (another mount namespace), run this assembly again as a program
/// with the name of a role below.
/// </summary>
public static class ChildProcess
{
    private static readonly Dictionary<string, Func<string[], Task<int>>> Roles = new()
    {
        ["embedded-stress"] = EmbeddedStress.RunAsync,
        ["embedded-open"] = EmbeddedStress.OpenAsync,
        ["bfd-soak"] = BfdSoak.RunAsync,
    };

    public static async Task<int> Main(string[] args)
    {
        // The test runner loads the assembly and never calls this.
        if (args is [var name, .. var rest] && Roles.TryGetValue(name, out var role))
            return await role(rest);
        await Console.Error.WriteLineAsync($"roles: {string.Join(", ", Roles.Keys)}");
        return 2;
    }

    /// <summary>The command that runs a role.</summary>
    public static string[] Command(string role, params string[] args) =>
        ["dotnet", "exec", typeof(ChildProcess).Assembly.Location, role, .. args];

    public static Process Start(params string[] command)
    {
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var argument in command[1..])
            start.ArgumentList.Add(argument);
        return Process.Start(start) ?? throw new InvalidOperationException($"{command[0]} did not start");
    }

    /// <summary>Runs a command to its end and returns what it printed.</summary>
    public static async Task<(int Status, string Output, string Errors)> RunAsync(params string[] command)
    {
        using var process = Start(command);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output, await errors);
    }
}
