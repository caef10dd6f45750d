using Calico.Core.Net;

namespace Calico.Node.Lab;

// A lab is a small network inside one machine, made of network namespaces only:
//
//       segment A 172.30.1.0/24                  segment B 172.30.2.0/24
//    node1 .11   node3 .13  …                 node2 .12   node4 .14  …
//       |           |                            |           |
//     --+-----------+---- br-a  router  br-b ----+-----------+--
//                          .1    |      .1
//                     BIRD, AS 65100, announces 10.99.0.0/24; the datastore listens on 172.30.1.1:2379
//
// Every node namespace runs a real calico-node, every pod is a namespace of its own that the real CNI plugin wired.
// All of it carries the lab's name, so that whatever a crash leaves can be found and removed by it alone.

/// <summary>Where a lab lives: the prefix of its namespaces, its folder, and the programs and manifests it uses.</summary>
internal sealed record LabPlace(string Name, string Folder)
{
    public const int RouterAs = 65100;
    public const int NodeAs = 64512;
    public const int DatastorePort = 2379;
    public const string PodNetwork = "10.65.0.0/16";
    public const string ExternalNetwork = "10.99.0.0/24";

    public static IpAddr External { get; } = IpAddr.Parse("10.99.0.1");

    public static LabPlace Default { get; } = new("calico-lab", "/run/calico-lab");

    public string RouterNamespace => $"{Name}-router";
    public string RouterFolder => Path.Combine(Folder, "router");
    public string DatastoreFolder => Path.Combine(Folder, "datastore");
    public string DatastoreLog => Path.Combine(DatastoreFolder, "datastore.log");
    public string PkiFolder => Path.Combine(Folder, "pki");
    public string StateFile => Path.Combine(Folder, "state.json");
    public string BirdSocket => Path.Combine(RouterFolder, "bird.ctl");

    // Beside the folder, because the folder itself comes and goes.
    public string LockFile => Folder + ".lock";

    public string NodeNamespace(string node) => $"{Name}-{node}";
    public string NodeFolder(string node) => Path.Combine(Folder, node);
    public string NodeRunFolder(string node) => Path.Combine(Folder, node, "run");
    public string NodeSocket(string node) => Path.Combine(NodeRunFolder(node), "cni.sock");
    public string NodeLog(string node) => Path.Combine(Folder, node, "calico-node.log");
    public string UplinkNamespace(string uplink) => $"{Name}-{uplink}";
    public string UplinkFolder(string uplink) => Path.Combine(Folder, uplink);
    public string PodNamespace(PodId pod) => $"{Name}-pod-{pod.Namespace}-{pod.Name}";

    public bool Owns(string networkNamespace) => networkNamespace.StartsWith(Name + "-", StringComparison.Ordinal);

    public static string NodeProgram => Program("calico-node");
    public static string ShimProgram => Program("calico-cni");
    public static string CtlProgram => Program("calicoctl");

    /// <summary>A file below <c>deploy/lab</c>.</summary>
    public static string Manifest(string relative) => Find(Path.Combine("deploy", "lab", relative));

    private static string Program(string name) => Find(Path.Combine("artifacts", "bin", name));

    // The programs of the lab stand in artifacts/bin of the repository that this one was built in.
    private static string Find(string relative)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, relative);
            if (File.Exists(path))
                return path;
        }
        throw new LabException($"{relative} is not there: run './run.sh build' in the repository first");
    }
}

/// <summary>A node's number decides everything about it: odd ones are on segment A, even ones on B.</summary>
internal readonly record struct LabNode(int Number)
{
    public const int Most = 20;

    public string Name => $"node{Number}";
    public bool OnSegmentA => Number % 2 == 1;
    public IpAddr Router => Segment.Address;
    public Cidr Segment => OnSegmentA ? SegmentA : SegmentB;
    public Cidr Address => new(IpAddr.From(Segment.First.Bits + (uint)(10 + Number), IpVersion.V4), 24);

    public static Cidr SegmentA { get; } = Cidr.Parse("172.30.1.1/24");
    public static Cidr SegmentB { get; } = Cidr.Parse("172.30.2.1/24");

    public static LabNode Parse(string name) =>
        name.StartsWith("node", StringComparison.Ordinal) && int.TryParse(name.AsSpan(4), out var number) && number is > 0 and <= Most
            ? new LabNode(number)
            : throw new LabException($"'{name}' is not a node of the lab; nodes are called node1, node2, …");
}

internal readonly record struct PodId(string Namespace, string Name)
{
    /// <summary>Reads <c>name</c> or <c>namespace/name</c>.</summary>
    public static PodId Parse(string text, string defaultNamespace)
    {
        var slash = text.IndexOf('/');
        var id = slash < 0 ? new PodId(defaultNamespace, text) : new PodId(text[..slash], text[(slash + 1)..]);
        return IsLabel(id.Namespace) && IsLabel(id.Name)
            ? id
            : throw new LabException($"'{text}' cannot name a pod: lower-case letters, digits and '-', at most 63");
    }

    public override string ToString() => $"{Namespace}/{Name}";

    private static bool IsLabel(string text) => text.Length is > 0 and <= 63 && text[0] != '-' && text[^1] != '-'
        && text.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-');
}

/// <summary>Something that the user can mend: printed as one sentence, without a stack trace.</summary>
internal class LabException(string message, Exception? inner = null) : Exception(message, inner);
