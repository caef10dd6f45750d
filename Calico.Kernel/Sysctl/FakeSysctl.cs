using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Sysctl;

/// <summary>The sysctls of a <see cref="FakeNetworkNamespace"/>.</summary>
public sealed class FakeSysctl : ISysctl
{
    private readonly FakeNamespaceState _state;

    internal FakeSysctl(FakeNamespaceState state) => _state = state;

    public string? Read(string path)
    {
        lock (_state.Kernel.Gate)
            return _state.Sysctls.Get(SysctlValue.CheckPath(path));
    }

    public bool Write(string path, string value)
    {
        lock (_state.Kernel.Gate)
        {
            if (Read(path) is { } now && SysctlValue.Same(now, value))
                return false;
            _state.Kernel.Admit("write sysctl", $"{path} = {value}");
            var answer = _state.Sysctls.Set(path, value);
            return answer == Errno.None ? true : throw new KernelException(answer, "write sysctl", $"{path} = {value}");
        }
    }

    public void Dispose()
    {
    }
}
