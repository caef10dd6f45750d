using System.CommandLine;

namespace Calico.Ctl.Commands;

/// <summary>Options that several commands have; each command gets its own.</summary>
internal static class CommonOptions
{
    public static Option<string> Config() => new("--config", "-c")
    {
        Description = "File with the connection to the datastore; the environment is used if the default file is missing.",
        DefaultValueFactory = _ => CtlContext.DefaultConfigPath,
    };

    public static Option<string?> File() => new("--filename", "-f") { Description = "File, directory or '-' for standard input, in YAML or JSON." };

    public static Option<string?> Namespace() => new("--namespace", "-n") { Description = "Namespace of the resource; without one it is default." };

    public static Option<bool> Recursive() => new("--recursive", "-R") { Description = "Also read the directories below the one that -f names." };

    public static Option<bool> SkipEmpty() => new("--skip-empty") { Description = "Files without resources are no error." };
}
