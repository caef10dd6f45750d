using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Datastore;
using Calico.Datastore.Etcd;

namespace Calico.Node.Lab;

/// <summary>
/// A look into the lab's datastore. It is reachable from the lab's network only, so a child process inside the router's
/// namespace reads it (<c>calico-node lab store PREFIX</c>) and prints one JSON object a key.
/// </summary>
internal static class LabStore
{
    private const string BlockPrefix = "/calico/ipam/v2/assignment/";

    /// <summary>An IPAM block as stored; each change of it has a larger sequence number.</summary>
    internal sealed record Block(string Cidr, string? Affinity, long SequenceNumber);

    public static async Task<IReadOnlyList<Block>> BlocksAsync(Lab lab) =>
        [.. (await ListAsync(lab, BlockPrefix)).Select(e => ParseBlock(e.Value))];

    public static async Task<IReadOnlyList<(string Key, string Value)>> ListAsync(Lab lab, string prefix)
    {
        using var inside = lab.Topology.OpenRouter();
        var (exit, output, errors) = await Processes.RunAsync(inside, NodeProcess.ClientEnvironment(lab.Pki.Of(LabCtl.CertificateName)), null,
            [LabPlace.NodeProgram, "lab", "store", prefix]);
        if (exit != 0)
            throw new LabException($"the lab's datastore cannot be read: {errors.Trim()}");
        return ParseEntries(output);
    }

    /// <summary>The child's part, with the client's environment.</summary>
    public static Task<int> PrintAsync(string prefix, TextWriter output, CancellationToken cancellation) => PrintAsync(new EtcdOptions
    {
        Endpoints = [.. (Environment.GetEnvironmentVariable("ETCD_ENDPOINTS") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries)],
        Tls = new TlsOptions
        {
            CaFile = Environment.GetEnvironmentVariable("ETCD_CA_CERT_FILE"),
            CertificateFile = Environment.GetEnvironmentVariable("ETCD_CERT_FILE"),
            KeyFile = Environment.GetEnvironmentVariable("ETCD_KEY_FILE"),
        },
    }, prefix, output, cancellation);

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
