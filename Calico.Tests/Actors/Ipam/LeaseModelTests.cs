using CsCheck;

namespace Calico.Tests.Actors.Ipam;

/// <summary>
/// Leases of several nodes over one datastore, without actors and without time: a random interleaving of calls, transactions
/// that arrive, fail or are carried out without anybody hearing of it, takeovers and returns, against a naive model.
/// </summary>
[Layer("unit")]
public class LeaseModelTests
{
    // Eight blocks of four for three nodes: there is always a shortage.
    private static readonly Gen<(int Kind, int Node, int Which)> Step = Gen.Select(
        Gen.Frequency((8, Gen.Const(0)), (4, Gen.Const(1)), (10, Gen.Const(2)), (9, Gen.Const(3)), (1, Gen.Const(4)), (2, Gen.Const(5)),
            (7, Gen.Const(6)), (1, Gen.Const(7)), (3, Gen.Const(8)), (2, Gen.Const(9)), (9, Gen.Const(10)), (1, Gen.Const(11)), (1, Gen.Const(12)), (1, Gen.Const(13)),
            (2, Gen.Const(14)), (3, Gen.Const(15)), (3, Gen.Const(16)), (2, Gen.Const(17)), (7, Gen.Const(18)), (1, Gen.Const(19)), (10, Gen.Const(20)), (12, Gen.Const(21))),
        Gen.Int[0, 2], Gen.Int[0, 1000]);

    [Fact]
    public void Whatever_is_lost_repeated_or_taken_over_an_address_is_one_pods_and_none_leaks() =>
        Step.Array[1, 250].Sample(steps => Run(steps, TimeSpan.Zero), iter: 400);

    [Fact]
    public void The_same_holds_while_released_addresses_rest() =>
        Step.Array[1, 250].Sample(steps => Run(steps, TimeSpan.FromSeconds(30)), iter: 200);

    // A model in which something never happens proves nothing about it.
    [Fact]
    public void Everything_that_can_go_wrong_does()
    {
        var story = new System.Collections.Concurrent.ConcurrentBag<string>();
        Step.Array[200, 250].Sample(steps => story.Add(string.Join('\n', Run(steps, TimeSpan.FromSeconds(30)).Story)), iter: 500);
        var all = string.Join('\n', story);
        foreach (var said in (string[])["arrives, unheard", "gives its transaction up", "gave up succeeds", "gave up fails", " borrows ", "as if it were gone", "is killed", "the lease of", "back\n",
            "which is not there: 1", "fences of", ": at ", "unheard\n", "gives up leaving", "HolderRetired", "hears HolderRetired", "hears BlockGranted", " decides\n", " decides alone"])
            Assert.Contains(said, all, StringComparison.Ordinal);
    }

    private static LeaseModel Run((int Kind, int Node, int Which)[] steps, TimeSpan cooldown)
    {
        var world = new LeaseModel(3, cooldown);
        try
        {
            Run(world, steps);
            return world;
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"{e.Message}\n{string.Join('\n', world.Story)}", e);
        }
    }

    private static void Run(LeaseModel world, (int Kind, int Node, int Which)[] steps)
    {
        foreach (var (kind, index, which) in steps)
        {
            var node = world.Nodes[index];
            switch (kind)
            {
                case 0: world.Add(node); break;
                case 1: world.Remove(node, which); break;
                case 2: world.Prepare(node); break;
                case 3: world.CarryOut(node, isHeard: true); break;
                case 4: world.CarryOut(node, isHeard: false); break;
                case 5: world.GiveUp(node); break;
                case 6: world.Claim(node, which); break;
                case 7: world.TakeOver(node, which); break;
                case 8: world.Decide(node, isAway: false); break;
                case 9: world.ArriveLate(node, which); break;
                case 10: world.Borrow(node, world.Nodes[which % world.Nodes.Length]); break;
                case 12: world.Restart(node); break;
                case 13: world.Fail(node); break;
                case 14: world.Reconcile(node); break;
                case 15: world.Shrink(node, which); break;
                case 16: world.Leave(node, isHeard: which % 3 != 0, isLate: which % 3 == 1); break;
                case 17: world.Obey(node, which); break;
                case 18: world.Hear(node, which); break;
                case 19: world.Decide(node, isAway: true); break;
                case 20: world.Read(node); break;
                case 21: world.Receive(node, which); break;
                default: world.Wait(TimeSpan.FromSeconds(11)); break;
            }
            world.Check();
        }
        world.Drain();
        world.CheckEverythingIsAccountedFor();
    }
}
