using System.Globalization;
using Calico.Core.Net;

namespace Calico.Node.Lab.Check;

/// <summary>A pod with BIRD inside that speaks BGP with its node: it finds the node on its own link, and what it tells is forwarded to it.</summary>
internal static class WorkloadPeeringSteps
{
    private const string NodesAddress = "169.254.9.9";
    private const int PodAs = 65010;
    private static readonly PodId Id = new("other", "speaker");
    private static readonly LabNode Node = new(1);
    private static readonly Cidr Told = Cidr.Parse("198.51.100.128/25");
    private static readonly IpAddr Behind = IpAddr.Parse("198.51.100.129");
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    public static async Task RunAsync(CheckRun run)
    {
        await run.StepAsync($"a pod speaks BGP with {Node.Name} at {NodesAddress}, and what it tells is reached through it", () => PeerAsync(run));
    }

    private static async Task<string> PeerAsync(CheckRun run)
    {
        var pod = await run.Lab.AddPodAsync(new PodRequest(Id, Node.Name) { Labels = new Dictionary<string, string> { ["role"] = "speaker" } });
        LabProcess? bird = null;
        try
        {
            await run.Lab.Ctl.ApplyTextAsync(Resources);
            bird = await StartAsync(run, pod);
            await CheckRun.UntilRightAsync(Limit, () => WrongAsync(run));
            return $"{pod.Address} in AS {PodAs} tells {Told}";
        }
        finally
        {
            if (bird is not null)
                await Processes.KillAsync([bird]);
            await run.Lab.Ctl.DeleteTextAsync(Resources);
            await run.Lab.RemovePodAsync(Id);
        }
    }

    private static async Task<string> WrongAsync(CheckRun run)
    {
        if (!NodeRoutes.Read(run.Lab.Topology, Node).Others.Any(r => r.Key.Destination == Told))
        {
            var (_, output, errors) = await run.Lab.Ctl.RunOnNodeAsync(Node.Name, "bgp", "peers");
            return $"{Node.Name} has no route to {Told}: {output}{errors}";
        }
        using var inside = run.Lab.Topology.OpenNode(Node.Name);
        var result = await Probe.RunAsync(inside, ConnectivitySteps.Icmp, Behind, "", TimeSpan.FromSeconds(1));
        return result == ProbeResult.Reached ? "" : $"{Node.Name} has a route to {Told} and does not reach {Behind}: {result}";
    }

    // What is behind the pod is on its loopback.
    private static async Task<LabProcess> StartAsync(CheckRun run, LabPod pod)
    {
        using var inside = run.Lab.Topology.OpenPod(Id);
        using (var links = inside.OpenLinks())
            links.AddAddress(new Kernel.Links.LinkAddress(links.Find("lo")!.Index, Cidr.Host(Behind)));
        var folder = Path.Combine(run.Lab.Place.Folder, "pods");
        var config = Path.Combine(folder, $"{Id.Namespace}-{Id.Name}.conf");
        await File.WriteAllTextAsync(config, string.Create(CultureInfo.InvariantCulture, $$"""
            router id {{pod.Address}};
            protocol device { }
            protocol static own { ipv4; route {{Told}} blackhole; }
            protocol bgp node { local {{pod.Address}} as {{PodAs}}; neighbor {{NodesAddress}} as {{LabPlace.NodeAs}}; multihop;
              connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 { import all; export where source = RTS_STATIC; }; }
            """));
        return Processes.Start("pod-bird", inside, Path.ChangeExtension(config, ".log"), new Dictionary<string, string?>(),
            Programs.Find("bird", "bird2"), "-f", "-c", config, "-s", Path.ChangeExtension(config, ".ctl"));
    }

    private static string Resources => string.Create(CultureInfo.InvariantCulture, $$"""
        [{"apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration", "metadata": {"name": "default"}, "spec": {"localWorkloadPeeringIPV4": "{{NodesAddress}}"} },
         {"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": {"name": "lab-speaker"}, "spec": {"localWorkloadSelector": "role == 'speaker'", "asNumber": {{PodAs}}} }]
        """);
}
