using Calico.Node.Lab.Churn;

namespace Calico.Tests.Lab;

[Layer("unit")]
public sealed class ChurnScheduleTests
{
    private static readonly TimeSpan Round = TimeSpan.FromSeconds(90);

    [Fact]
    public void The_same_seed_gives_the_same_faults_and_another_gives_others()
    {
        Assert.Equal(FaultSchedule.Plan(7, 6, Round), FaultSchedule.Plan(7, 6, Round));
        Assert.NotEqual(FaultSchedule.Plan(7, 6, Round), FaultSchedule.Plan(8, 6, Round));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(6)]
    public void Faults_end_with_the_round_hit_a_target_once_at_a_time_and_leave_half_of_the_nodes_alone(int nodes)
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var faults = FaultSchedule.Plan(seed, nodes, Round);

            Assert.InRange(faults.Count, 5, 100);
            foreach (var fault in faults)
            {
                Assert.True(fault.At + fault.Lasts <= Round && fault.Lasts <= FaultSchedule.Longest, fault.ToString());
                var others = faults.Where(f => f != fault && f.At <= fault.At && f.At + f.Lasts > fault.At).ToList();
                Assert.DoesNotContain(others, f => f.Target == fault.Target);
                Assert.True(others.Append(fault).Count(f => f.Target != "datastore") <= nodes / 2, fault.ToString());
            }
        }
    }

    [Fact]
    public void Every_kind_of_fault_happens() =>
        Assert.Equal(Enum.GetValues<FaultKind>(), Enumerable.Range(0, 20).SelectMany(s => FaultSchedule.Plan(s, 6, Round)).Select(f => f.Kind).Distinct().Order());

    [Fact]
    public void A_second_pod_that_is_told_a_living_one_s_address_is_seen_at_once_and_not_after_the_first_goes()
    {
        var seen = new List<string>();
        var ledger = new PodLedger(seen.Add);
        var (first, second) = (new LivingPod("p1", "c1", "node1", "a", "10.65.0.1", ""), new LivingPod("p2", "c2", "node2", "b", "10.65.0.1", ""));

        ledger.Lives(first);
        ledger.Dies(first);
        ledger.Lives(second);
        Assert.Empty(seen);
        ledger.Lives(first);

        Assert.Equal(["10.65.0.1 was given to p1 (c1 on node1) while p2 (c2 on node2) lives with it"], seen);
    }
}
