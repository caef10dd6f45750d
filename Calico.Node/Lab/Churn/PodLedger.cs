namespace Calico.Node.Lab.Churn;

/// <summary>A pod that a runtime has been told is there.</summary>
/// <param name="Result">What the ADD printed, as CHECK wants it back.</param>
internal sealed record LivingPod(string Name, string Container, string Node, string Role, string Address, string Result);

/// <summary>
/// Who lives, as container runtimes know it: from the answer of a pod's ADD until its first DEL begins. Two that live with
/// one address at the same time are found the moment it happens. Thread-safe.
/// </summary>
internal sealed class PodLedger(Action<string> violation)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, LivingPod> _byAddress = new(StringComparer.Ordinal);

    public int Count
    {
        get
        {
            lock (_gate)
                return _byAddress.Count;
        }
    }

    public IReadOnlyList<LivingPod> Pods
    {
        get
        {
            lock (_gate)
                return [.. _byAddress.Values.OrderBy(p => p.Container, StringComparer.Ordinal)];
        }
    }

    public void Lives(LivingPod pod)
    {
        lock (_gate)
        {
            if (_byAddress.TryGetValue(pod.Address, out var other))
                violation($"{pod.Address} was given to {pod.Name} ({pod.Container} on {pod.Node}) while {other.Name} ({other.Container} on {other.Node}) lives with it");
            _byAddress[pod.Address] = pod;
        }
    }

    public void Dies(LivingPod pod)
    {
        lock (_gate)
        {
            if (_byAddress.GetValueOrDefault(pod.Address)?.Container == pod.Container)
                _byAddress.Remove(pod.Address);
        }
    }
}
