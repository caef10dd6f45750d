using System.Globalization;
using Calico.Kernel.Namespaces;

namespace Calico.Tests.Kernel;

/// <summary>Where a contract test gets its namespaces from; disposing removes them all.</summary>
public interface ITestWorld : IDisposable
{
    INetworkNamespace Create();

    /// <summary>Takes a namespace away before the test ends.</summary>
    void Delete(INetworkNamespace created);
}

/// <summary>
/// Network namespaces of this machine, named <c>calico-test-PID-N</c>. They are deleted with this object, whatever
/// became of the test; those of test processes that were killed are swept when the first of them is made.
/// </summary>
public sealed class TestNamespaces : ITestWorld
{
    private const string Prefix = "calico-test-";
    private static readonly Lazy<bool> Swept = new(Sweep);
    private static int _last;

    private readonly Dictionary<string, NetworkNamespace> _created = [];

    public NetworkNamespace Create()
    {
        _ = Swept.Value;
        var name = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{Environment.ProcessId}-{Interlocked.Increment(ref _last)}");
        var created = NetworkNamespace.CreateNamed(name);
        _created.Add(name, created);
        return created;
    }

    INetworkNamespace ITestWorld.Create() => Create();

    public void Delete(INetworkNamespace created)
    {
        var name = _created.Single(c => c.Value == created).Key;
        _created.Remove(name);
        created.Dispose();
        NetworkNamespace.DeleteNamed(name);
    }

    public void Dispose()
    {
        foreach (var (name, created) in _created)
        {
            created.Dispose();
            NetworkNamespace.DeleteNamed(name);
        }
        _created.Clear();
    }

    /// <summary>Deletes the namespaces of test processes that are no more.</summary>
    public static bool Sweep()
    {
        foreach (var name in NamedNamespaces.List())
        {
            if (name.StartsWith(Prefix, StringComparison.Ordinal) && name[Prefix.Length..].Split('-') is [var pid, ..]
                && int.TryParse(pid, NumberStyles.None, CultureInfo.InvariantCulture, out var id)
                && !Directory.Exists(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}")))
                NetworkNamespace.DeleteNamed(name);
        }
        return true;
    }
}

/// <summary>Namespaces of a fake kernel.</summary>
public sealed class FakeNamespaces : ITestWorld
{
    private int _last;

    public FakeKernel Kernel { get; } = new();

    public INetworkNamespace Create() =>
        Kernel.CreateNamespace(string.Create(CultureInfo.InvariantCulture, $"fake-{++_last}"));

    public void Delete(INetworkNamespace created)
    {
        created.Dispose();
        Kernel.DeleteNamespace(((FakeNetworkNamespace)created).Name);
    }

    public void Dispose()
    {
    }
}
