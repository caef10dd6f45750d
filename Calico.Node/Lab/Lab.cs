using Calico.Kernel.Namespaces;

namespace Calico.Node.Lab;

/// <summary>
/// The lab as a whole: what its commands do, in the order in which it is built. Every step is recorded before the next
/// begins.
/// </summary>
internal sealed class Lab
{
    private readonly Lock _gate = new();
    private static readonly TimeSpan SessionLimit = TimeSpan.FromSeconds(60);

    public Lab(LabPlace place, LabOutput output)
    {
        Place = place;
        Output = output;
        Topology = new Topology(place);
        Router = new Router(place);
        Pki = new Pki(place.PkiFolder);
        NodeProcess = new NodeProcess(place, Topology, Pki);
        Pods = new Pods(place, Topology);
        Ctl = new LabCtl(place, Topology, Pki);
    }

    public LabPlace Place { get; }
    public LabOutput Output { get; }
    public Topology Topology { get; }
    public Router Router { get; }
    public Pki Pki { get; }
    public NodeProcess NodeProcess { get; }
    public Pods Pods { get; }
    public LabCtl Ctl { get; }

    public LabState State => LabState.Load(Place) ?? throw new LabException("there is no lab; './run.sh up' makes one");

    public async Task UpAsync(int nodes, LabDatastore datastore = LabDatastore.Embedded, int? nodeGoneSeconds = null)
    {
        if (LabState.Load(Place) is { } present)
        {
            if (present.IsComplete && present.Nodes.Count == nodes && present.Processes.TrueForAll(Processes.IsAlive))
            {
                Output.Line($"the lab is up already, with {nodes} nodes");
                return;
            }
            throw new LabException((!present.IsComplete ? "an earlier 'up' did not finish"
                : present.Nodes.Count != nodes ? $"a lab with {present.Nodes.Count} nodes is up"
                : $"a lab is there, but {string.Join(", ", present.Processes.Where(p => !Processes.IsAlive(p)).Select(p => p.Role))} ended")
                + "; './run.sh down' removes it");
        }
        CreateFolder();
        var state = new LabState { Nodes = [.. Enumerable.Range(1, nodes)], Datastore = datastore };
        state.NodeGoneSeconds = nodeGoneSeconds ?? state.NodeGoneSeconds;
        state.Save(Place);
        await Output.StepAsync($"network: a router, two segments, {nodes} nodes", () => Task.Run(() =>
        {
            Pki.CreateAuthority();
            Pki.Issue(LabCtl.CertificateName);
            Topology.CreateRouter();
            foreach (var node in state.AllNodes)
                Topology.CreateNode(node);
        }));
        await Output.StepAsync("router: BIRD with a session for every node", async () =>
            Record(state, await Router.StartAsync(Topology, state.AllNodes)));
        await Output.StepAsync(datastore == LabDatastore.Etcd ? "datastore: etcd with mutual TLS" : "datastore: the embedded store, served as etcd with mutual TLS", async () =>
        {
            Record(state, await NodeProcess.StartDatastoreAsync(datastore));
            await Ctl.ApplyTextAsync(LabCtl.BgpPeers(state.AllNodes));
        });
        await Output.StepAsync($"nodes: {nodes} calico-node processes, until each can forward for its pods", async () =>
        {
            var starts = state.AllNodes.Select(n => (Node: n, Process: Record(state, NodeProcess.Start(n, state.NodeGoneSeconds)))).ToList();
            await Task.WhenAll(starts.Select(s => NodeProcess.UntilReadyAsync(s.Node, s.Process)));
        });
        await Output.StepAsync("BGP: every session of the router is established", () => UntilSessionsAsync(state.AllNodes));
        Change(s => s.IsComplete = true);
    }

    /// <summary>
    /// Removes everything that is recorded or carries the lab's name, whatever state it is in. Returns what was there.
    /// </summary>
    public async Task<int> DownAsync()
    {
        LabState? state;
        try
        {
            state = LabState.Load(Place);
        }
        catch (LabException)
        {
            // Damaged: the kernel knows the rest.
            state = null;
        }
        var namespaces = Topology.Namespaces();
        var processes = (state?.Processes ?? []).Concat(Processes.OfLab(Place, namespaces)).DistinctBy(p => p.Pid).ToList();
        await Processes.KillAsync(processes);
        // Somebody may have started something between the look and the kill.
        await Processes.KillAsync(Processes.OfLab(Place, namespaces));
        foreach (var name in namespaces)
            NetworkNamespace.DeleteNamed(name);
        Containers.ControlGroups.Remove(Place);
        if (Directory.Exists(Place.Folder))
            Directory.Delete(Place.Folder, recursive: true);
        return namespaces.Count;
    }

    public async Task<LabPod> AddPodAsync(PodRequest request)
    {
        var state = State;
        if (state.Pods.Exists(p => p.Id == request.Id))
            throw new LabException($"pod {request.Id} is there already");
        state.Node(request.Node);
        await EnsureNamespaceAsync(request.Id.Namespace);
        var planned = Pods.Plan(request);
        Change(s => s.Pods.Add(planned));
        try
        {
            var (pod, responder) = await Pods.AddAsync(planned, request.Pool);
            Change(s =>
            {
                s.Pods[s.Pods.FindIndex(p => p.Id == pod.Id)] = pod;
                if (responder is not null)
                    s.Processes.Add(responder);
            });
            return pod;
        }
        catch (TryPodLaterException)
        {
            Pods.Discard(planned);
            Change(s => s.Pods.RemoveAll(p => p.Id == planned.Id));
            throw;
        }
        catch
        {
            await RemovePodAsync(planned.Id);
            throw;
        }
    }

    public async Task RemovePodAsync(PodId id)
    {
        var state = State;
        var pod = state.Pod(id);
        await Processes.KillAsync(state.Processes.Where(p => p.Role == LabPod.RoleOf(id)));
        Change(s => s.Processes.RemoveAll(p => p.Role == LabPod.RoleOf(id)));
        await Pods.RemoveAsync(pod);
        Change(s => s.Pods.RemoveAll(p => p.Id == id));
    }

    /// <summary>How many resources the file has.</summary>
    public async Task<int> ApplyAsync(string file)
    {
        var manifest = LabManifest.Load(file);
        await LabStore.ControlAsync(this, "apply", manifest.Converted);
        await Ctl.ApplyTextAsync(manifest.Resources);
        Change(s => s.Namespaces = [.. s.Namespaces.Union(manifest.Namespaces)]);
        return manifest.Count;
    }

    /// <inheritdoc cref="ApplyAsync"/>
    public async Task<int> DeleteAsync(string file)
    {
        var manifest = LabManifest.Load(file);
        await Ctl.DeleteTextAsync(manifest.Resources);
        await LabStore.ControlAsync(this, "delete", manifest.Converted);
        Change(s => s.Namespaces = [.. s.Namespaces.Except(manifest.Namespaces)]);
        return manifest.Count;
    }

    /// <summary>calicoctl with the caller's terminal.</summary>
    public Task<int> RunCtlAsync(string[] arguments) => State.IsComplete
        ? Ctl.RunAttachedAsync(arguments)
        : throw new LabException("the lab is not complete: an 'up' did not finish, or is still at work");

    public Task<Matrix> MatrixAsync(LabPort port) => MatrixAsync(port, _ => true);

    public Task<Matrix> MatrixAsync(LabPort port, Func<LabPod, bool> which) =>
        Matrix.MeasureAsync(Topology, [.. State.WiredPods.Where(which).OrderBy(p => p.Namespace, StringComparer.Ordinal).ThenBy(p => p.Name, StringComparer.Ordinal)], port);

    /// <summary>kill -9: what runs in pods, and what is in the kernel, stays.</summary>
    public Task KillNodeAsync(LabNode node) => KillAsync(node.Name);

    public async Task StartNodeAsync(LabNode node) =>
        await NodeProcess.UntilReadyAsync(node, await LaunchNodeAsync(node));

    /// <summary>Starts a node's agent and does not wait for it.</summary>
    public Task<LabProcess> LaunchNodeAsync(LabNode node) =>
        StartAsync(node.Name, () => Task.FromResult(NodeProcess.Start(node, State.NodeGoneSeconds)));

    /// <summary>kill -9 of the datastore; its file stays.</summary>
    public Task KillDatastoreAsync() => KillAsync(NodeProcess.DatastoreRole);

    public Task StartDatastoreAsync() => StartAsync(NodeProcess.DatastoreRole, () => NodeProcess.StartDatastoreAsync(State.Datastore));

    private async Task KillAsync(string role)
    {
        var process = State.Process(role) ?? throw new LabException($"{role} does not run");
        await Processes.KillAsync([process]);
        Change(s => s.Processes.RemoveAll(p => p.Role == role));
    }

    private async Task<LabProcess> StartAsync(string role, Func<Task<LabProcess>> start)
    {
        if (State.Process(role) is { } running && Processes.IsAlive(running))
            throw new LabException($"{role} runs already (process {running.Pid})");
        var process = await start();
        Change(s =>
        {
            s.Processes.RemoveAll(p => p.Role == role);
            s.Processes.Add(process);
        });
        return process;
    }

    /// <summary>A power cut: the node, its pods and its cable are gone without a word. It does not come back.</summary>
    public async Task RemoveNodeAsync(LabNode node)
    {
        var pods = State.Pods.Where(p => p.Node == node.Name).ToList();
        List<string> namespaces = [Place.NodeNamespace(node.Name), .. pods.Select(p => Place.PodNamespace(p.Id))];
        Topology.CutCable(node);
        await Processes.KillAsync(Processes.Inside(namespaces));
        foreach (var pod in pods)
            Topology.RemovePod(pod.Id);
        Topology.RemoveNode(node);
        Change(s =>
        {
            s.Nodes.Remove(node.Number);
            s.Pods.RemoveAll(p => p.Node == node.Name);
            s.Processes.RemoveAll(p => p.Role == node.Name || pods.Exists(pod => p.Role == LabPod.RoleOf(pod.Id)));
        });
    }

    public Task UntilSessionsAsync(IEnumerable<LabNode> nodes)
    {
        IReadOnlyDictionary<string, string> sessions = new Dictionary<string, string>();
        return Until.TrueAsync(async () =>
        {
            sessions = await Router.SessionsAsync(Topology);
            return nodes.All(n => sessions.GetValueOrDefault(n.Name) == "Established");
        }, SessionLimit, () => $"the router's sessions are not all established: {string.Join(", ", sessions.Select(s => $"{s.Key} {s.Value}"))}");
    }

    /// <summary>Outside Kubernetes nobody else tells Calico about a namespace: its profile carries the labels that policies select by.</summary>
    public async Task EnsureNamespaceAsync(string name)
    {
        if (State.Namespaces.Contains(name))
            return;
        var manifest = LabManifest.ForNamespace(name);
        await LabStore.ControlAsync(this, "apply", manifest.Converted);
        Change(s => s.Namespaces.Add(name));
    }

    private LabProcess Record(LabState state, LabProcess process)
    {
        lock (_gate)
        {
            state.Processes.Add(process);
            state.Save(Place);
        }
        return process;
    }

    private void Change(Action<LabState> change)
    {
        lock (_gate)
        {
            var state = State;
            change(state);
            state.Save(Place);
        }
    }

    private void CreateFolder()
    {
        if (OperatingSystem.IsWindows())
            throw new LabException("the lab needs Linux");
        Directory.CreateDirectory(Place.Folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}
