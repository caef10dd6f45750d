using Calico.Actors.Cluster;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>Addresses that a pod has in a block of another node, when nobody of its own node is left to give them back.</summary>
internal static class BorrowedAddresses
{
    private const int Attempts = 5;

    /// <summary>
    /// Frees what the node has in the block for this endpoint, unless the endpoint has been written since: the node is back
    /// then. Doing it twice is the same as once.
    /// </summary>
    /// <exception cref="DatastoreException">It is not known whether they are free, or others kept writing the block.</exception>
    public static async Task<int> FreeAsync(IDatastore datastore, string node, NodeProtocol.Borrowing borrowing, CancellationToken cancellation)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var endpoint = await datastore.GetAsync(borrowing.Endpoint, cancellation);
            var block = await datastore.GetAsync(IpamKeys.Block(borrowing.Block), cancellation);
            if (endpoint is null || endpoint.ModRevision != borrowing.Revision || block is null)
                return 0;
            // In its own blocks its lease alone decides.
            var contents = IpamJson.ParseBlock(block.Value);
            if (contents.AffineHost == node)
                return 0;
            var addresses = EndpointAddresses.Of(endpoint.Value).ToHashSet();
            bool IsBorrowed(IpAddr address, AllocationAttributes owner) => addresses.Contains(address) && owner["node"] == node;
            var owners = contents.Assigned().Where(a => IsBorrowed(a.Address, a.Owner)).ToList();
            var handles = await LeaseStore.ReadHandlesAsync(datastore, owners.Select(o => o.Owner.HandleId), cancellation);
            if (BlockTransactions.FreeBorrowed(Compare.At(endpoint.Key, endpoint.ModRevision), block, IsBorrowed, handles) is not { } transaction)
                return 0;
            if ((await datastore.CommitAsync(transaction, cancellation)).Succeeded)
                return owners.Count;
        }
        throw new DatastoreException(DatastoreFault.Unavailable, $"block {borrowing.Block} was written by others {Attempts} times while {node}'s addresses in it were being freed");
    }
}
