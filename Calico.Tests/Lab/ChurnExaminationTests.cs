using Calico.Node.Lab.Churn;

namespace Calico.Tests.Lab;

/// <summary>The churn's judge: silent about what is right, and it names each thing that is not.</summary>
[Layer("unit")]
public sealed class ChurnExaminationTests
{
    private const string BlockKey = "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-30";
    private const string AffinityKey = "/calico/ipam/v2/host/node1/ipv4/block/10.65.0.0-30";
    private const string HandleKey = "/calico/ipam/v2/handle/kns.churn.c1";
    private const string EndpointKey = "/calico/resources/v3/projectcalico.org/workloadendpoints/churn/node1-k8s-p1-eth0";

    private static readonly LivingPod Pod = new("p1", "c1", "node1", "a", "10.65.0.1", "{}");

    private readonly Dictionary<string, string> _store = new(StringComparer.Ordinal)
    {
        [BlockKey] = """
            {"cidr":"10.65.0.0/30","affinity":"host:node1","allocations":[null,0,null,1],"unallocated":[2,0],
             "attributes":[{"handle_id":"kns.churn.c1","secondary":{"node":"node1","pod":"p1"}},{"releasedAt":"2026-01-01T00:00:00Z"}],
             "deleted":false,"sequenceNumber":7}
            """,
        [AffinityKey] = """{"state":"confirmed","deleted":false}""",
        [HandleKey] = """{"handleID":"kns.churn.c1","block":{"10.65.0.0/30":1},"deleted":false}""",
        [EndpointKey] = """{"spec":{"containerID":"c1","node":"node1","ipNetworks":["10.65.0.1/32"],"interfaceName":"cali1"}}""",
    };

    private NodeFacts _node = new("node1", new HashSet<string> { "cali1" }, [("10.65.0.1", "cali1")],
        new HashSet<string> { "filter-cali-tw-cali1", "filter-cali-fw-cali1", "cali-FORWARD" },
        new Dictionary<string, IReadOnlySet<string>> { ["cali40s:x"] = new HashSet<string> { "10.65.0.1" } }, new HashSet<string> { "c1" });

    private IReadOnlyList<string> Examine(params LivingPod[] pods) => Examination.Examine(new Evidence(_store, [_node]), pods);

    [Fact]
    public void What_agrees_is_not_spoken_of()
    {
        Assert.Empty(Examine(Pod));

        var ipam = RawIpam.Read(_store);
        Assert.Equal((1, 2, 1, 4), (ipam.Allocations.Count(a => !a.IsCooling), ipam.Free, ipam.Cooling, ipam.Capacity));
    }

    [Fact]
    public void Everything_of_a_pod_that_does_not_live_is_a_leak_of_its_own()
    {
        Assert.Equal(
        [
            "leak: 10.65.0.1 in 10.65.0.0/30 is allocated to kns.churn.c1 (p1 on node1), which does not live",
            "WorkloadEndpoint churn/node1-k8s-p1-eth0 is of c1, which does not live",
            "node1: interface cali1 is no pod's",
            "node1: the route to 10.65.0.1 by way of cali1 is no pod's",
            "node1: chain filter-cali-tw-cali1 is no pod's",
            "node1: chain filter-cali-fw-cali1 is no pod's",
            "node1: the agent's record has c1, which does not live",
        ], Examine());
    }

    [Fact]
    public void Two_that_live_with_one_address_are_named() =>
        Assert.Contains("10.65.0.1 belongs to c1 and c2", Examine(Pod, Pod with { Name = "p2", Container = "c2" }));

    [Fact]
    public void A_pod_of_which_the_datastore_knows_nothing_is_named_for_each_thing_it_lacks()
    {
        _store.Remove(EndpointKey);
        _store[BlockKey] = _store[BlockKey].Replace("[null,0,null,1]", "[null,null,null,0]", StringComparison.Ordinal)
            .Replace("[2,0]", "[2,0,1]", StringComparison.Ordinal)
            .Replace("""{"handle_id":"kns.churn.c1","secondary":{"node":"node1","pod":"p1"}},""", "", StringComparison.Ordinal);

        var problems = Examine(Pod);

        Assert.Contains("handle kns.churn.c1 counts 1 in 10.65.0.0/30, which has 0 of it", problems);
        Assert.Contains("c1 on node1 lives with 10.65.0.1, and IPAM has nothing for it", problems);
        Assert.Contains("c1 on node1 has 0 WorkloadEndpoints", problems);
    }

    [Fact]
    public void What_a_pod_lacks_on_its_node_is_named()
    {
        _node = _node with { Links = new HashSet<string>(), Routes = [], Chains = new HashSet<string>(), Remembered = new HashSet<string>() };

        Assert.Equal(
        [
            "node1: interface cali1 of c1 is missing",
            "node1: no route leads to 10.65.0.1 by way of cali1 (c1)",
            "node1: chain filter-cali-tw-cali1 of c1 is missing",
            "node1: chain filter-cali-fw-cali1 of c1 is missing",
            "node1: the agent's record has no c1",
        ], Examine(Pod));
    }

    [Fact]
    public void A_set_with_a_member_too_many_or_too_few_is_named()
    {
        _node = _node with { Sets = new Dictionary<string, IReadOnlySet<string>> { ["cali40s:x"] = new HashSet<string> { "10.65.0.2" } } };

        Assert.Equal(["node1: no set has the 1 addresses of role a; cali40s:x lacks 10.65.0.1 and has in addition 10.65.0.2"], Examine(Pod));
    }

    [Theory]
    [InlineData("\"unallocated\":[2,0]", "\"unallocated\":[2]", "block 10.65.0.0/30: place 0 is neither allocated nor free")]
    [InlineData("\"unallocated\":[2,0]", "\"unallocated\":[2,0,0]", "block 10.65.0.0/30: place 0 is free 2 times, and its allocation is ")]
    [InlineData("\"unallocated\":[2,0]", "\"unallocated\":[2,0,1]", "block 10.65.0.0/30: place 1 is free 1 times, and its allocation is 0")]
    [InlineData("[null,0,null,1]", "[null,0,null,5]", "block 10.65.0.0/30: place 3 has attribute 5 of 2")]
    [InlineData("[{\"handle_id\"", "[{},{\"handle_id\"", "block 10.65.0.0/30: attribute 2 is nobody's")]
    public void A_block_that_contradicts_itself_is_found(string right, string wrong, string problem)
    {
        _store[BlockKey] = _store[BlockKey].Replace(right, wrong, StringComparison.Ordinal);

        Assert.Contains(problem, Examine(Pod));
    }

    [Fact]
    public void Blocks_and_affinities_must_name_each_other()
    {
        _store[AffinityKey.Replace("node1", "node2", StringComparison.Ordinal)] = """{"state":"pending"}""";
        _store.Remove(AffinityKey);

        Assert.Equal(["the affinity of 10.65.0.0/30 to node2 is pending", "node2 has an affinity to 10.65.0.0/30, whose holder is host:node1"], Examine(Pod));
    }

    [Fact]
    public void Blocks_that_overlap_are_found()
    {
        _store[BlockKey.Replace("-30", "-31", StringComparison.Ordinal)] =
            """{"cidr":"10.65.0.0/31","affinity":null,"allocations":[null,null],"unallocated":[0,1],"attributes":[],"deleted":false}""";

        Assert.Equal(["blocks 10.65.0.0/30 and 10.65.0.0/31 overlap"], Examine(Pod));
    }

    [Fact]
    public void Chains_and_members_are_read_from_what_nft_prints()
    {
        var (chains, sets) = EvidenceReader.Ruleset("""
            {"nftables":[{"metainfo":{"version":"1.0.6"}},{"table":{"family":"ip","name":"calico"}},
             {"set":{"family":"ip","name":"cali40s:x","elem":["10.65.0.1",{"prefix":{"addr":"10.0.0.0","len":8}}]}},
             {"set":{"family":"ip","name":"empty"}},{"set":{"family":"ip6","name":"other"}},
             {"chain":{"family":"ip","name":"filter-cali-tw-cali1"}},{"chain":{"family":"ip6","name":"other"}}]}
            """);

        Assert.Equal(["filter-cali-tw-cali1"], chains);
        Assert.Equal(["10.65.0.1", """{"prefix":{"addr":"10.0.0.0","len":8}}"""], sets["cali40s:x"]);
        Assert.Empty(sets["empty"]);
        Assert.Equal(2, sets.Count);
    }
}
