using System.Collections.Immutable;

namespace Calico.Tests.Core.Policy;

/// <summary>A named state of the whole world: every item under its key.</summary>
internal sealed record WorldState(string Name, ImmutableSortedDictionary<string, object> Items)
{
    public static WorldState Empty { get; } = new("empty", ImmutableSortedDictionary.Create<string, object>(StringComparer.Ordinal));

    public WorldState With(string name, params (string Key, object? Item)[] changes) => new(name,
        changes.Aggregate(Items, (items, c) => c.Item is null ? items.Remove(c.Key) : items.SetItem(c.Key, c.Item)));
}

/// <summary>
/// Moves a world through a list of states in one of several ways and demands that the picture after every settled state
/// is that of a world which has seen nothing else.
/// </summary>
internal static class WorldExpander
{
    public static readonly string[] Variants =
        ["as written", "reversed", "permuted", "split", "squashed", "duplicated", "with empties", "subscribing"];

    private static readonly Dictionary<WorldState, string> Pictures = new(ReferenceEqualityComparer.Instance);

    public static void Replay(IReadOnlyList<WorldState> states, string variant, int seed)
    {
        var random = new Random(seed);
        var order = variant switch
        {
            "reversed" => states.Reverse(),
            "permuted" => states.OrderBy(_ => random.Next()),
            "with empties" => states.SelectMany(s => new[] { s, WorldState.Empty }),
            _ => states,
        };
        var world = new PolicyWorld(subscribe: variant == "subscribing");
        var current = WorldState.Empty;
        foreach (var next in order)
        {
            foreach (var step in Steps(current, next).OrderBy(_ => variant == "as written" ? 0 : random.Next()))
            {
                step(world);
                if (variant == "duplicated")
                    step(world);
                if (variant == "split")
                    world.Settle();
            }
            current = next;
            if (variant == "squashed")
                continue;
            world.Settle();
            if (variant == "duplicated")
                world.Settle();
            AssertPicture(next, world, $"{variant} {seed}");
        }
        world.Settle();
        AssertPicture(current, world, $"{variant} {seed}");
    }

    private static IEnumerable<Action<PolicyWorld>> Steps(WorldState from, WorldState to)
    {
        foreach (var (key, item) in from.Items.Where(i => !to.Items.TryGetValue(i.Key, out var kept) || kept.GetType() != i.Value.GetType()))
            yield return world => world.Remove(key, item);
        foreach (var (key, item) in to.Items.Where(i => !from.Items.TryGetValue(i.Key, out var was) || !ReferenceEquals(was, i.Value)))
            yield return world => world.Put(key, item);
    }

    private static void AssertPicture(WorldState state, PolicyWorld world, string how)
    {
        string expected;
        lock (Pictures)
        {
            if (!Pictures.TryGetValue(state, out expected!))
            {
                var fresh = new PolicyWorld();
                foreach (var step in Steps(WorldState.Empty, state))
                    step(fresh);
                fresh.Settle();
                Pictures[state] = expected = fresh.Picture();
            }
        }
        if (expected != world.Picture())
            Assert.Fail($"{how}: state '{state.Name}' differs from scratch\n{Difference(expected, world.Picture())}");
    }

    private static string Difference(string expected, string actual)
    {
        var (left, right) = (expected.Split('\n'), actual.Split('\n'));
        return string.Join('\n', left.Except(right).Select(l => "- " + l).Concat(right.Except(left).Select(r => "+ " + r)).Take(20));
    }
}
