using System.CommandLine;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Node;

/// <summary>
/// node run: how the agent is started on this host with these options, as a container and as a program. It prints the
/// commands; whoever runs hosts has a service manager that starts them.
/// </summary>
internal static class RunCommand
{
    private const string DefaultImage = "calico/node";
    private const string FirstFound = "first-found";

    private static readonly string[] Methods = ["can-reach=", "interface=", "skip-interface=", "cidr="];

    public static Command Build(CtlContext context)
    {
        var ip = new Option<string?>("--ip") { Description = "This node's IPv4 address with prefix length, or autodetect." };
        var ip6 = new Option<string?>("--ip6") { Description = "This node's IPv6 address with prefix length, or autodetect." };
        var asn = new Option<string?>("--as") { Description = "This node's AS number." };
        var name = new Option<string?>("--name") { Description = "This node's name; without it the host's." };
        var method = new Option<string>("--ip-autodetection-method") { Description = "first-found, can-reach=HOST, interface=REGEX, skip-interface=REGEX or cidr=CIDR.", DefaultValueFactory = _ => FirstFound };
        var method6 = new Option<string>("--ip6-autodetection-method") { Description = "The same for IPv6.", DefaultValueFactory = _ => FirstFound };
        var logs = new Option<string>("--log-dir") { Description = "The folder for logs.", DefaultValueFactory = _ => "/var/log/calico" };
        var image = new Option<string>("--node-image") { Description = "The container image.", DefaultValueFactory = _ => DefaultImage };
        var backend = new Option<string>("--backend") { Description = "bird (BGP) or none.", DefaultValueFactory = _ => "bird" };
        var felix = new Option<string?>("--felix-config") { Description = "A file with Felix's configuration." };
        var dryRun = new Option<bool>("--dryrun") { Description = "Accepted for scripts: this command only ever prints." };
        var init = new Option<bool>("--init-system") { Description = "For a service manager: the container stays in the foreground and goes away when it ends." };
        var noPools = new Option<bool>("--no-default-ippools") { Description = "Do not create default pools." };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("run", "Show how to start the agent on this host with these options.",
            "node run --ip=192.0.2.11/24 --name=node1", "node run --init-system")
        { ip, ip6, asn, name, method, method6, logs, image, backend, felix, dryRun, init, noPools, config };
        command.SetAction(async (parsed, _) =>
        {
            var datastore = context.Load(parsed.GetValue(config)!);
            var environment = new SortedDictionary<string, string>(StringComparer.Ordinal)
            {
                ["NODENAME"] = parsed.GetValue(name) is { Length: > 0 } given ? given : Environment.MachineName.ToLowerInvariant(),
                ["CALICO_NETWORKING_BACKEND"] = parsed.GetValue(backend) is "bird" or "none" ? parsed.GetValue(backend)! : throw new CtlException($"error executing command: unknown backend '{parsed.GetValue(backend)}'"),
            };
            Address(environment, "IP", parsed.GetValue(ip), isV4: true);
            Address(environment, "IP6", parsed.GetValue(ip6), isV4: false);
            Method(environment, "IP_AUTODETECTION_METHOD", parsed.GetValue(method)!);
            Method(environment, "IP6_AUTODETECTION_METHOD", parsed.GetValue(method6)!);
            if (parsed.GetValue(asn) is { Length: > 0 } number)
                environment["AS"] = Asn.TryParse(number, out var parsedAs) ? parsedAs.ToString() : throw new CtlException($"error executing command: invalid AS number '{number}'");
            if (parsed.GetValue(noPools))
                environment["NO_DEFAULT_POOLS"] = "true";
            var files = Datastore(environment, datastore);
            if (parsed.GetValue(felix) is { Length: > 0 } felixFile)
                files.Add(("FELIX_CONFIG", felixFile));
            await context.Out.WriteAsync(Text(environment, files, parsed.GetValue(logs)!, parsed.GetValue(image)!, parsed.GetValue(init)));
            return CommandLine.Success;
        });
        return command;
    }

    private static void Address(SortedDictionary<string, string> environment, string variable, string? given, bool isV4)
    {
        if (string.IsNullOrEmpty(given))
            return;
        if (given != "autodetect" && (!Cidr.TryParseOrHost(given, out var address) || address.IsV4 != isV4))
            throw new CtlException($"error executing command: --{variable.ToLowerInvariant()} is wrong IP version or no address: '{given}'");
        environment[variable] = given;
    }

    private static void Method(SortedDictionary<string, string> environment, string variable, string method)
    {
        if (method == FirstFound)
            return;
        environment[variable] = Methods.Any(m => method.StartsWith(m, StringComparison.Ordinal) && method.Length > m.Length)
            ? method
            : throw new CtlException($"error executing command: unsupported IP autodetection method '{method}': use first-found, can-reach=HOST, interface=REGEX, skip-interface=REGEX or cidr=CIDR");
    }

    private static List<(string Variable, string File)> Datastore(SortedDictionary<string, string> environment, DatastoreOptions datastore)
    {
        if (datastore.Type != DatastoreType.EtcdV3)
            throw new CtlException("error executing command: unsupported backend specified in config: the agents of hosts without Kubernetes share an etcd; name it in ETCD_ENDPOINTS or the configuration file");
        environment["DATASTORE_TYPE"] = "etcdv3";
        environment["ETCD_ENDPOINTS"] = string.Join(',', datastore.EtcdEndpoints);
        return
        [
            .. new (string Variable, string? File)[]
            {
                ("ETCD_CA_CERT_FILE", datastore.EtcdCACertFile), ("ETCD_CERT_FILE", datastore.EtcdCertFile), ("ETCD_KEY_FILE", datastore.EtcdKeyFile),
            }.Where(f => f.File is not null).Select(f => (f.Variable, f.File!)),
        ];
    }

    // In the container the files are where they are on the host.
    private static string Text(SortedDictionary<string, string> environment, List<(string Variable, string File)> files, string logs, string image, bool isService)
    {
        List<string> all = [.. environment.Select(e => $"{e.Key}={e.Value}"), .. files.Select(f => $"{f.Variable}={f.File}")];
        List<string> docker = ["docker run --net=host --privileged --name=calico-node", isService ? "--rm" : "-d --restart=always", .. all.Select(e => "-e " + Quoted(e))];
        docker.AddRange(new[] { logs, "/var/run/calico", "/var/lib/calico", "/lib/modules", "/run" }.Concat(files.Select(f => f.File))
            .Select(v => $"-v {Quoted(v)}:{Quoted(v == logs ? "/var/log/calico" : v)}"));
        docker.Add(image);
        return $"""
            Use the following command to start the calico/node container:

            {string.Join(' ', docker)}

            Use the following command to start the agent as a program:

            {string.Join(' ', all.Select(Quoted))} calico-node run

            {(isService ? "Use the following command to stop the calico/node container:\n\ndocker stop calico-node\n" : "If you are running calico/node in an init system, use the --init-system flag\nto display the appropriate start and stop commands.")}

            """;
    }

    private static string Quoted(string text) => text.All(c => char.IsAsciiLetterOrDigit(c) || "-_./:=,@%+".Contains(c, StringComparison.Ordinal)) ? text : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
