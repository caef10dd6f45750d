using System.Collections.Immutable;
using System.Globalization;
using System.Numerics;
using Calico.Core.Net;

namespace Calico.Core.Ipam;

/// <summary>Addresses of a range by what is recorded of each.</summary>
/// <param name="Capacity">How many there are.</param>
/// <param name="Allocated">They have an owner.</param>
/// <param name="Cooling">They were released and rest.</param>
/// <param name="Free">The others, whether a block has them yet or not.</param>
public readonly record struct AddressSums(BigInteger Capacity, BigInteger Allocated, BigInteger Cooling, BigInteger Free)
{
    /// <summary>The invariant: no address is lost and none is counted twice.</summary>
    public bool AddUp => Allocated + Cooling + Free == Capacity;

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Allocated} allocated + {Cooling} cooling + {Free} free = {Allocated + Cooling + Free} {(AddUp ? "of" : "instead of")} {Capacity}");

    public static AddressSums operator +(AddressSums a, AddressSums b) =>
        new(a.Capacity + b.Capacity, a.Allocated + b.Allocated, a.Cooling + b.Cooling, a.Free + b.Free);
}

/// <summary>A pool's account; the blocks that no pool covers have one without a name and a CIDR.</summary>
/// <param name="Reserved">Addresses that IPReservations keep, whatever else they are.</param>
public sealed record PoolAccount(string? Name, Cidr? Cidr, bool IsDisabled, AddressSums Sums, BigInteger Reserved, int Blocks);

/// <summary>A block's account.</summary>
/// <param name="Pool">The pool that covers it, or null.</param>
/// <param name="Owner"><c>host:NODE</c>, <c>virtual:NAME</c>, or null.</param>
/// <param name="Fault">What is wrong with it, or null.</param>
public sealed record BlockAccount(Cidr Cidr, string? Pool, string? Owner, AddressSums Sums, string? Fault);

/// <summary>Why an address is not free.</summary>
public enum AddressState
{
    /// <summary>It has an owner who uses it.</summary>
    Allocated,

    /// <summary>It was released and rests.</summary>
    Cooling,

    /// <summary>It has an owner, but nobody uses it.</summary>
    Leaked,

    /// <summary>Several use it, or several blocks assign it.</summary>
    Duplicate,

    /// <summary>Somebody uses it, and its block or pool knows nothing of it.</summary>
    Unallocated,

    /// <summary>Somebody uses it, and no active pool covers it.</summary>
    OutsidePools,
}

/// <summary>An address that is not free, whose it is, and why.</summary>
public sealed record AccountedAddress(IpAddr Address, AddressState State, string Reason)
{
    public string? Pool { get; init; }
    public Cidr? Block { get; init; }
    public string? BlockOwner { get; init; }
    public string? Handle { get; init; }
    public string? Type { get; init; }

    /// <summary><c>NAMESPACE/POD</c>.</summary>
    public string? Pod { get; init; }

    public string? Node { get; init; }
    public bool IsBorrowed { get; init; }

    /// <summary>When one that cools down has rested long enough.</summary>
    public DateTimeOffset? CoolsUntil { get; init; }

    public bool IsProblem => State is not (AddressState.Allocated or AddressState.Cooling);
}

/// <summary>Addresses of a pool that an IPReservation keeps from being handed out by themselves.</summary>
/// <param name="Free">How many of them nobody has.</param>
public sealed record ReservedRange(Cidr Cidr, string Reservation, string Pool, BigInteger Free);

/// <summary>What an audit comes to, everything in order.</summary>
public sealed record IpamAuditReport
{
    public required ImmutableArray<PoolAccount> Pools { get; init; }
    public required ImmutableArray<BlockAccount> Blocks { get; init; }

    /// <summary>Every address that is not free.</summary>
    public required ImmutableArray<AccountedAddress> Addresses { get; init; }

    public required ImmutableArray<ReservedRange> Reserved { get; init; }
    public required AddressSums Total { get; init; }

    /// <summary>Where the accounts do not add up, or cannot: a sentence each.</summary>
    public required ImmutableArray<string> Violations { get; init; }

    public required IpamFindings Findings { get; init; }

    public int Leaked => Findings.Leaked.Length;
    public int Duplicates => Findings.Duplicates;

    public bool IsClean => Findings.Problems == 0 && Violations.IsEmpty && Total.AddUp;

    /// <summary>The result in one sentence.</summary>
    public string Summary
    {
        get
        {
            var other = Findings.Problems - Leaked - Duplicates;
            var verdict = IsClean ? "Clean" : "NOT clean";
            var size = string.Create(CultureInfo.InvariantCulture, $"{Pools.Count(p => p.Cidr is not null)} pools, {Blocks.Length} blocks");
            return string.Create(CultureInfo.InvariantCulture,
                $"{verdict}: {size}: {Total}; {Leaked} leaked, {Duplicates} duplicates, {Violations.Length} violations, {other} other problems.");
        }
    }
}
