using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;
using Calico.Datastore;
using Calico.Datastore.Etcd;
using Calico.Datastore.Resources;

namespace Calico.Node.Lab;

/// <summary>
/// The lab's datastore as programs other than calicoctl see it. It is reachable from the lab's network only, so a child
/// process inside the router's namespace does the work: <c>calico-node lab store PREFIX</c> prints one JSON object a
/// key, <c>calico-node lab control apply|delete</c> writes what Calico's controllers make of Kubernetes objects, which
/// calicoctl leaves to them.
/// </summary>
internal static class LabStore
{
    /// <summary>An IPAM block as stored; each change of it has a larger sequence number.</summary>
    internal sealed record Block(string Cidr, string? Affinity, long SequenceNumber);

    public static async Task<IReadOnlyList<Block>> BlocksAsync(Lab lab) =>
        [.. (await ListAsync(lab, Consistency.BlockPrefix)).Select(e => ParseBlock(e.Value))];

    public static async Task<IReadOnlyList<(string Key, string Value)>> ListAsync(Lab lab, string prefix) =>
        ParseEntries(await RunAsync(lab, null, "store", prefix));

    /// <summary>Stores or deletes resources (a JSON array) as Calico's controllers would.</summary>
    public static Task ControlAsync(Lab lab, string verb, string resources) =>
        resources == "[]" ? Task.CompletedTask : RunAsync(lab, resources, "control", verb);

    private static async Task<string> RunAsync(Lab lab, string? input, params string[] arguments)
    {
        using var inside = lab.Topology.OpenRouter();
        var (exit, output, errors) = await Processes.RunAsync(inside, NodeProcess.ClientEnvironment(lab.Pki.Of(LabCtl.CertificateName)), input,
            [LabPlace.NodeProgram, "lab", .. arguments]);
        return exit == 0 ? output : throw new LabException($"the lab's datastore: {errors.Trim()}");
    }

    /// <summary>The child's part of <see cref="ControlAsync(Lab, string, string)"/>, with the client's environment.</summary>
    public static async Task<int> ControlAsync(bool delete, TextReader input, CancellationToken cancellation)
    {
        try
        {
            await using var datastore = new EtcdDatastore(ClientOptions());
            var store = new ResourceStore(datastore, TimeProvider.System);
            foreach (var json in JsonDocument.Parse(await input.ReadToEndAsync(cancellation)).RootElement.EnumerateArray())
            {
                var resource = ResourceCodec.ParseStrict(json);
                if (!delete)
                    await store.ApplyAsync(resource, cancellation);
                else if (await store.FindAsync<Resource>(resource.Key, cancellation) is not null)
                    await store.DeleteAsync(resource.Key, cancellation: cancellation);
            }
            return 0;
        }
        catch (Exception e) when (e is DatastoreException or ResourceException or InvalidResourceException or JsonException)
        {
            throw new LabException(e.Message, e);
        }
    }

    /// <summary>The child's part, with the client's environment.</summary>
    public static Task<int> PrintAsync(string prefix, TextWriter output, CancellationToken cancellation) =>
        PrintAsync(ClientOptions(), prefix, output, cancellation);

    private static EtcdOptions ClientOptions() => new()
    {
        Endpoints = [.. (Environment.GetEnvironmentVariable("ETCD_ENDPOINTS") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries)],
        Tls = new TlsOptions
        {
            CaFile = Environment.GetEnvironmentVariable("ETCD_CA_CERT_FILE"),
            CertificateFile = Environment.GetEnvironmentVariable("ETCD_CERT_FILE"),
            KeyFile = Environment.GetEnvironmentVariable("ETCD_KEY_FILE"),
        },
    };

    internal static async Task<int> PrintAsync(EtcdOptions options, string prefix, TextWriter output, CancellationToken cancellation)
    {
        try
        {
            await using var store = new EtcdDatastore(options);
            string? next = null;
            long revision = 0;
            do
            {
                var page = await store.ListAsync(prefix, next, revision, cancellation: cancellation);
                foreach (var item in page.Items)
                    await output.WriteLineAsync(JsonSerializer.Serialize(new { key = item.Key, value = Encoding.UTF8.GetString(item.Value.Span) }));
                (next, revision) = (page.Next, page.Revision);
            }
            while (next is not null);
            return 0;
        }
        catch (DatastoreException e)
        {
            throw new LabException(e.Message, e);
        }
    }

    internal static IReadOnlyList<(string Key, string Value)> ParseEntries(string output) =>
        [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonNode.Parse(line)!)
            .Select(entry => (entry["key"]!.GetValue<string>(), entry["value"]!.GetValue<string>()))];

    internal static Block ParseBlock(string value)
    {
        var block = JsonNode.Parse(value)!;
        return new Block(block["cidr"]!.GetValue<string>(), block["affinity"]?.GetValue<string>(), block["sequenceNumber"]?.GetValue<long>() ?? 0);
    }
}
