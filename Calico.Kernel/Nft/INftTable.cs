using Calico.Core.Nft;

namespace Calico.Kernel.Nft;

/// <summary>
/// One nftables table of one network namespace. Not thread-safe: one writer owns the table, and what others change in
/// it comes to light as ENOENT or EEXIST of the next transaction, after which the owner looks again.
/// </summary>
public interface INftTable : IDisposable
{
    NftTable Table { get; }

    /// <summary>
    /// Reads the whole table. The parts are of one generation of the kernel's rule set, unless it changed during every
    /// attempt; rules and members are always those of one generation each.
    /// </summary>
    /// <exception cref="KernelException">The kernel refused, or kept interrupting.</exception>
    NftDump Dump();

    /// <summary>Applies all operations or none. An empty transaction does not reach the kernel.</summary>
    /// <exception cref="KernelException">
    /// The operation that the kernel refused, or ENOBUFS when its answer was lost: the table must be read again.
    /// </exception>
    NftCommitted Commit(NftTransaction transaction);

    /// <summary>
    /// Objects in committed transactions (each rule, chain, set and member) since this table was opened.
    /// </summary>
    long WriteCount { get; }

    /// <summary>The generation of the namespace's rule set: it counts every committed batch of everybody.</summary>
    uint Generation();
}
