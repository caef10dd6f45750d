using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Calico.Ctl;

/// <summary>A command whose help ends with how to use it.</summary>
/// <param name="name">As on the command line.</param>
/// <param name="description">What it does.</param>
/// <param name="examples">Whole command lines but for the program's name.</param>
internal sealed class ExampleCommand(string name, string description, params string[] examples) : Command(name, description)
{
    private string[] Examples => examples;

    /// <summary>
    /// Adds the examples of the command that is asked about to the help of a whole command line, and shows the help of a
    /// command that is only a group of others.
    /// </summary>
    public static RootCommand ShownIn(RootCommand root)
    {
        if (root.Options.OfType<HelpOption>().SingleOrDefault() is { Action: HelpAction help } option)
        {
            option.Action = new HelpWithExamples(help);
            ExplainGroups(root, help);
        }
        return root;
    }

    private static void ExplainGroups(Command command, HelpAction help)
    {
        if (command.Subcommands.Count > 0 && command.Action is null)
            command.SetAction(help.Invoke);
        foreach (var child in command.Subcommands)
            ExplainGroups(child, help);
    }

    private sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        // Who asks for help need not have said yet what the command wants.
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            var result = help.Invoke(parseResult);
            if (parseResult.CommandResult.Command is not ExampleCommand command)
                return result;
            var output = parseResult.InvocationConfiguration.Output;
            output.WriteLine("Examples:");
            foreach (var example in command.Examples)
                output.WriteLine($"  calicoctl {example}");
            output.WriteLine();
            return result;
        }
    }
}
