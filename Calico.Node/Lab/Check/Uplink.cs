using System.Globalization;
using System.Text.Json.Nodes;
using Calico.Core.Net;

namespace Calico.Node.Lab.Check;

/// <summary>
/// One of two routers on a node's own segment that both lead to <see cref="Network"/>: a BIRD with one session to that node,
/// which BFD watches. The second one's path is longer, so it is the way only while the first one is none.
/// <code>
///   pod ─ node1 ─── br-a ─┬─ uplink1 .201, AS 65201 ─┐
///                         └─ uplink2 .202, AS 65202 ─┴─ 10.98.0.0/24, .1 answers
/// </code>
/// </summary>
internal sealed class Uplink(Lab lab, LabNode node, int number)
{
    public const int HoldSeconds = 90;
    public const string Watch = "100ms*3";
    private const string IntervalText = "100 ms";
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(15);

    public static Cidr Network { get; } = Cidr.Parse("10.98.0.0/24");
    public static IpAddr Target { get; } = IpAddr.Parse("10.98.0.1");

    public string Name => string.Create(CultureInfo.InvariantCulture, $"uplink{number}");
    public IpAddr Address => IpAddr.From(LabNode.SegmentA.First.Bits + (uint)(200 + number), IpVersion.V4);
    private int As => 65200 + number;

    /// <summary>Wires it and starts its BIRD.</summary>
    public async Task StartAsync()
    {
        lab.Topology.CreateUplink(Name, new Cidr(Address, 24), Target);
        var folder = Directory.CreateDirectory(lab.Place.UplinkFolder(Name)).FullName;
        var (config, log, control) = (Path.Combine(folder, "bird.conf"), Path.Combine(folder, "bird.log"), Path.Combine(folder, "bird.ctl"));
        await File.WriteAllTextAsync(config, Configuration());
        using var inside = lab.Topology.OpenUplink(Name);
        var process = Processes.Start(Name, inside, log, new Dictionary<string, string?>(), Programs.Find("bird", "bird2"), "-f", "-c", config, "-s", control);
        await Until.TrueAsync(() => File.Exists(control) || !Processes.IsAlive(process), StartLimit, () => $"the BIRD of {Name} does not open {control}");
        if (!Processes.IsAlive(process))
            throw new LabException($"the BIRD of {Name} ended at once; {log} ends with:\n{Processes.Tail(log)}");
    }

    /// <summary>Ends what runs in it and takes it off the network.</summary>
    public async Task RemoveAsync()
    {
        var space = lab.Place.UplinkNamespace(Name);
        if (!lab.Topology.Namespaces().Contains(space))
            return;
        await Processes.KillAsync(Processes.Inside([space]));
        lab.Topology.RemoveUplink(Name);
    }

    /// <summary>The node's peer, with the project's own setting of BFD.</summary>
    public JsonObject Peer() => new()
    {
        ["apiVersion"] = "projectcalico.org/v3",
        ["kind"] = "BGPPeer",
        ["metadata"] = new JsonObject { ["name"] = $"lab-{Name}", ["annotations"] = new JsonObject { ["projectcalico.org/bfd"] = Watch } },
        ["spec"] = new JsonObject { ["node"] = node.Name, ["peerIP"] = Address.ToString(), ["asNumber"] = As },
    };

    public string Configuration() => string.Create(CultureInfo.InvariantCulture, $$"""
        router id {{Address}};
        log stderr { info, warning, error, fatal, trace };
        protocol device { scan time 2; }
        protocol static outside { ipv4; route {{Network}} blackhole; }
        protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
        protocol bfd { interface "eth0" { interval {{IntervalText}}; idle tx interval 300 ms; multiplier 3; }; }
        protocol bgp {{node.Name}} {
          local {{Address}} as {{As}};
          neighbor {{node.Address.Address}} as {{LabPlace.NodeAs}};
          hold time {{HoldSeconds}};
          connect retry time 2;
          connect delay time 1;
          error wait time 1, 5;
          graceful restart on;
          bfd graceful;
          ipv4 { import all; export filter { if source != RTS_STATIC then reject; {{string.Concat(Enumerable.Repeat($"bgp_path.prepend({As}); ", number - 1))}}accept; }; };
        }
        """);
}
