using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Neighbours;

/// <summary>The neighbours of a <see cref="FakeNetworkNamespace"/>.</summary>
public sealed class FakeNeighbourTable : INeighbourTable
{
    private readonly FakeNamespaceState _state;

    internal FakeNeighbourTable(FakeNamespaceState state) => _state = state;

    public long WriteCount { get; private set; }

    public IReadOnlyList<Neighbour> Dump(int? linkIndex = null, bool forwarding = false) =>
        Collect(n => !n.Proxy && n.Forwarding == forwarding && (linkIndex is null || n.LinkIndex == linkIndex));

    public IReadOnlyList<Neighbour> DumpProxies(int? linkIndex = null) =>
        Collect(n => n.Proxy && (linkIndex is null || n.LinkIndex == linkIndex));

    public void Set(Neighbour neighbour)
    {
        lock (_state.Kernel.Gate)
        {
            const string Operation = "set neighbour";
            var subject = neighbour.ToString();
            _state.Kernel.Admit(Operation, subject);
            var link = _state.Find(neighbour.LinkIndex) ?? throw new KernelException(Errno.ENODEV, Operation, subject);
            if (neighbour.Forwarding && neighbour.Address.IsUnspecified && link.Master is null)
                throw new KernelException(Errno.EOPNOTSUPP, Operation, subject);
            var entry = neighbour.Proxy ? neighbour with { Mac = default, Permanent = true } : neighbour;
            _state.Neighbours.RemoveAll(n => IsSame(n, entry));
            _state.Neighbours.Add(entry);
            _state.Emit(KernelEventGroups.Neighbours, new KernelEvent.NeighbourChanged(entry, Removed: false));
            WriteCount++;
        }
    }

    public void Delete(Neighbour neighbour)
    {
        lock (_state.Kernel.Gate)
        {
            _state.Kernel.Admit("delete neighbour", neighbour.ToString());
            var index = _state.Neighbours.FindIndex(n => IsSame(n, neighbour));
            if (index < 0)
                return;
            var removed = _state.Neighbours[index];
            _state.Neighbours.RemoveAt(index);
            _state.Emit(KernelEventGroups.Neighbours, new KernelEvent.NeighbourChanged(removed, Removed: true));
            WriteCount++;
        }
    }

    public void Dispose()
    {
    }

    private List<Neighbour> Collect(Predicate<Neighbour> which)
    {
        lock (_state.Kernel.Gate)
            return _state.Neighbours.FindAll(which);
    }

    private static bool IsSame(in Neighbour a, in Neighbour b) => a.LinkIndex == b.LinkIndex && a.Forwarding == b.Forwarding
        && a.Proxy == b.Proxy && (a.Forwarding ? a.Mac == b.Mac : a.Address == b.Address);
}
