using Calico.Node.Lab;

namespace Calico.Tests.Lab;

[Layer("unit")]
public sealed class ConsistencyTests
{
    private static readonly LabPod Pod = new("web", "a", "node1", "lab-web-a-01020304", "10.48.0.1");

    private static readonly (string, string)[] Nodes = [("/calico/resources/v3/projectcalico.org/nodes/node1", "{}")];

    private static readonly (string, string)[] Endpoints =
        [("/calico/resources/v3/projectcalico.org/workloadendpoints/web/x", """{"spec":{"containerID":"lab-web-a-01020304","ipNetworks":["10.48.0.1/32"]}}""")];

    private static readonly (string, string)[] Blocks =
    [("/calico/ipam/v2/assignment/ipv4/block/10.48.0.0-30", """
        {"cidr":"10.48.0.0/30","affinity":"host:node1","strictAffinity":false,"allocations":[null,0,null,null],"unallocated":[0,2,3],
         "attributes":[{"handle_id":"kns.web.lab-web-a-01020304","secondary":{"node":"node1"}}],"deleted":false,"sequenceNumber":1,"sequenceNumberForAllocation":{"1":0}}
        """)];

    [Fact]
    public void A_lab_whose_datastore_is_right_has_no_problem() =>
        Assert.Empty(Consistency.Find(["node1"], [Pod], Nodes, Endpoints, Blocks));

    [Fact]
    public void What_is_missing_is_named()
    {
        Assert.Equal(["node2: the datastore has no Node resource"], Consistency.Find(["node1", "node2"], [Pod], Nodes, Endpoints, Blocks));
        Assert.Equal(["web/a: no WorkloadEndpoint has its address 10.48.0.1"], Consistency.Find(["node1"], [Pod], Nodes, [], Blocks));
        Assert.Equal(["web/a: its address 10.48.0.1 is not assigned to it"], Consistency.Find(["node1"], [Pod], Nodes, Endpoints, []));
    }

    [Fact]
    public void An_address_that_another_has_as_well_is_named_with_both()
    {
        var other = Pod with { Name = "b", ContainerId = "lab-web-b-05060708" };

        var problems = Consistency.Find(["node1"], [Pod, other], Nodes, Endpoints, Blocks);

        Assert.Contains("10.48.0.1 belongs to web/a and web/b", problems);
        Assert.Contains("web/b: its address 10.48.0.1 is not assigned to it", problems);
    }

    [Fact]
    public void An_address_without_a_pod_is_named_unless_the_pod_is_being_made()
    {
        Assert.Equal(["10.48.0.1 is assigned to kns.web.lab-web-a-01020304, which is no pod that is there"],
            Consistency.Find(["node1"], [], Nodes, [], Blocks));
        Assert.Empty(Consistency.Find(["node1"], [Pod with { Address = "" }], Nodes, [], Blocks));
    }

    [Fact]
    public void A_session_that_is_not_up_is_found_in_what_calicoctl_prints() => Assert.Equal(["192.0.2.1"], Status.SessionsDown("""
        Calico process is running.

        IPv4 BGP status
        +--------------+-------------------+-------+----------+-------------+
        | PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |    INFO     |
        +--------------+-------------------+-------+----------+-------------+
        | 192.0.2.1    | global            | start | 10:00:00 | Active      |
        | 192.0.2.12   | node-to-node mesh | up    | 10:00:00 | Established |
        +--------------+-------------------+-------+----------+-------------+
        """));
}
