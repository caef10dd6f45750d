using System.CommandLine;
using System.CommandLine.Parsing;
using Calico.Core.Model.Schema;
using Calico.Ctl.Commands;
using Calico.Ctl.Commands.Bgp;
using Calico.Ctl.Commands.Cluster;
using Calico.Ctl.Commands.Ipam;
using Calico.Ctl.Commands.Migration;
using Calico.Ctl.Commands.Node;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl;

// calicoctl: Program -> CommandLine (parsing, exit codes) -> Commands/* (one file a command) -> ResourceStore.
// Exit codes, as upstream's: 0 done, 1 refused, failed or a wrong command line. Results are on standard output, everything else on
// standard error.

/// <summary>The command line of calicoctl.</summary>
internal static class CommandLine
{
    public const int Success = 0;
    public const int Failure = 1;

    public static async Task<int> RunAsync(string[] args, CtlContext context)
    {
        // As upstream's: 'help ipam show' is 'ipam show --help'.
        if (args is ["help", .. var asked])
            args = [.. asked, "--help"];
        var global = new GlobalOptions();
        var settings = global.Read(args);
        if (settings.Problem is { } problem)
        {
            await context.Error.WriteLineAsync(problem);
            return Failure;
        }
        var parsed = Build(settings.Apply(context), global).Parse(args);
        if (!IsSuggestion(args) && UsageError(parsed) is { } usage)
        {
            await context.Error.WriteLineAsync(usage);
            await context.Error.WriteLineAsync("Run 'calicoctl --help' for the commands and 'calicoctl COMMAND --help' for their options.");
            return Failure;
        }
        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                Output = context.Out,
                Error = context.Error,
                EnableDefaultExceptionHandler = false,
            });
        }
        catch (Exception e) when (e is CtlException or InvalidResourceException or ResourceException)
        {
            await context.Error.WriteLineAsync(e.Message);
        }
        catch (DatastoreException e)
        {
            await context.Error.WriteLineAsync($"{e.Message}{Advice(e.Fault)}");
        }
        return Failure;
    }

    private static RootCommand Build(CtlContext context, GlobalOptions global) => ExampleCommand.ShownIn(new RootCommand("Manages Calico network and security policy.")
    {
        global.AllowVersionMismatch,
        global.Context,
        global.LogLevel,
        ResourceCommands.Create(context),
        ResourceCommands.Apply(context),
        ResourceCommands.Replace(context),
        ResourceCommands.Delete(context),
        ValidateCommand.Build(context),
        PatchCommand.Build(context),
        GetCommand.Build(context),
        LabelCommand.Build(context),
        ConvertCommand.Build(context),
        SelectorCommand.Build(context),
        BgpCommand.Build(context),
        IpamCommand.Build(context),
        NodeCommand.Build(context),
        DatastoreCommand.Build(context),
        ClusterCommand.Build(context),
        CompletionCommand.Build(context),
        VersionCommand.Build(context),
    });

    // Half a command line, from the script of a shell's completion.
    private static bool IsSuggestion(string[] args) => args is [var first, ..] && first.StartsWith("[suggest", StringComparison.Ordinal);

    // Worded as Calico's own command line words it.
    private static string? UsageError(ParseResult parsed)
    {
        // Nothing that is named here begins with a dash: what does is an option that does not exist.
        var dashed = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens).Select(t => t.Value)
            .Where(t => t.Length > 1 && t[0] == '-').ToList();
        if (parsed.Errors.Count == 0 && dashed.Count == 0)
            return null;
        foreach (var token in parsed.UnmatchedTokens.Concat(dashed))
        {
            if (token.StartsWith("--", StringComparison.Ordinal))
                return $"Error: unknown flag: {token}";
            if (token.Length > 1 && token[0] == '-')
                return $"Error: unknown shorthand flag: '{token[1]}' in {token}";
        }
        return parsed.UnmatchedTokens is [var command, ..] && parsed.CommandResult.Command is RootCommand
            ? $"Error: unknown command \"{command}\" for \"calicoctl\""
            : "Error: " + string.Join("; ", parsed.Errors.Select(e => e.Message));
    }

    private static string Advice(DatastoreFault fault) => fault switch
    {
        DatastoreFault.Unavailable => ": check that the datastore runs and that ETCD_ENDPOINTS or the configuration file name it",
        DatastoreFault.Denied => ": check the user, password and certificates of the configuration",
        _ => "",
    };
}
