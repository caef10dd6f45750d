using System.CommandLine;

namespace Calico.Ctl;

/// <summary>Options that every command takes, before or behind its name.</summary>
internal sealed class GlobalOptions
{
    private static readonly string[] Levels = ["panic", "fatal", "error", "warn", "info", "debug"];

    public Option<bool> AllowVersionMismatch { get; } = new("--allow-version-mismatch")
    {
        Description = "Work with a cluster of another version.",
        Recursive = true,
    };

    public Option<string?> Context { get; } = new("--context") { Description = "The context of the kubeconfig to use.", Recursive = true };

    public Option<string> LogLevel { get; } = new("--log-level", "-l")
    {
        Description = "panic, fatal, error, warn, info or debug. Accepted for scripts: errors are always told, and there is no other log.",
        DefaultValueFactory = _ => "panic",
        Recursive = true,
    };

    /// <summary>What the options say, ahead of the commands, which are built from it.</summary>
    public Settings Read(string[] args)
    {
        var command = new RootCommand { AllowVersionMismatch, Context, LogLevel };
        command.TreatUnmatchedTokensAsErrors = false;
        var parsed = command.Parse(args);
        return new Settings(parsed.GetValue(AllowVersionMismatch), parsed.GetValue(Context), parsed.GetValue(LogLevel) ?? "panic");
    }

    internal sealed record Settings(bool AllowVersionMismatch, string? KubeContext, string LogLevel)
    {
        /// <exception cref="CtlException">A value is none of those allowed.</exception>
        public CtlContext Apply(CtlContext context)
        {
            var environment = context.Environment;
            return context with
            {
                AllowVersionMismatch = AllowVersionMismatch,
                Environment = string.IsNullOrEmpty(KubeContext) ? environment : name => name == "K8S_CURRENT_CONTEXT" ? KubeContext : environment(name),
            };
        }

        /// <summary>Null, or what is wrong.</summary>
        public string? Problem => Levels.Contains(LogLevel) ? null
            : $"unknown log level: {LogLevel}, expected one of: {string.Join(", ", Levels)}";
    }
}
