using Calico.Actors.Cluster;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>Addresses of a pod that is gone, when no lease of its own node knows of it any more.</summary>
internal static class BorrowedAddresses
{
    private const int Attempts = 5;

    /// <summary>
    /// Frees what the node has in the block for this endpoint, unless the endpoint has been written since: the node is back
    /// then. Doing it twice is the same as once.
    /// </summary>
    /// <param name="alsoOwn">Also if the block is the node's by now: only for a node that knows itself that the container is not there.</param>
    /// <exception cref="DatastoreException">It is not known whether they are free, or others kept writing the block.</exception>
    public static async Task<int> FreeAsync(IDatastore datastore, string node, NodeProtocol.Borrowing borrowing, bool alsoOwn, CancellationToken cancellation)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var endpoint = await datastore.GetAsync(borrowing.Endpoint, cancellation);
            var block = await datastore.GetAsync(IpamKeys.Block(borrowing.Block), cancellation);
            if (endpoint is null || endpoint.ModRevision != borrowing.Revision || block is null)
                return 0;
            if (TryParse(block) is not { } contents)
                return 0;
            // Who claimed a block since is not gone.
            if ((contents.AffineHost == node && !alsoOwn) || EndpointAddresses.SpecOf(endpoint.Value) is not { } spec)
                return 0;
            var addresses = EndpointAddresses.Of(spec.IpNetworks).ToHashSet();
            bool IsBorrowed(IpAddr address, AllocationAttributes owner) => addresses.Contains(address) && owner["node"] == node && IsOf(spec, owner.HandleId);
            var owners = contents.Assigned().Where(a => IsBorrowed(a.Address, a.Owner)).ToList();
            var handles = await LeaseStore.ReadHandlesAsync(datastore, owners.Select(o => o.Owner.HandleId), cancellation);
            if (BlockTransactions.FreeBorrowed(Compare.At(endpoint.Key, endpoint.ModRevision), block, IsBorrowed, handles) is not { } transaction)
                return 0;
            if ((await datastore.CommitAsync(transaction, cancellation)).Succeeded)
                return owners.Count;
        }
        throw new DatastoreException(DatastoreFault.Unavailable, $"block {borrowing.Block} was written by others {Attempts} times while {node}'s addresses in it were being freed");
    }

    // The address may be another pod's by now. Handles of pods are the network's name and the container.
    private static bool IsOf(WorkloadEndpointSpec spec, string? handle) => string.IsNullOrEmpty(spec.ContainerID) || (handle is not null
        && (handle.EndsWith("." + spec.ContainerID, StringComparison.Ordinal) || handle.EndsWith($".{spec.ContainerID}.{spec.Endpoint}", StringComparison.Ordinal)));

    // A damaged block is a matter for a person, and the audit names it; it holds up nothing else.
    private static IpamBlock? TryParse(KeyValue block)
    {
        try
        {
            return IpamJson.ParseBlock(block.Value);
        }
        catch (FormatException)
        {
            return null;
        }
    }
}
