using Calico.Core.Bgp.Rib;

namespace Calico.Core.Bgp.Policy;

/// <summary>
/// Calico's route priority, a metric of the kernel where less is better, travels as LOCAL_PREF, where more is better:
/// each is 2147483647 minus the other.
/// </summary>
public static class RoutePriority
{
    /// <summary>Of a route that nothing special is to be said of.</summary>
    public const uint Normal = 1024;

    private const uint Sum = int.MaxValue;

    public static uint ToLocalPref(uint priority) => Sum - Math.Min(priority, Sum);

    /// <summary>0, the best, for a LOCAL_PREF that no priority has.</summary>
    public static uint Of(uint localPref) => Sum - Math.Min(localPref, Sum);

    /// <summary>The priority of a set of attributes.</summary>
    public static uint Of(int set, AttributeTable attributes) => Of(attributes.Facts(set).LocalPref);
}
