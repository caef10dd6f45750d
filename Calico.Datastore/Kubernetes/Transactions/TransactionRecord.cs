using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Nodes;
using Calico.Datastore.Kubernetes.Client;

namespace Calico.Datastore.Kubernetes.Transactions;

internal enum TransactionState
{
    Prepared,
    Committed,
    Aborted,
}

/// <summary>
/// The object that decides a transaction over several others: nothing of it is true while it is prepared, and all of it
/// from the write on that makes it committed. Its life:
/// <code>
///   (none) --create--> Prepared --CAS--> Committed --> keys rolled forward --> (deleted)
///                          '-----CAS--> Aborted   --> keys released        --> (deleted)
/// </code>
/// </summary>
internal sealed record TransactionRecord(KubeItem Item, TransactionState State, ImmutableArray<string> Writes, ImmutableArray<string> Checks)
{
    public string Name => Item.Name;

    /// <summary>Of a committed one: the revision of the transaction.</summary>
    public long Revision => Item.Revision;

    public IEnumerable<string> Keys => Writes.Concat(Checks);

    public static TransactionRecord Of(KubeItem item) => new(item,
        item.SpecText("state") switch
        {
            "Committed" => TransactionState.Committed,
            "Aborted" => TransactionState.Aborted,
            _ => TransactionState.Prepared,
        },
        Texts(item.Spec("writes")), Texts(item.Spec("checks")));

    public static KubeRequest Create(string name, IEnumerable<string> writes, IEnumerable<string> checks) =>
        KubeRequest.Create(KubeResource.Transactions, null, Body(name, TransactionState.Prepared, writes, checks));

    /// <summary>Decides: succeeds for one of all who try, because it names the version that is not decided yet.</summary>
    public KubeRequest Become(TransactionState state)
    {
        var body = Body(Name, state, Writes, Checks);
        body["metadata"]!["resourceVersion"] = Item.ResourceVersion;
        return new KubeRequest(KubeVerb.Update, KubeResource.Transactions, null, Name) { Body = body };
    }

    private static JsonObject Body(string name, TransactionState state, IEnumerable<string> writes, IEnumerable<string> checks) => new()
    {
        ["apiVersion"] = KubeResource.Transactions.ApiVersion,
        ["kind"] = KubeResource.Transactions.Kind,
        ["metadata"] = new JsonObject { ["name"] = name },
        ["spec"] = new JsonObject
        {
            ["state"] = state.ToString(),
            ["writes"] = new JsonArray([.. writes.Select(k => (JsonNode)k)]),
            ["checks"] = new JsonArray([.. checks.Select(k => (JsonNode)k)]),
        },
    };

    private static ImmutableArray<string> Texts(JsonElement json) => json.ValueKind != JsonValueKind.Array ? []
        : [.. json.EnumerateArray().Where(t => t.ValueKind == JsonValueKind.String).Select(t => t.GetString()!)];
}
