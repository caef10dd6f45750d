using System.Text.Json;
using Calico.Core.Bgp.Wire;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>The capabilities of an OPEN by name.</summary>
internal static class CapabilityJson
{
    public static void Write(Utf8JsonWriter json, Capabilities capabilities)
    {
        json.WriteStartObject("capabilities");
        if (!capabilities.Multiprotocol.IsEmpty)
        {
            json.WriteStartArray("multiprotocol");
            foreach (var family in capabilities.Multiprotocol)
                json.WriteStringValue(Name(family));
            json.WriteEndArray();
        }
        if (capabilities.FourOctetAs is { } asn)
            json.WriteNumber("asn4", asn.Value);
        Flag("route-refresh", capabilities.RouteRefresh);
        Flag("enhanced-route-refresh", capabilities.EnhancedRouteRefresh);
        Flag("extended-message", capabilities.ExtendedMessage);
        if (capabilities.GracefulRestart is { } restart)
        {
            json.WriteStartObject("graceful-restart");
            json.WriteNumber("time", (int)restart.RestartTime.TotalSeconds);
            json.WriteBoolean("restarted", restart.RestartState);
            json.WriteBoolean("notification", restart.NotificationSupport);
            json.WriteStartObject("families");
            foreach (var family in restart.Families)
                json.WriteBoolean(Name(family.Family), family.ForwardingPreserved);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        if (capabilities.LongLived is { } longLived)
        {
            json.WriteStartObject("long-lived-graceful-restart");
            foreach (var family in longLived)
            {
                json.WriteStartObject(Name(family.Family));
                json.WriteNumber("time", (int)family.StaleTime.TotalSeconds);
                json.WriteBoolean("forwarding", family.ForwardingPreserved);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        if (!capabilities.AddPath.IsEmpty)
        {
            json.WriteStartObject("add-path");
            foreach (var family in capabilities.AddPath)
                json.WriteString(Name(family.Family), family switch
                {
                    { Receives: true, Sends: true } => "both",
                    { Sends: true } => "send",
                    _ => "receive",
                });
            json.WriteEndObject();
        }
        if (!capabilities.ExtendedNextHop.IsEmpty)
        {
            json.WriteStartArray("extended-next-hop");
            foreach (var encoding in capabilities.ExtendedNextHop)
                json.WriteStringValue($"{Name(encoding.Family)} by {(encoding.NextHopAfi == AfiSafi.Ipv6 ? "ipv6" : encoding.NextHopAfi)}");
            json.WriteEndArray();
        }
        if (!capabilities.Roles.IsEmpty)
            json.WriteString("role", string.Join(" and ", capabilities.Roles.Select(r => r.Text())));
        if (!capabilities.Others.IsEmpty)
        {
            json.WriteStartArray("unknown");
            foreach (var other in capabilities.Others)
            {
                json.WriteStartObject();
                json.WriteNumber("code", other.Code);
                json.WriteString("value", Convert.ToHexString(other.Value.AsSpan()));
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();

        void Flag(string name, bool isSet)
        {
            if (isSet)
                json.WriteBoolean(name, true);
        }
    }

    /// <summary>Like <c>ipv4 unicast</c>; by its numbers where it has no name here.</summary>
    public static string Name(AfiSafi family) => family.Family switch
    {
        Families.Ipv4Unicast => "ipv4 unicast",
        Families.Ipv6Unicast => "ipv6 unicast",
        _ => $"{family.Afi}/{family.Safi}",
    };
}
