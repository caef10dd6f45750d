using System.Collections.Immutable;
using System.Globalization;
using Calico.Core.Model.Resources;
using Calico.Core.Model.Validation;

namespace Calico.Core.Model.Kubernetes;

/// <summary>The traffic limits that a pod's annotations ask for.</summary>
internal static class PodQos
{
    private const string Prefix = "qos.projectcalico.org/";
    private const long DefaultBurst = 4L << 30;
    private const long DefaultPacketBurst = 5;

    // A value outside its range is moved to the bound and reported, one that depends on a missing other is dropped.
    public static QosControls? Read(StringMap annotations, ImmutableArray<string>.Builder warnings)
    {
        var ingress = Direction(annotations, "ingress", warnings);
        var egress = Direction(annotations, "egress", warnings);
        var qos = new QosControls
        {
            IngressBandwidth = ingress.Bandwidth,
            IngressBurst = ingress.Burst,
            IngressPeakrate = ingress.Peakrate,
            IngressMinburst = ingress.Minburst,
            EgressBandwidth = egress.Bandwidth,
            EgressBurst = egress.Burst,
            EgressPeakrate = egress.Peakrate,
            EgressMinburst = egress.Minburst,
            IngressPacketRate = ingress.PacketRate,
            IngressPacketBurst = ingress.PacketBurst,
            EgressPacketRate = egress.PacketRate,
            EgressPacketBurst = egress.PacketBurst,
            IngressMaxConnections = ingress.MaxConnections,
            EgressMaxConnections = egress.MaxConnections,
            Dscp = Dscp(annotations, warnings),
        };
        return qos == new QosControls() ? null : qos;
    }

    private readonly record struct Limits(long Bandwidth, long Burst, long Peakrate, long Minburst, long PacketRate, long PacketBurst, long MaxConnections);

    private static Limits Direction(StringMap annotations, string direction, ImmutableArray<string>.Builder warnings)
    {
        var name = Prefix + direction;
        var bandwidth = annotations.ContainsKey(name + "Bandwidth")
            ? Quantity(annotations, name + "Bandwidth", 1_000, 1_000_000_000_000_000, warnings)
            : Quantity(annotations, $"kubernetes.io/{direction}-bandwidth", 1_000, 1_000_000_000_000_000, warnings);
        var burst = Quantity(annotations, name + "Burst", 1_000, 34_359_738_360, warnings);
        var peakrate = Quantity(annotations, name + "Peakrate", 1_010, 1_010_000_000_000_000, warnings);
        var minburst = Quantity(annotations, name + "Minburst", 1_000, 100_000_000, warnings);
        var packetRate = Quantity(annotations, name + "PacketRate", 1, 10_000, warnings);
        var packetBurst = Quantity(annotations, name + "PacketBurst", 1, 10_000, warnings);
        var maxConnections = Quantity(annotations, name + "MaxConnections", 1, uint.MaxValue, warnings);

        Drop(ref burst, bandwidth == 0, $"{direction} burst needs a bandwidth", warnings);
        Drop(ref peakrate, bandwidth == 0 || bandwidth >= peakrate, $"{direction} peakrate must be greater than the bandwidth", warnings);
        Drop(ref minburst, peakrate == 0, $"{direction} minburst needs a peakrate", warnings);
        Drop(ref packetBurst, packetRate == 0, $"{direction} packet burst needs a packet rate", warnings);
        if (bandwidth != 0 && burst == 0)
            burst = DefaultBurst;
        if (packetRate != 0 && packetBurst == 0)
            packetBurst = DefaultPacketBurst;
        return new Limits(bandwidth, burst, peakrate, minburst, packetRate, packetBurst, maxConnections);
    }

    private static void Drop(ref long value, bool isUseless, string why, ImmutableArray<string>.Builder warnings)
    {
        if (value == 0 || !isUseless)
            return;
        value = 0;
        warnings.Add(why);
    }

    private static long Quantity(StringMap annotations, string key, long min, long max, ImmutableArray<string>.Builder warnings)
    {
        if (annotations.GetOrNull(key) is not { } text)
            return 0;
        if (!KubeQuantity.TryParse(text, out var value))
        {
            warnings.Add($"annotation {key}: '{text}' is no quantity such as 10M");
            return 0;
        }
        if (value >= min && value <= max)
            return value;
        var bound = Math.Clamp(value, min, max);
        warnings.Add($"annotation {key}: {text} is outside {min} to {max}: using {bound}");
        return bound;
    }

    private static IntOrString? Dscp(StringMap annotations, ImmutableArray<string>.Builder warnings)
    {
        if (annotations.GetOrNull(Prefix + "dscp") is not { } text)
            return null;
        var dscp = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? IntOrString.From(number)
            : IntOrString.From(text);
        if (EndpointChecks.IsDscp(dscp))
            return dscp;
        warnings.Add($"annotation {Prefix}dscp: '{text}' is neither 0 to 63 nor one of DF, EF, AFxy, CSx");
        return null;
    }
}
