using System.CommandLine;
using System.Runtime.InteropServices;
using Akka.Actor;
using Calico.Actors.Bgp;
using Calico.Actors.Routing;
using Calico.Kernel.Namespaces;
using Calico.Node.Agent;
using Calico.Node.Http;
using Calico.Node.Logging;
using Serilog;

namespace Calico.Node.Bgp;

/// <summary>
/// <c>calico-node bgp</c>: a speaker alone, for a route reflector or a router on a machine outside the cluster. It reads its
/// file again when that changes and on SIGHUP; sessions that the change does not concern stay up.
/// </summary>
internal static class BgpCommand
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);

    public static Command Create()
    {
        var config = new Option<string>("--config", "-c") { Description = "File of Node, BGPConfiguration, BGPPeer and BGPFilter resources (YAML or JSON).", Required = true };
        var node = new Option<string>("--node") { Description = "The Node of the file that is this speaker. It listens on the addresses in its spec.bgp.", Required = true };
        var noFib = new Option<bool>("--no-fib") { Description = "Change no kernel: exchange routes only." };
        var socket = new Option<string?>("--socket")
        {
            Description = "Answer 'calicoctl bgp --socket PATH' on this Unix socket, which only root can open. Costs about 20 MiB.",
        };
        var metrics = new Option<string?>("--metrics")
        {
            Description = "Show Prometheus the metrics of the sessions at /metrics of this [ADDRESS:]PORT, such as 9091 or 192.0.2.1:9091.",
        };
        metrics.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !SpeakerMetrics.TryParse(result.Tokens[0].Value, out _))
                result.AddError($"--metrics is '{result.Tokens[0].Value}' and must be PORT, ADDRESS:PORT or [ADDRESS]:PORT, with a port of 1 to 65535");
        });
        var severity = new Option<string>("--log-severity") { Description = "Debug, Info, Warning, Error or Fatal.", DefaultValueFactory = _ => "Info" };
        severity.AcceptOnlyFromAmong("Debug", "Info", "Warning", "Error", "Fatal");
        var command = new Command("bgp", "Run a BGP speaker alone, from a file of resources: a route reflector or router outside the cluster.") { config, node, noFib, socket, metrics, severity };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(config)!, parsed.GetValue(node)!, !parsed.GetValue(noFib),
            new Windows(parsed.GetValue(socket), parsed.GetValue(metrics)), parsed.GetValue(severity)!, cancellation));
        return command;
    }

    // Where others can look in; null for nowhere.
    private readonly record struct Windows(string? Socket, string? Metrics);

    private static async Task<int> RunAsync(string file, string node, bool hasFib, Windows windows, string severity, CancellationToken cancellation)
    {
        Logs.Open(severity);
        try
        {
            // Before it is read: what changes from here on is news.
            var stamp = StampOf(file);
            var surroundings = Surroundings();
            var config = SpeakerFile.Load(file, node, surroundings);
            // Before the first word to a peer: a speaker that runs already must not lose its sessions to one that was started by mistake.
            if (windows.Socket is { } socket && StatusServer.WhyNot(socket) is { } why)
                throw new SpeakerFileException($"--socket {socket}: {why}");
            if (SpeakerSystem.TakenBy(config).ToList() is { Count: > 0 } taken)
                throw new SpeakerFileException($"another process listens on port {config.ListenPort} of {string.Join(" and ", taken)}; stop that first, or set another listenPort");
            await RunAsync(file, stamp, node, surroundings, hasFib, windows, config, cancellation);
            return 0;
        }
        catch (SpeakerFileException e)
        {
            foreach (var line in e.Message.Split('\n'))
                Log.Fatal("bgp: {Problem}", line);
            return 1;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return 0;
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            Log.Fatal("bgp: {Problem}", e.Message);
            return 1;
        }
        catch (Exception e)
        {
            Log.Fatal(e, "the speaker has to give up");
            return 1;
        }
        finally
        {
            await Log.CloseAndFlushAsync();
        }
    }

    private static async Task RunAsync(string file, (DateTime Written, long Length) stamp, string node, RoutingOptions surroundings, bool hasFib, Windows windows, SpeakerConfig config, CancellationToken cancellation)
    {
        using var here = NetworkNamespace.OpenCurrent();
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var refs = SpeakerSystem.Start(new SpeakerOptions(hasFib ? here : null, here, TimeProvider.System, SerilogLogger.Hocon));
        refs.System.RegisterOnTermination(stopping.Cancel);
        refs.Router.Tell(new BgpProtocol.ConfigureSpeaker(config));
        if (windows != default)
            SpeakerMetrics.Register(refs.Speaker, refs.Bfd);
        await using var status = windows.Socket is { } socket ? await StatusServer.StartAsync(socket, refs.Speaker, refs.Bfd) : null;
        await using var metrics = SpeakerMetrics.TryParse(windows.Metrics ?? "", out var endpoint) ? await SpeakerMetrics.StartAsync(endpoint) : null;
        Log.Information("bgp: {Node} is AS {As} with {Peers} peers on {Addresses}, port {Port}", node, config.LocalAs, config.Peers.Length,
            string.Join(", ", config.ListenAddresses), config.ListenPort);
        using var asked = new SemaphoreSlim(0);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            asked.Release();
        });
        try
        {
            await FollowAsync(file, stamp, node, surroundings, config, refs.Router, asked, stopping.Token);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
        }
        if (!cancellation.IsCancellationRequested)
            throw new InvalidOperationException("the actors of the speaker have ended; the kernel keeps what it has");
        await refs.System.Terminate();
    }

    // A file that cannot be used changes nothing: the speaker goes on with what it has.
    private static async Task FollowAsync(string file, (DateTime Written, long Length) stamp, string node, RoutingOptions surroundings, SpeakerConfig config, IActorRef router, SemaphoreSlim asked, CancellationToken cancellation)
    {
        for (var seen = stamp; ;)
        {
            var isAsked = await asked.WaitAsync(LookEvery, cancellation);
            var now = StampOf(file);
            var isNews = isAsked || now != seen;
            // Passwords are files of their own, which change by themselves.
            if (!isNews && config.Withheld.IsEmpty && config.Peers.All(p => p.Password is null))
                continue;
            seen = now;
            try
            {
                var next = SpeakerFile.Load(file, node, surroundings);
                if (!isNews && next.Peers.SequenceEqual(config.Peers) && next.Withheld.SequenceEqual(config.Withheld))
                    continue;
                config = next;
                router.Tell(new BgpProtocol.ConfigureSpeaker(config));
                Log.Information("bgp: read {File} again: {Peers} peers", file, config.Peers.Length);
            }
            catch (SpeakerFileException e) when (isNews)
            {
                foreach (var line in e.Message.Split('\n'))
                    Log.Error("bgp: the configuration stays as it was: {Problem}", line);
            }
            catch (SpeakerFileException)
            {
                // Told already, when the file changed.
            }
        }
    }

    private static RoutingOptions Surroundings()
    {
        var read = EnvironmentReader.OfProcess();
        var options = new RoutingOptions
        {
            RouterId = read.Text("CALICO_ROUTER_ID"),
            SecretsDirectory = read.Text("CALICO_BGP_SECRETS_DIR"),
            LongLivedTime = read.LongLivedTime("CALICO_BGP_LONG_LIVED_TIME"),
            Bfd = read.Bfd("CALICO_BFD"),
        };
        return read.Problems.Count == 0 ? options : throw new SpeakerFileException(string.Join('\n', read.Problems));
    }

    // Of what a link leads to: a mounted ConfigMap is changed by turning a link, and a link itself never looks different.
    private static (DateTime Written, long Length) StampOf(string file)
    {
        try
        {
            var info = new FileInfo(file);
            info = info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info;
            return info.Exists ? (info.LastWriteTimeUtc, info.Length) : default;
        }
        catch (IOException)
        {
            return default;
        }
    }
}
