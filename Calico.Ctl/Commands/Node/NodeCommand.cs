using System.CommandLine;

namespace Calico.Ctl.Commands.Node;

/// <summary>node: commands for the host on which they run.</summary>
internal static class NodeCommand
{
    public static Command Build(CtlContext context) => new("node", "Commands for the node on this host.")
    {
        StatusCommand.Build(context),
        DiagsCommand.Build(context),
        CheckSystemCommand.Build(context),
        RunCommand.Build(context),
    };
}
