using System.Collections.Immutable;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Core.Policy.Graph;

namespace Calico.Core.Policy.Render;

/// <summary>
/// The chain of one direction of one endpoint, in Calico's order:
///
///   administratively down: drop
///   packet rate
///   replies accepted, invalid dropped         (not in raw)
///   connection limit
///   failsafe ports                            (host endpoints, not forwarded traffic)
///   clear accept and pass
///   no VXLAN or IP-in-IP out of a workload
///   per tier: clear pass; each policy or group while pass is clear, back out once accepted; drop at its end
///   profiles, back out once accepted          (normal stage)
///   drop                                      (normal stage)
///
/// "Accepted" returns with the accept mark set: the other end of a local connection still has its say.
/// </summary>
internal sealed class EndpointChains(RenderOptions options)
{
    private readonly Marks _marks = options.Marks;

    /// <summary>One chain to render.</summary>
    /// <param name="Layer">Where the chain's policy chains are.</param>
    /// <param name="Failsafe">Name of the failsafe chain, or null.</param>
    /// <param name="Allow">What becomes of replies.</param>
    /// <param name="FromWorkload">True for packets that a workload sent.</param>
    public readonly record struct Request(EndpointPolicies Policies, Direction Direction, PolicyStage Stage,
        string Layer, string? Failsafe, AllowAction Allow, bool FromWorkload);

    public ImmutableArray<NftRule> Render(in Request request)
    {
        var endpoint = request.Policies.Endpoint;
        var cause = CauseOf(endpoint);
        var deny = Terms.Deny(options.FilterDeny);
        if (!endpoint.AdminUp)
            return [new NftRule(cause, Terms.Counter, deny)];

        var rules = ImmutableArray.CreateBuilder<NftRule>();
        var normal = request.Stage == PolicyStage.Normal;
        if (normal)
            PacketRate(endpoint, request.Direction, cause, rules);
        if (request.Stage != PolicyStage.Untracked)
            Conntrack(request.Allow, cause, deny, rules);
        if (normal)
            ConnectionLimit(endpoint, request.Direction, cause, rules);
        if (request.Failsafe is { } failsafe)
            rules.Add(new NftRule(cause, Terms.Counter, Terms.Jump(ChainNames.In(request.Layer, failsafe))));
        rules.Add(new NftRule(cause, Terms.ClearMark(_marks.Accept | _marks.Pass)));
        if (request.FromWorkload)
            Encapsulation(cause, deny, rules);
        foreach (var tier in request.Policies.Tiers(request.Stage))
            Tier(tier, request, deny, rules);
        if (request.Stage == PolicyStage.Forward && request.Policies.Forward.IsEmpty)
            rules.Add(new NftRule(cause, Terms.SetMark(_marks.Accept), Terms.Counter, Terms.Return));
        if (normal)
            Profiles(endpoint, request, cause, deny, rules);
        return rules.ToImmutable();
    }

    /// <summary>
    /// The chain of a policy group: its policies in order until one has decided. The check comes after every fifth,
    /// and before each policy in between.
    /// </summary>
    public ImmutableArray<NftRule> Render(PolicyGroup group, string layer)
    {
        const int stride = 5;
        var rules = ImmutableArray.CreateBuilder<NftRule>();
        var decided = _marks.Accept | _marks.Pass;
        var count = 0;
        foreach (var policy in group.Enforced)
        {
            var cause = CauseOf(policy);
            if (count > 0 && count % stride == 0)
                rules.Add(new NftRule(cause, Terms.AnyMarkSet(decided), Terms.Counter, Terms.Return));
            var jump = Terms.Jump(ChainNames.In(layer, ChainNames.Policy(policy, group.Direction)));
            rules.Add(count % stride == 0
                ? new NftRule(cause, Terms.Counter, jump)
                : new NftRule(cause, Terms.MarkClear(decided), Terms.Counter, jump));
            count++;
        }
        return rules.ToImmutable();
    }

    /// <summary>A group of several enforced policies has a chain of its own.</summary>
    public static bool HasChain(PolicyGroup group) => group.Enforced.Skip(1).Any();

    /// <summary>The resource behind rules that an endpoint itself brings.</summary>
    public static Cause CauseOf(LocalEndpoint endpoint) =>
        new($"{(endpoint.IsHost ? "HostEndpoint" : "WorkloadEndpoint")}/{endpoint.Id}");

    public static Cause CauseOf(PolicyKey policy) => new(policy.Namespace.Length == 0
        ? $"{policy.Kind}/{policy.Name}"
        : $"{policy.Kind}/{policy.Namespace}/{policy.Name}");

    private void Tier(EndpointTier tier, in Request request, NftTerm deny, ImmutableArray<NftRule>.Builder rules)
    {
        var groups = tier.Groups(request.Direction);
        if (groups.IsEmpty)
            return;
        var (cause, direction) = (new Cause($"Tier/{tier.Name}"), request.Direction);
        rules.Add(new NftRule(cause, Terms.ClearMark(_marks.Pass)));
        foreach (var group in groups)
        {
            string[] chains = HasChain(group)
                ? [ChainNames.Group(group)]
                : [.. group.Enforced.Select(p => ChainNames.Policy(p, direction))];
            var by = group.Enforced.Any() ? CauseOf(group.Enforced.First()) : cause;
            foreach (var chain in chains)
            {
                rules.Add(new NftRule(by, Terms.MarkClear(_marks.Pass), Terms.Counter,
                    Terms.Jump(ChainNames.In(request.Layer, chain))));
                if (request.Stage == PolicyStage.Untracked)
                    rules.Add(new NftRule(by, Terms.MarkSet(_marks.Accept), Terms.Counter, Terms.NoTrack));
                rules.Add(new NftRule(by, Terms.MarkSet(_marks.Accept), Terms.Counter, Terms.Return));
            }
        }
        if (request.Stage is PolicyStage.Normal or PolicyStage.Forward && tier.DropsAtEnd(request.Direction))
            rules.Add(new NftRule(cause, Terms.MarkClear(_marks.Pass), Terms.Counter, deny));
    }

    private void Profiles(LocalEndpoint endpoint, in Request request, Cause cause, NftTerm deny,
        ImmutableArray<NftRule>.Builder rules)
    {
        foreach (var profile in endpoint.Profiles)
        {
            var by = new Cause($"Profile/{profile}");
            var chain = ChainNames.In(request.Layer, ChainNames.Profile(profile, request.Direction));
            rules.Add(new NftRule(by, Terms.Counter, Terms.Jump(chain)));
            rules.Add(new NftRule(by, Terms.MarkSet(_marks.Accept), Terms.Counter, Terms.Return));
        }
        rules.Add(new NftRule(cause, Terms.Counter, deny));
    }

    private void Conntrack(AllowAction allow, Cause cause, NftTerm deny, ImmutableArray<NftRule>.Builder rules)
    {
        rules.Add(allow == AllowAction.Accept
            ? new NftRule(cause, Terms.Replies, Terms.Counter, Terms.Accept)
            : new NftRule(cause, Terms.Replies, Terms.SetMark(_marks.Accept), Terms.Counter, Terms.Return));
        if (!options.AllowInvalid)
            rules.Add(new NftRule(cause, Terms.Invalid, Terms.Counter, deny));
    }

    private void Encapsulation(Cause cause, NftTerm deny, ImmutableArray<NftRule>.Builder rules)
    {
        if (!options.AllowVxlanFromWorkloads)
        {
            rules.Add(new NftRule(cause, Terms.Protocol(IpProtocol.Udp), Terms.DestinationPort(options.VxlanPort),
                Terms.Counter, deny));
        }
        if (!options.AllowIpIpFromWorkloads)
            rules.Add(new NftRule(cause, Terms.Protocol(IpProtocol.IpInIp), Terms.Counter, deny));
    }

    private static void PacketRate(LocalEndpoint endpoint, Direction direction, Cause cause,
        ImmutableArray<NftRule>.Builder rules)
    {
        var (rate, burst) = direction == Direction.Ingress
            ? (endpoint.Qos?.IngressPacketRate ?? 0, endpoint.Qos?.IngressPacketBurst ?? 0)
            : (endpoint.Qos?.EgressPacketRate ?? 0, endpoint.Qos?.EgressPacketBurst ?? 0);
        if (rate > 0)
        {
            rules.Add(new NftRule(cause,
                new NftMatch.Rate((ulong)rate, NftRateUnit.Second, (uint)Math.Max(1, burst)) { Negate = true },
                Terms.Counter, Terms.Drop));
        }
    }

    private static void ConnectionLimit(LocalEndpoint endpoint, Direction direction, Cause cause,
        ImmutableArray<NftRule>.Builder rules)
    {
        var limit = (direction == Direction.Ingress ? endpoint.Qos?.IngressConnections : endpoint.Qos?.EgressConnections) ?? 0;
        if (limit > 0)
        {
            rules.Add(new NftRule(cause, Terms.Protocol(IpProtocol.Tcp),
                new NftMatch.Connections((uint)Math.Min(limit, uint.MaxValue)) { Negate = true }, Terms.Counter,
                new NftStatement.Reject(NftRejectWith.TcpReset)));
        }
    }
}
