using Akka.Event;
using Calico.Actors.Ipam;
using Calico.Core.Ipam;

namespace Calico.Tests.Actors.Ipam;

/// <summary>Blocks that go back.</summary>
internal sealed partial class LeaseModel
{
    /// <summary>The node looks for a block that it can do without, and goes on with those that are on their way out.</summary>
    public void Shrink(Node node, int which)
    {
        if (!node.KnowsItsBlocks || node.Ledger.IsUncertain || !node.InUse.IsComplete)
            return;
        // The feed tells of blocks whose grant got lost.
        if (Keys(IpamKeys.AffinitiesOf(node.Name)).Any(k => IpamKeys.TryParseAffinity(k, out _, out var block) && !node.Ledger.Held.Holds(block)
            && !node.Departures.Undecided.Contains(block) && node.Departures.Leaving.All(l => l.Key != block)))
        {
            LoadAgain(node);
            return;
        }
        var empty = node.Ledger.Held.Own.Where(h => h.Block.IsEmpty && !node.Lending.HasLoansIn(h.Block.Cidr, _now)).Select(h => h.Block.Cidr).Order().ToList();
        if (empty.Count > 0 && node.Ledger.Withdraw(empty[which % empty.Count]) is { } withdrawn)
            node.Departures.Withdraw(withdrawn);
        foreach (var block in node.Departures.Send())
        {
            Tell($"{node.Name} wants to leave {block.Block.Cidr}@{block.Epoch}/{block.BlockRevision}");
            node.Leaves.Add(block);
        }
        node.Orders.AddRange(node.Departures.Leaving.Select(l => new BlockProtocol.ReleaseBlock(l.Key, node.Name, l.Value)));
    }

    /// <param name="node">Whose step arrives.</param>
    /// <param name="isHeard">Whether the node learns what came of it; it may come to pass later then.</param>
    public void Leave(Node node, bool isHeard, bool isLate)
    {
        if (node.Leaves.Count == 0)
            return;
        var block = node.Leaves[0];
        node.Leaves.RemoveAt(0);
        var transaction = BlockTransactions.Leave(node.Name, block);
        if (isLate)
        {
            Tell($"{node.Name} gives up leaving {block.Block.Cidr}");
            node.Late.Add(transaction);
            node.Departures.NotKnown(block);
            return;
        }
        var result = _store.CommitAsync(transaction).GetAwaiter().GetResult();
        Tell($"{node.Name} leaves {block.Block.Cidr}: {(result.Succeeded ? $"at {result.Revision}" : "fails")}{(isHeard ? "" : ", unheard")}");
        if (!isHeard)
            node.Departures.NotKnown(block);
        else if (result.Succeeded)
            node.Departures.Left(block.Block.Cidr, result.Revision);
        else
            NotLeft(node, block);
    }

    private void NotLeft(Node node, HeldBlock block)
    {
        node.Departures.NotLeft(block);
        LoadAgain(node);
    }

    /// <summary>The owner of a block does what it was asked, perhaps once more.</summary>
    public void Obey(Node node, int which)
    {
        if (node.Orders.Count == 0)
            return;
        var order = node.Orders[which % node.Orders.Count];
        if (which % 3 != 0)
            node.Orders.Remove(order);
        var answer = new BlockDecisions(_store, TimeProvider.System, NoLogger.Instance).ReleaseAsync(order, default).GetAwaiter().GetResult();
        Tell($"{order}: {answer ?? "nothing"}");
        if (answer is not null)
            node.Answers.Add(answer);
    }

    /// <summary>An answer reaches the node, or is lost.</summary>
    public void Hear(Node node, int which)
    {
        if (node.Answers.Count == 0)
            return;
        var answer = node.Answers[which % node.Answers.Count];
        node.Answers.Remove(answer);
        if (which % 5 == 0)
            return;
        Tell($"{node.Name} hears {answer}");
        if (answer is BlockProtocol.HolderRetired retired && node.Departures.Gone(retired.Block))
            LoadAgain(node);
        else if (answer is BlockProtocol.BlockGranted granted && !node.Ledger.Held.Holds(granted.Block)
            && LeaseStore.FetchAsync(_store, granted, default).GetAwaiter().GetResult() is { } held)
            node.Mail.Add(() => Hold(node, held));
    }

    private bool Hold(Node node, HeldBlock block)
    {
        if (node.Reading is not null)
            node.ReadsAgain = true;
        else if (node.Ledger.IsLoaded && node.Departures.Admits(block) && node.Ledger.TryAdd(block))
            Tell($"{node.Name} holds {block.Block.Cidr}@{block.Epoch}/{block.BlockRevision}");
        return true;
    }
}
