using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>An address to take back; with a handle or a sequence number only if it is still that allocation.</summary>
public sealed record ReleaseRequest(IpAddr Address, string? HandleId = null, ulong? SequenceNumber = null);

/// <summary>What taking back addresses of one block comes to.</summary>
public abstract record ReleaseOutcome
{
    /// <summary>To be stored by compare-and-swap.</summary>
    /// <param name="Contents">The block afterwards, its sequence number advanced if anything was released.</param>
    /// <param name="Released">What is taken back now.</param>
    /// <param name="Unallocated">What nobody had.</param>
    /// <param name="HandleCounts">How many addresses each handle loses.</param>
    /// <param name="IsComplete">False when more were asked for than go at once: plan again for the rest.</param>
    public sealed record Planned(IpamBlock Contents, ImmutableArray<IpAddr> Released, ImmutableArray<IpAddr> Unallocated,
        ImmutableSortedDictionary<string, int> HandleCounts, bool IsComplete) : ReleaseOutcome
    {
        /// <summary>Nobody owns it and nobody is in it.</summary>
        public bool IsUseless => Contents.IsEmpty && Contents.Affinity is null;
    }

    /// <summary>The caller knows an older allocation: nothing of the block is released.</summary>
    public sealed record Conflict(IpAddr Address, string Reason) : ReleaseOutcome;
}

/// <summary>Takes addresses of one block back, on a copy.</summary>
public static class BlockRelease
{
    /// <param name="block">As it is stored; not changed.</param>
    /// <param name="requests">All of them must be right, or none is carried out.</param>
    /// <param name="cooldown">How long released addresses rest; zero frees them at once.</param>
    /// <param name="now">The time of the release.</param>
    /// <param name="most">How many addresses go at once.</param>
    public static ReleaseOutcome Plan(IpamBlock block, IEnumerable<ReleaseRequest> requests, TimeSpan cooldown, DateTimeOffset now, int most)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(most);
        var contents = block.Clone();
        contents.CollectCooled(cooldown, now);
        var wanted = new List<(IpAddr Address, string? Handle)>();
        var unallocated = ImmutableArray.CreateBuilder<IpAddr>();
        foreach (var request in requests.GroupBy(r => r.Address).Select(g => g.Last()).OrderBy(r => r.Address))
        {
            if (!block.Cidr.Contains(request.Address))
                return new ReleaseOutcome.Conflict(request.Address, $"it is not in {block.Cidr}");
            if (request.SequenceNumber is { } sequence && contents.SequenceNumberOf(request.Address) is var stored && stored != sequence)
                return new ReleaseOutcome.Conflict(request.Address, $"the given sequence number ({sequence}) does not match ({stored}) when attempting to release IP");
            if (contents.OwnerOf(request.Address) is not { ReleasedAt: null } owner)
            {
                unallocated.Add(request.Address);
                continue;
            }
            var handle = owner.HandleId is { } id ? IpamKeys.HandleId(id) : null;
            if (!string.IsNullOrEmpty(request.HandleId) && IpamKeys.HandleId(request.HandleId) != handle)
                return new ReleaseOutcome.Conflict(request.Address, $"the given handle ({request.HandleId}) does not match ({handle}) when attempting to release IP");
            wanted.Add((request.Address, handle));
        }
        var taken = wanted.Take(most).ToList();
        if (taken.Count > 0)
        {
            contents.SequenceNumber++;
            Free(contents, [.. taken.Select(w => w.Address)], cooldown, now);
        }
        return new ReleaseOutcome.Planned(contents, [.. taken.Select(w => w.Address)], unallocated.ToImmutable(),
            taken.Where(w => !string.IsNullOrEmpty(w.Handle)).GroupBy(w => w.Handle!).ToImmutableSortedDictionary(g => g.Key, g => g.Count(), StringComparer.Ordinal),
            taken.Count == wanted.Count);
    }

    /// <summary>
    /// The handle after it lost addresses of a block; null when it has none left and goes away. One that cannot be read
    /// counts nothing: the blocks are the truth.
    /// </summary>
    public static byte[]? HandleAfter(ReadOnlyMemory<byte> stored, Cidr block, int released)
    {
        SortedDictionary<string, int> counts;
        try
        {
            counts = IpamJson.ParseHandle(stored);
        }
        catch (FormatException)
        {
            return null;
        }
        var left = counts.GetValueOrDefault(block.ToString()) - released;
        if (left > 0)
            counts[block.ToString()] = left;
        else
            counts.Remove(block.ToString());
        return counts.Count == 0 ? null : IpamJson.WriteHandle(counts);
    }

    private static void Free(IpamBlock contents, HashSet<IpAddr> addresses, TimeSpan cooldown, DateTimeOffset now)
    {
        if (cooldown > TimeSpan.Zero)
            contents.Cool(addresses, now);
        else
            contents.ReleaseWhere((address, _) => addresses.Contains(address));
    }
}
