using System.Collections.Immutable;
using Akka.Actor;

namespace Calico.Actors.Cluster.Owners;

/// <summary>
/// Which member has which owner: the one for which a hash of both names is highest (rendezvous, or highest random weight,
/// hashing). Members that know of the same members agree without a word; one that goes leaves the owners of the others where
/// they are, and one that comes takes its share of everybody.
/// </summary>
internal sealed class OwnerTable
{
    public static readonly OwnerTable Empty = new([]);

    private readonly ImmutableArray<(ulong Hash, Address Member)> _members;

    private OwnerTable(ImmutableArray<(ulong, Address)> members) => _members = members;

    /// <summary>The same table whatever the order they are named in.</summary>
    public static OwnerTable Of(IEnumerable<Address> members) =>
        new([.. members.Distinct().Select(m => (Hash(m.ToString()), m)).OrderBy(m => m.m, Address.Comparer)]);

    public IEnumerable<Address> Members => _members.Select(m => m.Member);

    /// <summary>Null as long as nobody is a member.</summary>
    public Address? MemberOf(string owner)
    {
        var key = Hash(owner);
        Address? best = null;
        ulong highest = 0;
        foreach (var (hash, member) in _members)
        {
            var weight = Mix(key ^ hash);
            if (best is not null && weight <= highest)
                continue;
            best = member;
            highest = weight;
        }
        return best;
    }

    // FNV-1a: the same in every process, as string.GetHashCode is not.
    private static ulong Hash(string text)
    {
        var hash = 14695981039346656037UL;
        foreach (var c in text)
            hash = (hash ^ c) * 1099511628211UL;
        return Mix(hash);
    }

    // The finalizer of SplitMix64: each bit of the input changes half of the output.
    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }
}
