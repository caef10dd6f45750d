namespace Calico.Kernel.Namespaces;

/// <summary>
/// A machine without a kernel: network namespaces with devices, addresses, routes, neighbours, rules, sysctls and
/// events that behave and refuse as Linux does. Everything above <c>Calico.Kernel</c> is tested on it; the contract
/// tests hold it to the real one. Thread-safe as a whole, as the kernel is; its tables have one writer each.
/// <para>
/// Beyond the ports it offers what tests need: <see cref="Refuse"/> makes requests fail, and
/// <see cref="FakeNetworkNamespace.LoseEvents"/> makes monitors overflow. Not modelled: packets, duplicate address
/// detection (addresses are never tentative), expiry, qdiscs, and devices other than loopback, veth and bridge.
/// </para>
/// </summary>
public sealed class FakeKernel
{
    private readonly Dictionary<string, FakeNamespaceState> _named = new(StringComparer.Ordinal);
    private readonly Dictionary<int, FakeNamespaceState> _open = [];
    private int _lastFd = 1000;
    private ulong _lastMac = 0x0242_0000_0000;

    internal Lock Gate { get; } = new();

    /// <summary>
    /// If set, is asked before every modifying request with its operation and subject, such as <c>add route</c> and
    /// <c>10.0.0.0/24</c>; anything but <see cref="Errno.None"/> refuses the request.
    /// </summary>
    public Func<string, string, Errno>? Refuse { get; set; }

    /// <summary>Creates a namespace with a loopback device that is down, and opens it.</summary>
    /// <exception cref="KernelException">The name is taken.</exception>
    public FakeNetworkNamespace CreateNamespace(string name)
    {
        lock (Gate)
        {
            if (!_named.TryAdd(name, new FakeNamespaceState(this)))
                throw new KernelException(Errno.EEXIST, "create network namespace", name);
            return OpenNamespace(name);
        }
    }

    /// <exception cref="KernelException">There is no such namespace.</exception>
    public FakeNetworkNamespace OpenNamespace(string name)
    {
        lock (Gate)
        {
            if (!_named.TryGetValue(name, out var state))
                throw new KernelException(Errno.ENOENT, "open network namespace", name);
            _open.Add(++_lastFd, state);
            return new FakeNetworkNamespace(state, name, _lastFd);
        }
    }

    /// <summary>Deletes a namespace with its devices and, with them, the peers of its veth pairs. Returns whether it was there.</summary>
    public bool DeleteNamespace(string name)
    {
        lock (Gate)
        {
            if (!_named.Remove(name, out var state))
                return false;
            foreach (var link in state.Links.Values.ToArray())
                state.RemoveLink(link);
            return true;
        }
    }

    internal FakeNamespaceState? FindOpen(int fd) => _open.GetValueOrDefault(fd);
    internal void Close(int fd) => _open.Remove(fd);
    internal Core.Net.MacAddress NextMac() => new(++_lastMac);

    internal void Admit(string operation, string subject)
    {
        var answer = TryAdmit(operation, subject);
        if (answer != Errno.None)
            throw new KernelException(answer, operation, subject, "refused by the test");
    }

    internal Errno TryAdmit(string operation, string subject) => Refuse?.Invoke(operation, subject) ?? Errno.None;
}
