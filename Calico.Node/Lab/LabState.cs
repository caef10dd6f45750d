using System.Text.Json;
using System.Text.Json.Serialization;

namespace Calico.Node.Lab;

/// <summary>A process of the lab; the start time tells it from a later one with the same number.</summary>
internal sealed record LabProcess(string Role, int Pid, long StartTicks);

/// <summary>What the nodes keep their common knowledge in: the embedded store, served as etcd, or the distribution's etcd.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<LabDatastore>))]
internal enum LabDatastore
{
    Embedded,
    Etcd,
}

/// <summary>A pod, recorded before anything of it is made and until all of it is gone.</summary>
/// <param name="Address">Empty until the plugin has wired it.</param>
internal sealed record LabPod(string Namespace, string Name, string Node, string ContainerId, string Address)
{
    public Dictionary<string, string> Labels { get; init; } = [];
    public string[] Listen { get; init; } = [];

    [JsonIgnore]
    public PodId Id => new(Namespace, Name);

    /// <summary>It has an address, so the plugin has made it.</summary>
    [JsonIgnore]
    public bool IsWired => Address.Length > 0;

    /// <summary>Under which role the pod's program is recorded.</summary>
    public static string RoleOf(PodId id) => $"pod {id}";
}

/// <summary>
/// What the lab consists of, written after every step, so that a lab whose own process was killed can be taken down.
/// It is a help, not the truth: <c>down</c> also removes what only the kernel knows about.
/// </summary>
internal sealed class LabState
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true };

    public List<int> Nodes { get; set; } = [];
    public List<LabPod> Pods { get; set; } = [];
    public List<LabProcess> Processes { get; set; } = [];
    public List<string> Namespaces { get; set; } = [];
    public LabDatastore Datastore { get; set; }

    /// <summary>A lab's node that is cut off does not come back: nobody has to delete its Node resource first. 0: somebody has.</summary>
    public int NodeGoneSeconds { get; set; } = 10;

    /// <summary>Whether everything was built; false is what an interrupted <c>up</c> leaves.</summary>
    public bool IsComplete { get; set; }

    /// <summary>The pods that have an address.</summary>
    [JsonIgnore]
    public IEnumerable<LabPod> WiredPods => Pods.Where(p => p.IsWired);

    [JsonIgnore]
    public IEnumerable<LabNode> AllNodes => Nodes.Order().Select(n => new LabNode(n));

    public static LabState? Load(LabPlace place)
    {
        try
        {
            return JsonSerializer.Deserialize<LabState>(File.ReadAllBytes(place.StateFile), Json);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (JsonException e)
        {
            throw new LabException($"{place.StateFile} is damaged; './run.sh down' starts afresh", e);
        }
    }

    public void Save(LabPlace place)
    {
        var born = place.StateFile + ".new";
        File.WriteAllBytes(born, JsonSerializer.SerializeToUtf8Bytes(this, Json));
        File.Move(born, place.StateFile, overwrite: true);
    }

    public LabPod Pod(PodId id) => Pods.Find(p => p.Id == id)
        ?? throw new LabException($"there is no pod {id}; there are: {(Pods.Count == 0 ? "none" : string.Join(", ", Pods.Select(p => p.Id.ToString())))}");

    public LabNode Node(string name) => LabNode.Parse(name) is var node && Nodes.Contains(node.Number)
        ? node
        : throw new LabException($"there is no {name}; there are: {string.Join(", ", AllNodes.Select(n => n.Name))}");

    public LabProcess? Process(string role) => Processes.Find(p => p.Role == role);
}

/// <summary>Lab commands that change something run one at a time.</summary>
internal sealed class LabLock : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(1);

    private readonly FileStream _file;

    private LabLock(FileStream file) => _file = file;

    /// <summary>Waits for its turn; scripts may start several commands at once.</summary>
    public static async Task<LabLock> TakeAsync(LabPlace place)
    {
        for (var waited = TimeSpan.Zero; ; waited += Pause)
        {
            try
            {
                return new LabLock(new FileStream(place.LockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
            }
            catch (IOException e) when (waited >= Patience)
            {
                throw new LabException($"another lab command has been at work for {Patience.TotalSeconds} s; wait for it to end, and try again", e);
            }
            catch (IOException)
            {
                if (waited == Silence)
                    await Console.Error.WriteLineAsync("waiting for another lab command to end …");
                await Task.Delay(Pause);
            }
        }
    }

    public void Dispose() => _file.Dispose();
}
