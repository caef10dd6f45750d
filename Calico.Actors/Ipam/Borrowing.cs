using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// The search for an address in other nodes' blocks: asks their holders one after the other, one question a family at a
/// time, those that can be reached and have not said no a moment ago. Not thread-safe.
/// </summary>
internal sealed class Borrowing(string node)
{
    public abstract record Step
    {
        public sealed record Ask(LendProtocol.Borrow Message) : Step;
        public sealed record Wait : Step;

        /// <param name="Asked">How many said no.</param>
        /// <param name="Silent">The holder of the address wanted has not answered, so that nobody knows whose it is; null if it has.</param>
        /// <param name="IsDenied">The holder of the address wanted does not lend it.</param>
        public sealed record Exhausted(int Asked, string? Silent = null, bool IsDenied = false) : Step
        {
            public string Describe() => Silent is not null ? $"; {Silent} has not answered whether it can be lent"
                : IsDenied ? ", which does not lend it"
                : Asked == 0 ? "" : $"; {Asked} other node{(Asked == 1 ? " has" : "s have")} none to lend";
        }
    }

    private sealed record Question(long RequestId, string Holder, LeaseRequest.Allocate For, TimeSpan AskedAt);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>A no is believed this long, whoever asks, so that a full cluster is not asked to death.</summary>
    private static readonly TimeSpan RefusalMemory = TimeSpan.FromSeconds(10);

    /// <summary>One that could not say is asked again after this long.</summary>
    private static readonly TimeSpan BusyMemory = TimeSpan.FromSeconds(0.5);

    /// <summary>Holders that are asked for one request; the next request goes on with the others.</summary>
    private const int MaxAsked = 16;

    /// <summary>Questions to the holder of the address wanted, before it counts as silent.</summary>
    private const int MaxAskedForOne = 2;

    private readonly Dictionary<IpVersion, Question> _asked = [];
    private readonly Dictionary<(string Holder, IpVersion Family), TimeSpan> _refused = [];
    private readonly Dictionary<string, TimeSpan> _busy = [];
    private ImmutableHashSet<string> _reachable = [];
    private long _lastRequest;

    public void Members(IEnumerable<string> reachable) => _reachable = reachable.ToImmutableHashSet(StringComparer.Ordinal);

    /// <param name="request">Who needs an address.</param>
    /// <param name="holders">The nodes with blocks that it may come from, in the order in which to ask them.</param>
    public Step Next(LeaseRequest.Allocate request, IEnumerable<string> holders, TimeSpan now)
    {
        if (request.Lacks is not { } family)
            return new Step.Wait();
        if (_asked.TryGetValue(family, out var question))
        {
            if (now - question.AskedAt < Patience && !question.For.IsAnswered)
                return new Step.Wait();
            Refused(family, question, now);
        }
        var wanted = request.Demand.WantedOf(family);
        holders = [.. holders];
        // One that names an address has its one holder to ask, whatever that said of others.
        var left = request.Asked >= MaxAsked ? [] : holders.Where(h => _reachable.Contains(h)
            && (wanted is not null ? request is { Asked: < MaxAskedForOne, IsDenied: false } : !(_refused.TryGetValue((h, family), out var at) && now - at < RefusalMemory))).ToList();
        if (left.Count == 0)
            return new Step.Exhausted(request.Asked, wanted is null || request.IsDenied ? null : holders.FirstOrDefault(), wanted is not null && request.IsDenied);
        if (left.Find(h => !(_busy.TryGetValue(h, out var at) && now - at < BusyMemory)) is not { } holder)
            return new Step.Wait();
        request.Asked++;
        var message = new LendProtocol.Borrow(holder, node, ++_lastRequest, request.Handle,
            [.. request.Message.Pools.Where(p => p.Cidr.Version == family).Select(p => p.Cidr)], wanted);
        _asked[family] = new Question(message.RequestId, holder, request, now);
        return new Step.Ask(message);
    }

    /// <summary>For whom the answer is; null if nobody waits for it any more.</summary>
    public LeaseRequest.Allocate? Answered(long requestId)
    {
        foreach (var (family, question) in _asked)
        {
            if (question.RequestId != requestId)
                continue;
            _asked.Remove(family);
            return question.For.IsAnswered ? null : question.For;
        }
        return null;
    }

    /// <summary>A holder said no; returns whether anybody waited for it.</summary>
    public bool Refused(long requestId, LendProtocol.Refusal reason, TimeSpan now)
    {
        foreach (var (family, question) in _asked)
        {
            if (question.RequestId != requestId)
                continue;
            if (reason is LendProtocol.Refusal.Busy)
            {
                _asked.Remove(family);
                _busy[question.Holder] = now;
                question.For.Asked--;
            }
            else
            {
                question.For.IsDenied = true;
                Refused(family, question, now);
            }
            return true;
        }
        return false;
    }

    private void Refused(IpVersion family, Question question, TimeSpan now)
    {
        _asked.Remove(family);
        if (question.For.Demand.WantedOf(family) is null)
            _refused[(question.Holder, family)] = now;
    }
}
