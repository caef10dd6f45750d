using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// The addresses that workloads of this node use, by what is known on the node itself. None of them is given to anybody
/// else, whatever the datastore says: a node that was taken for gone comes back to blocks that are free again, while
/// its pods never stopped. Outlives the actor that keeps it. Not thread-safe.
/// </summary>
public sealed class AddressesInUse
{
    private readonly Dictionary<IpAddr, string?> _handles = [];

    /// <summary>What the journal and the kernel knew at the start of the process has been told.</summary>
    public bool IsComplete { get; set; }

    public bool AnyIn(Cidr block) => _handles.Keys.Any(block.Contains);

    public bool Contains(IpAddr address) => _handles.ContainsKey(address);

    public bool IsUsedBy(string handle, IEnumerable<IpAddr> addresses) =>
        addresses.All(a => _handles.TryGetValue(a, out var user) && user == handle);

    /// <summary>A wanted address that somebody else uses here, and who; null if there is none.</summary>
    public (IpAddr Address, string? Handle)? UsedByAnother(AllocationRequest request)
    {
        foreach (var wanted in request.Wanted)
        {
            if (_handles.TryGetValue(wanted, out var user) && user != request.HandleId)
                return (wanted, user);
        }
        return null;
    }

    public void Add(string? handle, IEnumerable<IpAddr> addresses)
    {
        foreach (var address in addresses)
            _handles[address] = handle;
    }

    /// <summary>The handle has been released, and with it these addresses, whoever used them.</summary>
    public void Remove(string handle, IEnumerable<IpAddr> released)
    {
        foreach (var address in _handles.Where(h => h.Value == handle).Select(h => h.Key).ToList())
            _handles.Remove(address);
        foreach (var address in released)
        {
            if (_handles.TryGetValue(address, out var user) && user is null)
                _handles.Remove(address);
        }
    }
}
