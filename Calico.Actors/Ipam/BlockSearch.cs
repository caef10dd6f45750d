using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// The search for a block with room: walks the candidates of the allowed pools in this host's order, leaves out what
/// is known to be held by others or reserved as a whole, and keeps one question a family under way at a time. Knows "nothing is left" only
/// when the feed has told every holder.
/// </summary>
internal sealed class BlockSearch(string node, int safeguard, LeaseSettings settings)
{
    public abstract record Step
    {
        public sealed record Ask(Cidr Block, long RequestId) : Step;

        /// <param name="IsTaken">The address wanted is in a block that another node holds.</param>
        public sealed record Exhausted(string Reason, bool IsTaken = false) : Step;

        public sealed record Wait : Step;
    }

    private sealed record Question(Cidr Block, long RequestId, TimeSpan AskedAt, int Times);

    /// <summary>A question without an answer is asked again after this long.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Asked so often in vain, a candidate counts as refused: its owner may be out of reach for long.</summary>
    private const int MaxAsked = 3;

    /// <summary>A refusal that the feed has not confirmed is believed this long.</summary>
    private static readonly TimeSpan RefusalMemory = TimeSpan.FromSeconds(5);

    /// <summary>How long a block that cannot be read is left alone.</summary>
    private static readonly TimeSpan CorruptMemory = TimeSpan.FromMinutes(1);

    private readonly Dictionary<Cidr, string> _holders = [];
    private readonly Dictionary<Cidr, TimeSpan> _corrupt = [];
    private readonly Dictionary<Cidr, TimeSpan> _refused = [];
    private readonly Dictionary<IpVersion, Question> _asked = [];
    private readonly HashSet<Cidr> _doubted = [];
    private bool _inSync;
    private bool _unavailable;
    private long _lastRequest;

    private int MaxBlocks => settings.Config.MaxBlocksPerHost > 0 ? settings.Config.MaxBlocksPerHost : safeguard;
    private string LimitName => settings.Config.MaxBlocksPerHost > 0 ? "maxBlocksPerHost of the IPAM configuration" : "maxBlocksPerHost raises it";

    /// <summary>Follows the affinities in the feed.</summary>
    public void Learn(IEnumerable<FeedItem> items, bool inSync)
    {
        _inSync = inSync;
        foreach (var item in items)
        {
            if (!IpamKeys.TryParseAffinity(item.Key, out var host, out var block))
                continue;
            if (item.Value is not null)
            {
                _holders[block] = host;
                if (host != node)
                    _refused.Remove(block);
            }
            else if (_holders.GetValueOrDefault(block) == host)
                _holders.Remove(block);
        }
    }

    /// <summary>
    /// Whether the feed calls a block this node's that it does not know of: the grant got lost on its way, or is. Says so once
    /// for each, as what is stored may be beyond help.
    /// </summary>
    /// <param name="known">Blocks held or given back.</param>
    public bool IsAnyUnknown(IEnumerable<Cidr> known)
    {
        var unknown = _holders.Where(h => h.Value == node).Select(h => h.Key).Except(known).ToList();
        _doubted.IntersectWith(unknown);
        var isNews = unknown.Exists(u => !_doubted.Contains(u));
        _doubted.UnionWith(unknown);
        return isNews;
    }

    public Step Next(LeaseRequest.Allocate request, IEnumerable<Cidr> held, TimeSpan now)
    {
        if (request.Lacks is not { } family)
            return new Step.Wait();
        if (_asked.TryGetValue(family, out var question))
        {
            if (now - question.AskedAt < Patience)
                return new Step.Wait();
            if (question.Times < MaxAsked)
                return Ask(family, question.Block, now, question.Times + 1);
            _asked.Remove(family);
            _refused[question.Block] = now;
        }
        var heldNow = held.ToHashSet();
        if (heldNow.Count >= MaxBlocks)
            return new Step.Exhausted($"this node holds {heldNow.Count} blocks already, which is the limit ({LimitName}), and none has a free address");
        if (!settings.Config.AutoAllocateBlocks && request.Demand.Wanted.IsEmpty)
            return new Step.Exhausted("no block held has a free address, and the IPAM configuration has autoAllocateBlocks off, so that nodes claim none");
        if (Candidate(request, family, heldNow, now) is { } candidate)
            return Ask(family, candidate, now, 1);
        if (_inSync && HolderOfWanted(request, family) is { } holder)
            return new Step.Exhausted($"address {request.Demand.WantedOf(family)} cannot be assigned: its block is held by {holder}", IsTaken: true);
        return _inSync && !_refused.Values.Any(t => now - t < RefusalMemory)
            ? new Step.Exhausted(Why(request, family))
            : new Step.Wait();
    }

    /// <summary>An answer has come; false if it is not the one waited for.</summary>
    public bool Answered(long requestId)
    {
        _unavailable = false;
        foreach (var (family, question) in _asked)
        {
            if (question.RequestId == requestId)
                return _asked.Remove(family);
        }
        return false;
    }

    /// <summary>The candidate is not to be had; returns whether to go on searching now.</summary>
    public bool Refused(BlockProtocol.BlockRefused refused, TimeSpan now)
    {
        if (!Answered(refused.RequestId))
            return false;
        if (refused.Reason is BlockProtocol.Refusal.DatastoreUnavailable)
        {
            _unavailable = true;
            return false;
        }
        // A person has to look at it; nobody waits for that.
        if (refused.Reason is BlockProtocol.Refusal.Corrupt)
            _corrupt[refused.Block] = now;
        else if (_holders.GetValueOrDefault(refused.Block, node) == node)
            _refused[refused.Block] = now;
        return true;
    }

    public string WhyNot(LeaseRequest request)
    {
        if (request is not LeaseRequest.Allocate allocate)
            return "the datastore did not confirm the release in time";
        var family = allocate.Lacks ?? allocate.Demand.Families[0];
        return _unavailable ? "the owner of the next block cannot reach the datastore"
            : !_inSync ? "this node has not joined the mesh yet, and no block it holds has room"
            : _asked.Count > 0 ? $"no answer from the owner of block {_asked.Values.First().Block} in time"
            : Why(allocate, family);
    }

    private static string Why(LeaseRequest.Allocate request, IpVersion family)
    {
        var pools = request.Message.Pools.Where(p => p.Cidr.Version == family).Select(p => $"{p.Name} ({p.Cidr})").ToList();
        return pools.Count == 0
            ? $"no enabled IP{family.ToString().ToLowerInvariant()} pool may be used here"
            : $"no free address and no free block in the pool{(pools.Count > 1 ? "s" : "")} {string.Join(", ", pools)}";
    }

    private Step.Ask Ask(IpVersion family, Cidr block, TimeSpan now, int times)
    {
        var question = new Question(block, ++_lastRequest, now, times);
        _asked[family] = question;
        return new Step.Ask(block, question.RequestId);
    }

    /// <summary>
    /// The other nodes whose blocks the request may borrow from, in an order of this node's own, so that not everybody
    /// asks the same first.
    /// </summary>
    public IEnumerable<string> Holders(LeaseRequest.Allocate request)
    {
        if (request.Lacks is not { } family)
            return [];
        if (request.Demand.WantedOf(family) is not null)
            return HolderOfWanted(request, family) is { } holder ? [holder] : [];
        var pools = request.Message.Pools.Where(p => p.Cidr.Version == family).ToList();
        var holders = _holders.Where(h => h.Value != node && pools.Exists(p => p.Cidr.Contains(h.Key))).Select(h => h.Value)
            .Distinct().Order(StringComparer.Ordinal).ToList();
        var first = holders.FindIndex(h => string.CompareOrdinal(h, node) > 0);
        return first < 0 ? holders : holders.Skip(first).Concat(holders.Take(first));
    }

    private string? HolderOfWanted(LeaseRequest.Allocate request, IpVersion family) =>
        request.Demand.WantedOf(family) is { } wanted
        && _holders.FirstOrDefault(h => h.Key.Contains(wanted)).Value is { } holder && holder != node ? holder : null;

    private Cidr? Candidate(LeaseRequest.Allocate request, IpVersion family, HashSet<Cidr> held, TimeSpan now)
    {
        foreach (var pool in request.Message.Pools.Where(p => p.Cidr.Version == family))
        {
            var candidates = request.Demand.WantedOf(family) is { } wanted
                ? pool.Cidr.Contains(wanted) ? [BlockCandidates.Containing(wanted, pool.BlockSize)] : []
                : BlockCandidates.Of(pool.Cidr, pool.BlockSize, node, settings.Reserved.CoverOf);
            foreach (var candidate in candidates)
            {
                if (!held.Contains(candidate) && _holders.GetValueOrDefault(candidate, node) == node
                    && !(_refused.TryGetValue(candidate, out var at) && now - at < RefusalMemory)
                    && !(_corrupt.TryGetValue(candidate, out var seen) && now - seen < CorruptMemory))
                    return candidate;
            }
        }
        return null;
    }
}
