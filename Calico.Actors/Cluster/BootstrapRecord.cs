using System.Collections.Immutable;
using System.Text.Json;

namespace Calico.Actors.Cluster;

/// <summary>
/// What the datastore knows of the actor cluster: its id and where its members are. Renewed by the cluster's leader
/// every few seconds; a record that nobody renews says that no cluster lives that can reach the datastore.
/// </summary>
/// <param name="ClusterId">Chosen by the node that formed the cluster.</param>
/// <param name="Renewal">Grows with each renewal, so that a record with the same members is still seen to change.</param>
public sealed record BootstrapRecord(string ClusterId, long Renewal, ImmutableArray<string> Members)
{
    public const string Key = "/calico/mesh/v1/cluster";

    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this);

    /// <summary>Reads a record; null for anything that is not one, which is then replaced.</summary>
    public static BootstrapRecord? FromJson(ReadOnlyMemory<byte> json)
    {
        try
        {
            var record = JsonSerializer.Deserialize<BootstrapRecord>(json.Span);
            return record is { ClusterId: not null, Members.IsDefault: false } ? record : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>What a node that is not yet a member does next.</summary>
public abstract record BootstrapStep
{
    /// <summary>Somebody lives there: join through these.</summary>
    public sealed record Join(ImmutableArray<string> Seeds, string ClusterId) : BootstrapStep;

    /// <summary>Nobody does: write this record by compare-and-swap and, if that succeeds, form the cluster.</summary>
    public sealed record Form(BootstrapRecord Record, ImmutableArray<string> Seeds) : BootstrapStep;

    public sealed record Wait : BootstrapStep;
}

/// <summary>
/// Decides how a node comes into the cluster from what it sees of the record over time. Needs no agreement between
/// clocks: a record is stale when this node, by its own clock, has watched it stand still for long enough.
/// <code>
///   no record ────────────────► form (CAS on absence: one node wins, the others then see its record)
///   record changes / is new ──► join its members
///   record stands still ──────► form, trying the old members first (they may live and have lost only the datastore)
/// </code>
/// </summary>
public sealed class BootstrapDecision(string self, TimeSpan staleAfter)
{
    private long _seenRevision = -1;
    private TimeSpan _seenAt;

    /// <param name="record">What is stored, null if nothing.</param>
    /// <param name="revision">The revision of the record, 0 if there is none.</param>
    /// <param name="now">Time since this node began to look; never the wall clock, which may jump.</param>
    /// <param name="newClusterId">The id to use should this node form a cluster.</param>
    public BootstrapStep Next(BootstrapRecord? record, long revision, TimeSpan now, string newClusterId)
    {
        if (revision != _seenRevision)
        {
            _seenRevision = revision;
            _seenAt = now;
        }
        if (record is null)
            return new BootstrapStep.Form(new BootstrapRecord(newClusterId, 1, [self]), [self]);
        var others = record.Members.Where(m => m != self).ToImmutableArray();
        // A record of this address alone is from our own earlier life: nobody else can be there.
        if (others.IsEmpty)
            return new BootstrapStep.Form(new BootstrapRecord(newClusterId, record.Renewal + 1, [self]), [self]);
        if (now - _seenAt < staleAfter)
            return new BootstrapStep.Join(others, record.ClusterId);
        return new BootstrapStep.Form(new BootstrapRecord(newClusterId, record.Renewal + 1, [self]), [self, .. others]);
    }

    /// <summary>
    /// Two clusters live and only one can own the record: the smaller one dissolves and joins the other, of two that are
    /// equally large the one with the greater id, or if both are parts of one, with the greater first member. Both sides decide alike from what the record says and what they see, so
    /// a node that came back alone and formed its own never makes the cluster that it had left dissolve.
    /// </summary>
    /// <param name="ownMembers">The members of the deciding cluster, in order.</param>
    /// <param name="ownId">Its id.</param>
    /// <param name="other">The record of the other one.</param>
    public static bool Yields(ImmutableArray<string> ownMembers, string ownId, BootstrapRecord other) => other.Members.Length != ownMembers.Length
        ? other.Members.Length > ownMembers.Length
        : string.CompareOrdinal(other.ClusterId + other.Members[0], ownId + ownMembers[0]) < 0;
}
