using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// The addresses that this node keeps free because it has lent them to others who have not written them yet. A loan that
/// has ended may still be written: so while nothing can be made durable its address is given to nobody, until a
/// block that was written since makes the borrower's compare fail. What an earlier incarnation has lent is void: loans are
/// under an epoch, and every start begins with new ones. Not thread-safe.
/// </summary>
internal sealed class Lending
{
    private sealed record Loan(string To, string Handle, TimeSpan Until);

    /// <summary>How long an address is kept free.</summary>
    public static readonly TimeSpan Term = TimeSpan.FromSeconds(30);

    /// <summary>More than this is kept free for nobody.</summary>
    private const int MaxLoans = 256;

    private readonly Dictionary<IpAddr, Loan> _loans = [];

    /// <summary>Whether a transaction may not take the address.</summary>
    public bool IsLent(IpAddr address, TimeSpan now) => _loans.TryGetValue(address, out var loan) && loan.Until > now;

    /// <summary>Whether a promise may not take the address.</summary>
    public bool MayBeWritten(IpAddr address) => _loans.ContainsKey(address);

    /// <summary>Whether an address of the block is kept for somebody.</summary>
    public bool HasLoansIn(Cidr block, TimeSpan now) => _loans.Any(l => block.Contains(l.Key) && l.Value.Until > now);

    /// <summary>The address that the handle has been lent already, of those that fit.</summary>
    public IpAddr? LentTo(string handle, Func<IpAddr, bool> fits) =>
        _loans.Where(l => l.Value.Handle == handle && fits(l.Key)).Select(l => (IpAddr?)l.Key).FirstOrDefault();

    /// <summary>False if too many are lent.</summary>
    public bool TryLend(IpAddr address, string to, string handle, TimeSpan now)
    {
        if (_loans.Count >= MaxLoans && !_loans.ContainsKey(address))
            return false;
        _loans[address] = new Loan(to, handle, now + Term);
        return true;
    }

    /// <summary>The blocks as they are now, written by this node if <paramref name="isOwnWrite"/>: loans that were used, or can be no more, end.</summary>
    public void Learn(IEnumerable<Core.Ipam.IpamBlock> blocks, bool isOwnWrite, TimeSpan now)
    {
        if (_loans.Count == 0)
            return;
        foreach (var block in blocks)
        {
            foreach (var (address, loan) in _loans.Where(l => block.Cidr.Contains(l.Key)).ToList())
            {
                if (block.OwnerOf(address) is not null || (isOwnWrite && loan.Until <= now))
                    _loans.Remove(address);
            }
        }
    }
}
