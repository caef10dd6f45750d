using System.Globalization;
using Serilog;
using Serilog.Events;

namespace Calico.Node.Logging;

/// <summary>Where the process logs: one line an event on standard error, which the container runtime keeps.</summary>
internal static class Logs
{
    private const string Template = "{Timestamp:yyyy-MM-dd HH:mm:ss.fff} [{Level:u4}] {Source}: {Message:lj}{NewLine}{Exception}";

    /// <param name="severity">FELIX_LOGSEVERITYSCREEN: DEBUG, INFO, WARNING, ERROR or FATAL.</param>
    public static void Open(string? severity) => Log.Logger = new LoggerConfiguration()
        .MinimumLevel.Is(severity?.ToUpperInvariant() switch
        {
            "TRACE" => LogEventLevel.Verbose,
            "DEBUG" => LogEventLevel.Debug,
            "WARNING" => LogEventLevel.Warning,
            "ERROR" => LogEventLevel.Error,
            "FATAL" => LogEventLevel.Fatal,
            _ => LogEventLevel.Information,
        })
        .WriteTo.Console(outputTemplate: Template, standardErrorFromLevel: LogEventLevel.Verbose, formatProvider: CultureInfo.InvariantCulture)
        .CreateLogger().ForContext("Source", "node");
}
