using Calico.Kernel.Links;
using Calico.Kernel.Neighbours;
using Calico.Kernel.Routes;
using Calico.Kernel.Rules;
using Calico.Kernel.Sysctl;

namespace Calico.Kernel.Namespaces;

/// <summary>An open namespace of a <see cref="FakeKernel"/>; disposing closes it and leaves the namespace alone.</summary>
public sealed class FakeNetworkNamespace : INetworkNamespace
{
    private readonly FakeNamespaceState _state;

    internal FakeNetworkNamespace(FakeNamespaceState state, string name, int fd)
    {
        _state = state;
        Name = name;
        Fd = fd;
    }

    public string Name { get; }
    public int Fd { get; }

    public ILinkTable OpenLinks() => new FakeLinkTable(_state);
    public IRouteTable OpenRoutes() => new FakeRouteTable(_state);
    public INeighbourTable OpenNeighbours() => new FakeNeighbourTable(_state);
    public IRuleTable OpenRules() => new FakeRuleTable(_state);
    public ISysctl OpenSysctl() => new FakeSysctl(_state);
    public IKernelMonitor OpenMonitor(KernelEventGroups groups, KernelEventFilter without = default) => new FakeMonitor(_state, groups, without);

    /// <summary>As if events had come faster than every monitor of this namespace read them.</summary>
    public void LoseEvents()
    {
        lock (_state.Kernel.Gate)
        {
            foreach (var monitor in _state.Monitors)
                monitor.Overflow();
        }
    }

    public void Dispose()
    {
        lock (_state.Kernel.Gate)
            _state.Kernel.Close(Fd);
    }
}
