using Calico.Core.Net;
using Calico.Core.Policy;
using Calico.Core.Policy.Index;
using static Calico.Tests.Core.Policy.PolicyItems;

namespace Calico.Tests.Core.Policy;

[Layer("unit")]
public class PolicyExpanderTests
{
    private static readonly (string, object?) Web = ("wep/web", Workload("web", "10.0.0.1", ("app", "web"), ("env", "prod")));
    private static readonly (string, object?) Db = ("wep/db", Workload("db", "10.0.0.2", ("app", "db")));
    private static readonly (string, object?) Ns = ("profile/kns.default", AllowNamespace);
    private static readonly (string, object?) DefaultTier = ("tier/default", new TierState("default", 1_000_000, false));
    private static readonly (string, object?) Security = ("tier/security", new TierState("security", 10, false));

    private static readonly (string, object?) AllowWeb = ("policy/allow-web", Global("allow-web", "app == 'db'", 10,
        ingress: """{"action":"Allow","protocol":"TCP","source":{"selector":"app == 'web'"},"destination":{"ports":[5432]}}"""));

    private static readonly WorldState Base = WorldState.Empty.With("two workloads", Web, Db, Ns, DefaultTier);
    private static readonly WorldState Allowed = Base.With("a policy selects db", AllowWeb);

    private static readonly WorldState[] States =
    [
        Base,
        Allowed,
        Allowed.With("its only peer is gone", ("wep/web", null)),
        Allowed.With("its only target is gone", ("wep/db", null)),
        Allowed.With("profile missing", ("profile/kns.default", null)),
        Allowed.With("tier missing", ("tier/default", null)),
        Allowed.With("order changed and a second policy", ("policy/first", Global("first", "app == 'db'", 5, egress: """{"action":"Deny"}"""))),
        Allowed.With("peer by profile label", ("policy/allow-web", Global("allow-web", "app == 'db'", 10,
            ingress: """{"action":"Allow","source":{"namespaceSelector":"projectcalico.org/name == 'default'"}}"""))),
        Allowed.With("target's labels changed", ("wep/db", Workload("db", "10.0.0.2", ("app", "cache")))),
        Allowed.With("target's address and interface changed", ("wep/db", Workload("db", "10.0.0.9", ("app", "db")) is var moved
            ? moved with { Endpoint = moved.Endpoint with { InterfaceName = "calimoved" } } : null)),
        Allowed.With("shared address", ("wep/twin", Workload("twin", "10.0.0.1", ("app", "web")))),
        Allowed.With("two tiers, pass", Security, ("policy/sec", Global("sec", "all()", 1, "security",
            """{"action":"Pass","source":{"notSelector":"app == 'web'"}},{"action":"Log"}""", """{"action":"Pass"}"""))),
        Allowed.With("tier passes by default", ("tier/default", new TierState("default", 1_000_000, true))),
        Allowed.With("named ports and networks", ("policy/named", Global("named", "has(app)", 20,
            ingress: """
                {"action":"Allow","protocol":"TCP","source":{"nets":["10.0.0.0/8","fd00::/8"],"notNets":["10.9.0.0/16"]},
                 "destination":{"ports":["http",9000,"9100:9200"]}},
                {"action":"Deny","notProtocol":"UDP","source":{"selector":"app == 'db'","notSelector":"has(env)"}}
                """)), ("netset/n", NetSet("10.0.0.0/24 10.0.0.2/32", ("app", "db")))),
        Allowed.With("network set over workloads", ("netset/n", NetSet("10.0.0.0/16 192.168.0.0/24", ("app", "web")))),
        Allowed.With("three policies of one selector", ("policy/g1", Global("g1", "all()", 1, ingress: """{"action":"Allow"}""")),
            ("policy/g2", Global("g2", "all()", 2)), ("policy/g3", Global("g3", "all()", 3, egress: """{"action":"Allow"}"""))),
        Allowed.With("a group that lost a member", ("policy/g1", Global("g1", "all()", 1, ingress: """{"action":"Allow"}""")),
            ("policy/g3", Global("g3", "all()", 3, egress: """{"action":"Allow"}"""))),
        Allowed.With("staged beside enforced", ("policy/staged", Compile("""
            {"kind":"StagedGlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"staged"},
             "spec":{"selector":"all()","order":7,"types":["Ingress"],"ingress":[{"action":"Deny"}]}}
            """))),
        Allowed.With("service endpoints", ("policy/svc", Global("svc", "app == 'web'", 1,
            egress: """{"action":"Allow","destination":{"services":{"name":"db","namespace":"default"}}}""")),
            ("slice/db-1", new ServiceEndpoints("default/db", [IpAddr.Parse("10.0.0.2")], [(IpProtocol.Tcp, 5432)]))),
        Allowed.With("hint without a match", ("policy/hint", Global("hint", "app == 'nobody'", 1, extra: "\"performanceHints\":[\"AssumeNeededOnEveryNode\"],",
            ingress: """{"action":"Allow","source":{"selector":"all()"}}"""))),
        Allowed.With("workload administratively down", ("wep/db", Workload("db", "10.0.0.2", ("app", "db")) is var down
            ? down with { Endpoint = down.Endpoint with { AdminUp = false } } : null)),
        Allowed.With("both families", ("wep/db", Workload("default", "db", ["10.0.0.2", "fd00::2"], [], ("app", "db"))),
            ("wep/web", Workload("default", "web", ["10.0.0.1", "fd00::1"], [], ("app", "web")))),
        Allowed.With("host endpoint with all kinds of policy", ("hep/eth0", HostEndpoint("eth0")), ("hep/any", HostEndpoint("*")),
            ("policy/host", Global("host", "has(host)", 1, ingress: """{"action":"Allow","protocol":"TCP","destination":{"ports":[22]}}""",
                extra: "\"applyOnForward\":true,")),
            ("policy/predn", Global("predn", "has(host)", 1, types: "Ingress", extra: "\"applyOnForward\":true,\"preDNAT\":true,",
                ingress: """{"action":"Deny","source":{"selector":"app == 'db'"}}""")),
            ("policy/untr", Global("untr", "has(host)", 1, extra: "\"applyOnForward\":true,\"doNotTrack\":true,",
                ingress: """{"action":"Allow","protocol":"UDP","destination":{"ports":[53]}}"""))),
        WorldState.Empty,
    ];

    public static TheoryData<string, int> Runs()
    {
        var runs = new TheoryData<string, int>();
        foreach (var variant in WorldExpander.Variants)
        {
            for (var seed = 1; seed <= (variant is "as written" or "reversed" ? 1 : 4); seed++)
                runs.Add(variant, seed);
        }
        return runs;
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void The_picture_depends_on_the_last_state_alone(string variant, int seed) =>
        WorldExpander.Replay(States, variant, seed);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_walks_over_the_states_leave_no_trace(int seed)
    {
        var random = new Random(seed);
        var walk = Enumerable.Range(0, 60).Select(_ => States[random.Next(States.Length)]).ToList();

        WorldExpander.Replay(walk, "split", seed);
    }

    private static PolicyWorld.Workload HostEndpoint(string interfaceName)
    {
        var labels = Labels(("host", "yes"));
        return new PolicyWorld.Workload(
            new() { Id = $"host-{interfaceName}", InterfaceName = interfaceName, IsHost = true, Labels = labels },
            new LabelOwner { Labels = labels, Nets = [Cidr.Parse("192.0.2.1/32")] });
    }
}
