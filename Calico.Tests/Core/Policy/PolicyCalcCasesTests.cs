using System.Collections.Immutable;
using System.Text.Json;
using Calico.Core.Model;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Graph;
using Calico.Core.Policy.Index;

namespace Calico.Tests.Core.Policy;

/// <summary>
/// Calico's own calculation states (case table 04): datastore contents in its v1 model, and the sets, active policies
/// and policy order of one host. Routes, VTEPs and encapsulation of the same states belong to other subsystems.
/// </summary>
[Layer("conformance")]
public class PolicyCalcCasesTests
{
    private const string Table = "04-policy-calc/states.json";
    private const string LocalHost = "localhostname";

    [SkippableFact]
    public void Every_state_has_the_sets_policies_and_order_that_Calico_computes()
    {
        var states = States();

        foreach (var (json, state) in states)
        {
            var world = new PolicyWorld();
            foreach (var (key, item) in state.Items)
                world.Put(key, item);
            world.Settle();
            AssertExpected(json, world);
        }
        Assert.True(states.Count >= 40, $"{states.Count} states");
    }

    [SkippableFact]
    public void Every_walk_ends_where_Calico_does()
    {
        var states = States().ToDictionary(s => s.State.Name);
        var walks = Cases.Read("04-policy-calc/sequences.json").EnumerateArray()
            .Select(w => w.GetProperty("states").EnumerateArray().Select(s => s.GetString()!).ToList())
            .Where(w => w.All(states.ContainsKey)).ToList();

        foreach (var walk in walks)
        {
            foreach (var names in new[] { walk, walk.AsEnumerable().Reverse() })
            {
                var world = new PolicyWorld();
                var current = WorldState.Empty;
                foreach (var name in names)
                {
                    var (json, next) = states[name];
                    foreach (var (key, item) in current.Items.Where(i => !next.Items.ContainsKey(i.Key)))
                        world.Remove(key, item);
                    foreach (var (key, item) in next.Items.Reverse())
                        world.Put(key, item);
                    world.Settle();
                    AssertExpected(json, world);
                    current = next;
                }
            }
        }
        Assert.NotEmpty(walks);
    }

    [SkippableTheory]
    [InlineData("permuted", 1)]
    [InlineData("permuted", 2)]
    [InlineData("split", 3)]
    [InlineData("squashed", 4)]
    [InlineData("duplicated", 5)]
    [InlineData("subscribing", 6)]
    public void Walking_all_states_in_any_way_leaves_no_trace(string variant, int seed) =>
        WorldExpander.Replay([.. States().Select(s => s.State)], variant, seed);

    private static List<(JsonElement Json, WorldState State)> States() => [.. Cases.Read(Table).EnumerateArray()
        .Where(s => s.GetProperty("expected").TryGetProperty("ipSets", out _))
        .Select(s => (s, Repaired(new WorldState(s.GetProperty("name").GetString()!, Items(s.GetProperty("datastore"))))))];

    // The table keeps one entry a path, and profiles have none there: of this state's two only the later one is left.
    private static WorldState Repaired(WorldState state) =>
        state.Name != "2 local WEPs with policy matching inherited label on WEP1; WEP2 has different label"
            ? state
            : state.With(state.Name, ("profile/prof-1", (CompiledProfile)state.Items["profile/prof-2"] with
            {
                Name = "prof-1",
                LabelsToApply = [new("profile", "prof-1")],
            }));

    private static ImmutableSortedDictionary<string, object> Items(JsonElement datastore)
    {
        var items = ImmutableSortedDictionary.CreateBuilder<string, object>(StringComparer.Ordinal);
        foreach (var entry in datastore.EnumerateArray())
        {
            var path = entry.GetProperty("path").GetString()!;
            var parts = path.Split('/');
            var value = entry.GetProperty("value");
            switch (entry.GetProperty("valueType").GetString())
            {
                case "Policy":
                    items[path] = Policy(new PolicyKey(parts[4], parts[5], parts[6]), value);
                    break;
                case "Tier":
                    items[path] = new TierState(parts[5], Number(value, "order"), false);
                    break;
                case "ProfileRules":
                    AddProfile(items, parts[5], value);
                    break;
                case "Profile":
                    AddLabels(items, value);
                    break;
                case "WorkloadEndpoint" or "HostEndpoint":
                    items[path] = Endpoint(parts, value);
                    break;
                case "NetworkSet":
                    items[path] = new LabelOwner { Labels = Map(value, "labels"), Nets = [.. Texts(value, "nets").Select(n => Cidr.Parse(n))] };
                    break;
                case "discovery.EndpointSlice":
                    items["slice/" + value.GetProperty("ObjectMeta").GetProperty("name").GetString()] = Slice(value);
                    break;
            }
        }
        return items.ToImmutable();
    }

    // Rules and labels of a profile come as two entries; a profile of which only labels are known still denies.
    private static void AddProfile(IDictionary<string, object> items, string name, JsonElement rules)
    {
        var json = new ProfileSpec { Ingress = V3Rules(rules, "inbound_rules"), Egress = V3Rules(rules, "outbound_rules") };
        Assert.True(PolicyCompiler.TryCompile(new Profile { Metadata = new ObjectMeta { Name = name }, Spec = json }, 1, out var compiled, out var error), error);
        items["profile/" + name] = items.TryGetValue("profile/" + name, out var known)
            ? compiled! with { LabelsToApply = ((CompiledProfile)known).LabelsToApply }
            : compiled!;
    }

    private static void AddLabels(IDictionary<string, object> items, JsonElement value)
    {
        var name = value.GetProperty("metadata").GetProperty("name").GetString()!;
        var labels = Map(value.GetProperty("spec"), "labelsToApply");
        ImmutableArray<CompiledRule> deny = [new CompiledRule { Action = Calico.Core.Policy.RuleAction.Deny }];
        var profile = items.TryGetValue("profile/" + name, out var known)
            ? (CompiledProfile)known
            : new CompiledProfile { Name = name, Revision = 1, Ingress = deny, Egress = deny };
        items["profile/" + name] = profile with { LabelsToApply = labels };
    }

    private static CompiledPolicy Policy(PolicyKey key, JsonElement value)
    {
        var spec = new GlobalNetworkPolicySpec
        {
            Tier = value.GetProperty("tier").GetString(),
            Order = Number(value, "order"),
            Selector = value.GetProperty("selector").GetString(),
            Types = [.. Texts(value, "types")],
            DoNotTrack = Flag(value, "untracked"),
            PreDNAT = Flag(value, "pre_dnat"),
            ApplyOnForward = Flag(value, "apply_on_forward"),
            PerformanceHints = [.. Texts(value, "performance_hints")],
            Ingress = V3Rules(value, "inbound_rules"),
            Egress = V3Rules(value, "outbound_rules"),
        };
        Assert.True(PolicyCompiler.TryCompile(key, spec, 1, out var compiled, out var error), error);
        return compiled!;
    }

    private static ValueList<Rule> V3Rules(JsonElement value, string list) => value.TryGetProperty(list, out var rules) && rules.ValueKind == JsonValueKind.Array
        ? [.. rules.EnumerateArray().Select(r => new Rule
        {
            // No action at all is an allow in the v1 model.
            Action = Text(r, "action") is { Length: > 0 } action ? char.ToUpperInvariant(action[0]) + action[1..] : "Allow",
            Protocol = Text(r, "protocol") is { } protocol ? Protocol.Parse(protocol.ToUpperInvariant()) : null,
            Source = End(r, "src"),
            Destination = End(r, "dst"),
        })]
        : [];

    private static EntityRule End(JsonElement rule, string side) => new()
    {
        Selector = Text(rule, $"{side}_selector"),
        NotSelector = Text(rule, $"!{side}_selector"),
        Ports = [.. Ports(rule, $"{side}_ports")],
        NotPorts = [.. Ports(rule, $"!{side}_ports")],
        Services = Text(rule, $"{side}_service") is { } service
            ? new ServiceMatch { Name = service, Namespace = Text(rule, $"{side}_service_ns") }
            : null,
    };

    private static IEnumerable<Port> Ports(JsonElement rule, string name) =>
        rule.TryGetProperty(name, out var ports) ? ports.EnumerateArray().Select(p => Port.Parse(p.ToString())) : [];

    private static object Endpoint(string[] path, JsonElement value)
    {
        var isHost = path[5] == "endpoint";
        var owner = new LabelOwner
        {
            Labels = Map(value, "labels"),
            Profiles = [.. Texts(value, "profile_ids")],
            Nets = [.. new[] { "ipv4_nets", "ipv6_nets", "expected_ipv4_addrs", "expected_ipv6_addrs" }
                .SelectMany(n => Texts(value, n)).Select(n => Cidr.TryParseOrHost(n, out var c) ? c : throw new FormatException(n))],
            Ports = value.TryGetProperty("ports", out var ports) && ports.ValueKind == JsonValueKind.Array
                ? [.. ports.EnumerateArray().Select(p => new NamedPort(Text(p, "name")!,
                    IpProtocol.TryParse(p.GetProperty("protocol").ToString(), out var n) ? n : (byte)0, p.GetProperty("port").GetUInt16()))]
                : [],
        };
        if (path[4] != LocalHost)
            return owner;
        return new PolicyWorld.Workload(new LocalEndpoint
        {
            Id = isHost ? path[6] : $"{path[6]}/{path[7]}/{path[9]}",
            InterfaceName = Text(value, "name") is { Length: > 0 } name ? name : "unresolved",
            IsHost = isHost,
            Labels = owner.Labels,
            Profiles = owner.Profiles,
            Addresses = [.. owner.Nets.Select(n => n.Address)],
        }, owner);
    }

    private static ServiceEndpoints Slice(JsonElement value)
    {
        var meta = value.GetProperty("ObjectMeta");
        return new ServiceEndpoints(
            $"{meta.GetProperty("namespace").GetString()}/{meta.GetProperty("labels").GetProperty("kubernetes.io/service-name").GetString()}",
            [.. value.GetProperty("Endpoints").EnumerateArray().SelectMany(e => Texts(e, "Addresses")).Select(a => IpAddr.Parse(a))],
            [.. value.GetProperty("Ports").EnumerateArray().Select(p => (
                IpProtocol.TryParse(p.GetProperty("Protocol").GetString()!, out var n) ? n : (byte)0, p.GetProperty("Port").GetUInt16()))]);
    }

    private static void AssertExpected(JsonElement state, PolicyWorld world)
    {
        var name = state.GetProperty("name").GetString();
        var expected = state.GetProperty("expected");
        var sets = expected.GetProperty("ipSets").EnumerateObject()
            .Select(s => $"{s.Name}: {string.Join(' ', Members(s.Value).Order())}").Order(StringComparer.Ordinal);
        var actualSets = world.Graph.ActiveSets.Select(s => $"{s}: {string.Join(' ', world.Graph.Members(s)!.Sorted)}");
        AssertLines(name, "sets", sets, actualSets);

        AssertLines(name, "policies", Keys(expected, "activePolicies").Order(), world.Graph.ActivePolicies.Select(Show).Order());
        AssertLines(name, "profiles", Texts(expected, "activeProfiles").Order(StringComparer.Ordinal), world.Graph.ActiveProfiles);
        AssertLines(name, "pre-DNAT policies", Keys(expected, "preDNATPolicies").Order(),
            world.Graph.ActivePolicies.Where(p => world.Graph.Policy(p)!.Compiled.PreDnat).Select(Show).Order());
        foreach (var (property, stage) in new[]
        {
            ("endpointPolicyOrder", PolicyStage.Normal), ("endpointUntrackedPolicyOrder", PolicyStage.Untracked),
            ("endpointPreDNATPolicyOrder", PolicyStage.PreDnat),
        })
            AssertLines(name, property, Orders(expected, property), world.Graph.Endpoints.Keys.Order(StringComparer.Ordinal)
                .Select(e => $"{e}: {Show(world.Graph.Policies(e)!.Tiers(stage))}"));
    }

    private static void AssertLines(string? state, string what, IEnumerable<string> expected, IEnumerable<string> actual)
    {
        var (left, right) = (string.Join('\n', expected), string.Join('\n', actual));
        if (left != right)
            Assert.Fail($"state '{state}', {what}: expected\n{left}\nbut got\n{right}");
    }

    private static IEnumerable<SetMember> Members(JsonElement members) =>
        members.EnumerateArray().Select(m => SetMember.TryParse(m.GetString()!, out var member) ? member : throw new FormatException(m.GetString()));

    private static IEnumerable<string> Orders(JsonElement expected, string property) => expected.TryGetProperty(property, out var all)
        ? all.EnumerateObject().OrderBy(e => e.Name, StringComparer.Ordinal).Select(e => $"{e.Name}: " + string.Join("; ", e.Value.EnumerateArray().Select(t =>
            $"{Text(t, "Name")} [{string.Join(' ', Keys(t, "IngressPolicies"))}] [{string.Join(' ', Keys(t, "EgressPolicies"))}]")))
        : [];

    private static string Show(ImmutableArray<EndpointTier> tiers) => string.Join("; ", tiers.Select(t =>
        $"{t.Name} [{string.Join(' ', t.Policies(Direction.Ingress).Select(Show))}] [{string.Join(' ', t.Policies(Direction.Egress).Select(Show))}]"));

    private static string Show(PolicyKey key) => $"{key.Kind}/{key.Namespace}/{key.Name}";

    private static IEnumerable<string> Keys(JsonElement parent, string name) => parent.TryGetProperty(name, out var keys) && keys.ValueKind == JsonValueKind.Array
        ? keys.EnumerateArray().Select(k => $"{Text(k, "Kind")}/{Text(k, "Namespace")}/{Text(k, "Name")}")
        : [];

    private static ImmutableArray<KeyValuePair<string, string>> Map(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out var map) && map.ValueKind == JsonValueKind.Object
            ? [.. map.EnumerateObject().Select(p => new KeyValuePair<string, string>(p.Name, p.Value.GetString()!))]
            : [];

    private static IEnumerable<string> Texts(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array ? list.EnumerateArray().Select(t => t.GetString()!) : [];

    private static string? Text(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out var text) && text.ValueKind != JsonValueKind.Null ? text.ToString() : null;

    private static double? Number(JsonElement parent, string name) =>
        parent.TryGetProperty(name, out var number) && number.ValueKind == JsonValueKind.Number ? number.GetDouble() : null;

    private static bool Flag(JsonElement parent, string name) => parent.TryGetProperty(name, out var flag) && flag.GetBoolean();
}
