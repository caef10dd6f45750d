using Calico.Core.Model.Resources;
using Calico.Ctl.Output;
using Calico.Datastore;
using Calico.Datastore.Resources;

namespace Calico.Ctl.Commands.Cluster;

/// <summary>Collects what the datastore says and, through kubectl, what Kubernetes says of Calico's pods.</summary>
internal sealed class ClusterDiagnostics(CtlContext context, IDatastore datastore, ResourceStore store, LogOptions logs)
{
    private static readonly string[] Objects = ["nodes", "pods -A", "daemonsets -A", "deployments -A", "customresourcedefinitions", "events -A"];

    public async Task<int> RunAsync(bool keepFolder, CancellationToken cancellation)
    {
        await context.Out.WriteLineAsync("==== Begin collecting diagnostics. ====");
        var name = "calico-diagnostics-" + Diagnostics.Stamp(context.Time);
        var parent = Directory.CreateTempSubdirectory("calico").FullName;
        await context.Out.WriteLineAsync($"Created temporary directory: {parent}");
        var bundle = Diagnostics.Begin(context, parent, name);
        foreach (var kind in ResourceKind.All)
        {
            cancellation.ThrowIfCancellationRequested();
            await bundle.AddAsync($"Collecting {kind.Plural}", $"resources/{kind.Plural}.yaml", () => YamlAsync(kind, cancellation));
        }
        foreach (var (file, arguments) in new (string, string[])[]
        {
            ("show", ["ipam", "show", "--show-blocks"]), ("borrowed", ["ipam", "show", "--show-borrowed"]),
            ("configuration", ["ipam", "show", "--show-configuration"]), ("check", ["ipam", "check", "--show-problem-ips"]),
        })
            await bundle.AddAsync($"Collecting {string.Join(' ', arguments)}", $"ipam/{file}.txt", () => OwnAsync(arguments));
        if (Diagnostics.IsInstalled("kubectl"))
            await KubernetesAsync(bundle, cancellation);
        else
            await context.Out.WriteLineAsync("kubectl is not installed: pods and their logs are skipped");
        var archive = name + ".tar.gz";
        await bundle.PackAsync(archive, keepFolder);
        if (!keepFolder)
            Directory.Delete(parent);
        await context.Out.WriteLineAsync($"==== Diagnostics saved to {archive} ====\nIt has addresses and names of this cluster in it; look at it before you pass it on.");
        return CommandLine.Success;
    }

    private async Task<string> YamlAsync(ResourceKind kind, CancellationToken cancellation)
    {
        var list = await store.ListAsync(kind, cancellation: cancellation);
        var unreadable = string.Concat(list.Unreadable.Select(u => $"# left out: {u.Message.ReplaceLineEndings(" ")}\n"));
        return unreadable + YamlText.From(new Listing(kind, list.Items, list.Revision).ToJson());
    }

    // The output of another command of this program, on the datastore that is open already.
    private async Task<string> OwnAsync(string[] arguments)
    {
        using var text = new StringWriter();
        var inner = context with { Out = text, Error = text, OpenDatastore = _ => new Borrowed(datastore), AllowVersionMismatch = true };
        await CommandLine.RunAsync([.. arguments, "--allow-version-mismatch"], inner);
        return text.ToString();
    }

    private async Task KubernetesAsync(Diagnostics bundle, CancellationToken cancellation)
    {
        foreach (var what in Objects)
            await bundle.AddCommandAsync($"Collecting {what} of Kubernetes", $"kubernetes/{what.Split(' ')[0]}.txt", "kubectl", ["get", .. what.Split(' '), "-o", "wide"]);
        string pods;
        try
        {
            pods = await Diagnostics.RunAsync("kubectl", "get", "pods", "-A", "-o", "jsonpath={range .items[*]}{.metadata.namespace}{\" \"}{.metadata.name}{\" \"}{.spec.nodeName}{\"\\n\"}{end}");
        }
        catch (CtlException e)
        {
            await context.Out.WriteLineAsync($"  {e.Message}");
            return;
        }
        await Parallel.ForEachAsync(Selected(pods), new ParallelOptions { MaxDegreeOfParallelism = logs.MaxParallelism, CancellationToken = cancellation }, async (pod, _) =>
            await bundle.AddCommandAsync($"Collecting logs of {pod.Namespace}/{pod.Name} on {pod.Node}", $"logs/{pod.Node}/{pod.Namespace}-{pod.Name}.log", "kubectl",
                "logs", "-n", pod.Namespace, pod.Name, "--all-containers", "--since", logs.Since));
    }

    // Of each component the pods on the nodes that matter most, then others.
    private IEnumerable<(string Namespace, string Name, string Node)> Selected(string pods) => pods.Split('\n')
        .Select(l => l.Split(' '))
        .Where(p => p.Length == 3 && (p[0].Contains("calico", StringComparison.Ordinal) || p[1].Contains("calico", StringComparison.Ordinal) || p[0].Contains("tigera", StringComparison.Ordinal)))
        .Select(p => (Namespace: p[0], Name: p[1], Node: p[2]))
        .GroupBy(p => (p.Namespace, Component: string.Join('-', p.Name.Split('-').SkipLast(1))))
        .SelectMany(g => g.OrderBy(p => logs.FocusNodes.Contains(p.Node) ? 0 : 1).Take(logs.MaxLogs));

    /// <summary>Somebody else's datastore: it is not this one's to close.</summary>
    private sealed class Borrowed(IDatastore inner) : IDatastore
    {
        public Task<KeyValue?> GetAsync(string key, CancellationToken cancellation) => inner.GetAsync(key, cancellation);

        public Task<ListPage> ListAsync(string prefix, string? next, long revision, int limit, CancellationToken cancellation) =>
            inner.ListAsync(prefix, next, revision, limit, cancellation);

        public Task<TransactionResult> CommitAsync(Transaction transaction, CancellationToken cancellation) => inner.CommitAsync(transaction, cancellation);

        public IAsyncEnumerable<System.Collections.Immutable.ImmutableArray<WatchEvent>> WatchAsync(string prefix, long afterRevision, CancellationToken cancellation) =>
            inner.WatchAsync(prefix, afterRevision, cancellation);

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
