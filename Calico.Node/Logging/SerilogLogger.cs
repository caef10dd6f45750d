using Akka.Actor;
using Akka.Dispatch;
using Akka.Event;
using Serilog;
using Serilog.Events;
using LogEvent = Akka.Event.LogEvent;

namespace Calico.Node.Logging;

/// <summary>
/// Akka's log events as Serilog events, with the actor's path as source. Named in both systems' configuration.
/// </summary>
public sealed class SerilogLogger : ReceiveActor, IRequiresMessageQueue<ILoggerMessageQueueSemantics>
{
    /// <summary>The HOCON line that selects this logger.</summary>
    public const string Hocon = "loggers = [\"Calico.Node.Logging.SerilogLogger, calico-node\"]";

    public SerilogLogger()
    {
        Receive<Error>(e => Write(LogEventLevel.Error, e, e.Cause));
        Receive<Warning>(e => Write(LogEventLevel.Warning, e, e.Cause));
        Receive<Info>(e => Write(LogEventLevel.Information, e, e.Cause));
        Receive<Debug>(e => Write(LogEventLevel.Debug, e, e.Cause));
        Receive<InitializeLogger>(_ => Sender.Tell(new LoggerInitialized()));
    }

    private static void Write(LogEventLevel level, LogEvent e, Exception? cause)
    {
        var log = Log.ForContext("Source", Short(e.LogSource));
        if (e.Message is LogMessage message)
            log.Write(level, cause, message.Format, [.. message.Parameters()]);
        else
            log.Write(level, cause, "{Message:l}", e.Message?.ToString());
    }

    // "[akka://calico-node/user/bgp#123]" says no more than "bgp".
    private static string Short(string source)
    {
        var user = source.IndexOf("/user/", StringComparison.Ordinal);
        var text = user < 0 ? source : source[(user + 6)..].TrimEnd(']');
        var hash = text.IndexOf('#', StringComparison.Ordinal);
        return hash < 0 ? text : text[..hash];
    }
}
