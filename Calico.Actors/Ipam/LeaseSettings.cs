using Calico.Core.Feed;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Schema;

namespace Calico.Actors.Ipam;

/// <summary>What the cluster's resources say of allocation: the allocator's settings and reserved addresses. Not thread-safe.</summary>
internal sealed class LeaseSettings(TimeProvider time)
{
    public IpamConfig Config { get; private set; } = IpamConfig.Default;
    public Reservations Reserved { get; } = new();

    /// <summary>
    /// How long an address may be without its pod, and a block without an address, before it is taken back: leakGracePeriod of the
    /// KubeControllersConfiguration. Null: never.
    /// </summary>
    public TimeSpan? LeakGrace { get; private set; } = LeakGraceOf(null);

    /// <summary>Upstream's default, where nothing is set; 0 is never.</summary>
    public static TimeSpan? LeakGraceOf(KubeControllersConfiguration? configuration) =>
        (configuration?.Spec.Controllers.Node?.LeakGracePeriod?.ToTimeSpan() ?? TimeSpan.FromMinutes(15)) is { } grace && grace > TimeSpan.Zero ? grace : null;

    /// <summary>What the next decision heeds.</summary>
    public LeaseRules Rules => new() { IsReserved = Reserved.Contains, Cooldown = Config.Cooldown, Now = time.GetUtcNow() };

    /// <summary>Learns from the feed; one that cannot be read stays as it was, and is said.</summary>
    public void Learn(IEnumerable<FeedItem> items, Action<string, string> unreadable)
    {
        foreach (var item in items)
        {
            try
            {
                Learn(item);
            }
            catch (Exception e) when (e is InvalidResourceException or FormatException)
            {
                unreadable(item.Key, e.Message);
            }
        }
    }

    private void Learn(FeedItem item)
    {
        if (item.Key == IpamKeys.Config)
            Config = item.Value is { } config ? IpamJson.ParseConfig(config) : IpamConfig.Default;
        else if (!ResourceKey.TryParse(item.Key, out var key))
            return;
        else if (key.Kind == ResourceKind.IPReservation)
            Reserved.Set(key.Name, item.Value is { } value ? ((IPReservation)ResourceCodec.Decode(key.Kind, value.Span)).Spec.ReservedCIDRs : []);
        else if (key.Kind == ResourceKind.KubeControllersConfiguration && key.Name == "default")
            LeakGrace = LeakGraceOf(item.Value is { } options ? (KubeControllersConfiguration)StoredResource.Read(key, options.Span, item.Revision) : null);
    }
}
