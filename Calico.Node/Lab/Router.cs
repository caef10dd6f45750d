using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Calico.Core.Net;

namespace Calico.Node.Lab;

/// <summary>A route as BIRD's <c>show route</c> tells it.</summary>
internal sealed record BirdRoute(Cidr Destination, IpAddr? NextHop, string Protocol);

/// <summary>
/// The router's BIRD: one eBGP session with every node. It learns the nodes' blocks, puts them into its kernel, and
/// announces one outside network. It does not pass nodes' routes on, they have a mesh of their own; a next hop on the
/// other segment resolves through the nodes' default route, which is this router.
/// </summary>
internal sealed partial class Router(LabPlace place)
{
    public const string Role = "bird";

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(15);

    /// <summary>Starts BIRD and waits until it takes commands.</summary>
    public async Task<LabProcess> StartAsync(Topology topology, IEnumerable<LabNode> nodes)
    {
        Directory.CreateDirectory(place.RouterFolder);
        var config = Path.Combine(place.RouterFolder, "bird.conf");
        File.WriteAllText(config, Configuration(nodes));
        using var inside = topology.OpenRouter();
        var log = Path.Combine(place.RouterFolder, "bird.log");
        var process = Processes.Start(Role, inside, log, new Dictionary<string, string?>(),
            Programs.Find("bird", "bird2"), "-f", "-c", config, "-s", place.BirdSocket);
        await Until.TrueAsync(() => File.Exists(place.BirdSocket) || !Processes.IsAlive(process), StartLimit,
            () => $"BIRD does not open {place.BirdSocket}; {log} ends with:\n{Processes.Tail(log)}");
        return Processes.IsAlive(process)
            ? process
            : throw new LabException($"BIRD ended at once; {log} ends with:\n{Processes.Tail(log)}");
    }

    public static string Configuration(IEnumerable<LabNode> nodes)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $$"""
            router id {{LabNode.SegmentA.Address}};
            log stderr { info, warning, error, fatal, trace };
            protocol device { scan time 2; }
            protocol static outside { ipv4; route {{LabPlace.ExternalNetwork}} blackhole; }
            protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
            template bgp node {
              local as {{LabPlace.RouterAs}};
              connect retry time 2;
              connect delay time 1;
              error wait time 1, 5;
              graceful restart on;
              ipv4 { import all; export where source = RTS_STATIC; };
            }

            """);
        foreach (var node in nodes)
            text.Append(CultureInfo.InvariantCulture,
                $"protocol bgp {node.Name} from node {{ neighbor {node.Address.Address} as {LabPlace.NodeAs}; }}\n");
        return text.ToString();
    }

    /// <summary>The state of each session by node name, such as <c>Established</c> or <c>Active</c> with its last error.</summary>
    public async Task<IReadOnlyDictionary<string, string>> SessionsAsync(Topology topology)
    {
        var sessions = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (Match match in SessionLine().Matches(await ControlAsync(topology, "show protocols")))
            sessions[match.Groups["name"].Value] = match.Groups["info"].Value.Trim();
        return sessions;
    }

    public async Task<IReadOnlyList<BirdRoute>> RoutesAsync(Topology topology) =>
        ParseRoutes(await ControlAsync(topology, "show route"));

    // 10.65.1.0/26         unicast [node1 12:34:56.789] * (100) [AS64512i]
    //         via 172.30.1.11 on br-a
    internal static IReadOnlyList<BirdRoute> ParseRoutes(string text)
    {
        var routes = new List<BirdRoute>();
        var destination = default(Cidr);
        foreach (var line in text.Split('\n'))
        {
            if (ViaLine().Match(line) is { Success: true } via && routes.Count > 0)
            {
                if (routes[^1].NextHop is null)
                    routes[^1] = routes[^1] with { NextHop = IpAddr.Parse(via.Groups["via"].Value) };
            }
            else if (RouteLine().Match(line) is { Success: true } route)
            {
                // A second route to the same destination leaves the first column empty.
                if (route.Groups["to"].Value is { Length: > 0 } to)
                    destination = Cidr.Parse(to);
                routes.Add(new BirdRoute(destination, null, route.Groups["protocol"].Value));
            }
        }
        return routes;
    }

    private async Task<string> ControlAsync(Topology topology, string command)
    {
        using var inside = topology.OpenRouter();
        var (exit, output, errors) = await Processes.RunAsync(inside, new Dictionary<string, string?>(), null,
            [Programs.Find("birdc", "bird2"), "-s", place.BirdSocket, .. command.Split(' ')]);
        return exit == 0 ? output : throw new LabException($"birdc {command}: {errors}{output}".Trim());
    }

    [GeneratedRegex(@"^(?<name>node\d+)\s+BGP\s+\S+\s+\S+\s+\S+\s+(?<info>.*)$", RegexOptions.Multiline)]
    private static partial Regex SessionLine();

    [GeneratedRegex(@"^(?<to>\d[0-9./]+)?\s+\w+\s+\[(?<protocol>\w+) ")]
    private static partial Regex RouteLine();

    [GeneratedRegex(@"^\s+via (?<via>[0-9.]+) on ")]
    private static partial Regex ViaLine();
}
