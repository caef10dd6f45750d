using System.Text.Json;
using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Ctl.Commands.Bgp;

/// <summary>Writes what one message says. Names of the fields are those of exabgp's JSON, which route collectors use.</summary>
/// <param name="context">What the speakers agreed on.</param>
internal sealed class MessageReader(WireContext context)
{
    private const string Reset = "session-reset";

    private readonly UpdateDecoder _decoder = new();

    /// <summary>One object. False if something was wrong with the message.</summary>
    /// <param name="json">Where it goes.</param>
    /// <param name="message">With its header; null for what was no hexadecimal.</param>
    public bool Write(Utf8JsonWriter json, byte[]? message)
    {
        json.WriteStartObject();
        var isClean = message is null ? Unreadable(json) : WriteBody(json, message);
        json.WriteEndObject();
        return isClean;
    }

    private bool WriteBody(Utf8JsonWriter json, byte[] message)
    {
        switch (BgpFraming.Inspect(message, context.MaxMessageLength, out var type, out var length, out var error))
        {
            case FrameStatus.Malformed:
                return Error(json, error!, Reset);
            case FrameStatus.Incomplete:
                return Error(json, 1, 2, Reset, $"the message is cut off: it has {message.Length} octets{(length > 0 ? $" of {length}" : "")}");
            default:
                break;
        }
        if (length != message.Length)
            return Error(json, 1, 2, Reset, $"{message.Length - length} octets follow the message of {length}; write one message a line");
        var body = message.AsSpan(BgpFraming.HeaderLength);
        switch (type)
        {
            case MessageType.Open:
                return Open(json, body);
            case MessageType.Update:
                return Update(json, body);
            case MessageType.Notification:
                return Notification(json, body);
            case MessageType.RouteRefresh:
                return Refresh(json, body);
            default:
                json.WriteString("type", "keepalive");
                return true;
        }
    }

    private static bool Open(Utf8JsonWriter json, ReadOnlySpan<byte> body)
    {
        json.WriteString("type", "open");
        if (!OpenMessage.TryDecode(body, out var open, out var error))
            return Error(json, error!, Reset);
        json.WriteStartObject("open");
        json.WriteNumber("version", OpenMessage.Version);
        json.WriteNumber("asn", open!.MyAs.Value);
        json.WriteNumber("hold_time", (int)open.HoldTime.TotalSeconds);
        json.WriteString("router_id", open.RouterId.ToString());
        CapabilityJson.Write(json, open.Capabilities);
        json.WriteEndObject();
        return true;
    }

    private static bool Notification(Utf8JsonWriter json, ReadOnlySpan<byte> body)
    {
        json.WriteString("type", "notification");
        if (!NotificationMessage.TryDecode(body, out var message))
            return Error(json, 1, 2, Reset, "a NOTIFICATION has at least a code and a subcode");
        json.WriteStartObject("notification");
        json.WriteNumber("code", (int)message.Code);
        json.WriteNumber("subcode", message.Subcode);
        json.WriteString("data", Convert.ToHexString(message.Data.AsSpan()));
        json.WriteString("message", message.ToString());
        json.WriteEndObject();
        return true;
    }

    private static bool Refresh(Utf8JsonWriter json, ReadOnlySpan<byte> body)
    {
        json.WriteString("type", "refresh");
        if (!RouteRefreshMessage.TryDecode(body, out var message, out var error))
            return Error(json, error!, Reset);
        json.WriteStartObject("route-refresh");
        json.WriteString("family", CapabilityJson.Name(message.Family));
        json.WriteString("subtype", message.Subtype.ToString());
        json.WriteEndObject();
        return true;
    }

    private bool Update(Utf8JsonWriter json, ReadOnlySpan<byte> body)
    {
        json.WriteString("type", "update");
        if (!_decoder.TryDecode(body, context, out var update, out var error))
            return Error(json, error!, Reset);
        if (update.EndOfRib != Families.None)
        {
            var family = AfiSafi.Of(update.EndOfRib);
            json.WriteStartObject("eor");
            json.WriteString("afi", family.Afi == AfiSafi.Ipv4 ? "ipv4" : "ipv6");
            json.WriteString("safi", "unicast");
            json.WriteEndObject();
            return true;
        }
        json.WriteStartObject("update");
        if (!update.Attributes.IsEmpty)
        {
            json.WriteStartObject("attribute");
            AttributeJson.Write(json, update.Attributes);
            json.WriteEndObject();
        }
        Routes(json, update);
        json.WriteEndObject();
        if (_decoder.Problems is not [var first, ..])
            return true;
        var verdict = update.Verdict;
        var worst = _decoder.Problems.FirstOrDefault(p => p.Verdict == verdict, first);
        return Error(json, (int)ErrorCode.UpdateMessage, worst.Subcode, Treatment(verdict), string.Join("; ", _decoder.Problems));
    }

    private static void Routes(Utf8JsonWriter json, in UpdateView update)
    {
        var mp = update.Multiprotocol;
        var (reach, unreach) = (mp.ReachFamily, mp.UnreachFamily);
        var announced4 = RouteList(Families.Ipv4Unicast, update.Announced, update.PathIds);
        var withdrawn4 = RouteList(Families.Ipv4Unicast, update.Withdrawn, update.PathIds);
        var announcedMp = RouteList(reach, mp.Announced, update.PathIds);
        var withdrawnMp = RouteList(unreach, mp.Withdrawn, update.PathIds);
        var areWithdrawn = update.Verdict >= AttributeVerdict.TreatAsWithdraw;

        List<(string Family, List<string> NextHops, List<Route> Routes)> announce = [], withdraw = [];
        (areWithdrawn ? withdraw : announce).Add(("ipv4 unicast", [update.NextHop.ToString()], announced4));
        if (reach != Families.None)
        {
            List<string> hops = [update.Multiprotocol.NextHop.ToString()];
            if (update.Multiprotocol.LinkLocalNextHop is { } local)
                hops.Add(local.ToString());
            (areWithdrawn ? withdraw : announce).Add((CapabilityJson.Name(AfiSafi.Of(reach)), hops, announcedMp));
        }
        withdraw.Add(("ipv4 unicast", [], withdrawn4));
        if (unreach != Families.None)
            withdraw.Add((CapabilityJson.Name(AfiSafi.Of(unreach)), [], withdrawnMp));

        if (announce.Exists(a => a.Routes.Count > 0))
        {
            json.WriteStartObject("announce");
            foreach (var family in announce.Where(a => a.Routes.Count > 0).GroupBy(a => a.Family))
            {
                json.WriteStartObject(family.Key);
                foreach (var (_, hops, routes) in family)
                    Write(json, string.Join(' ', hops), routes);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        if (withdraw.Exists(w => w.Routes.Count > 0))
        {
            json.WriteStartObject("withdraw");
            foreach (var family in withdraw.Where(w => w.Routes.Count > 0).GroupBy(w => w.Family))
                Write(json, family.Key, [.. family.SelectMany(f => f.Routes)]);
            json.WriteEndObject();
        }
    }

    private readonly record struct Route(Cidr Prefix, uint? Path);

    private static List<Route> RouteList(Families family, ReadOnlySpan<byte> field, Families pathIds)
    {
        var hasIds = pathIds.Has(family);
        return [.. Nlri.ToPaths(family, field, pathIds).Select(p => new Route(p.Prefix, hasIds ? p.PathId : null))];
    }

    private static void Write(Utf8JsonWriter json, string name, List<Route> routes)
    {
        json.WriteStartArray(name);
        foreach (var route in routes)
        {
            json.WriteStartObject();
            json.WriteString("nlri", route.Prefix.ToString());
            // As an address, which is how path identifiers are written.
            if (route.Path is { } path)
                json.WriteString("path-information", IpAddr.FromV4(path).ToString());
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static string Treatment(AttributeVerdict verdict) => verdict switch
    {
        AttributeVerdict.AttributeDiscard => "attribute-discard",
        AttributeVerdict.TreatAsWithdraw => "treat-as-withdraw",
        AttributeVerdict.SessionReset => Reset,
        _ => "accept",
    };

    private static bool Unreadable(Utf8JsonWriter json)
    {
        json.WriteStartObject("error");
        json.WriteString("reason", "the line is no hexadecimal: an even number of digits, blanks or colons between");
        json.WriteEndObject();
        return false;
    }

    private static bool Error(Utf8JsonWriter json, NotificationError error, string treatment) =>
        Error(json, (int)error.Code, error.Subcode, treatment, error.Reason);

    private static bool Error(Utf8JsonWriter json, int code, int subcode, string treatment, string reason)
    {
        json.WriteStartObject("error");
        json.WriteNumber("code", code);
        json.WriteNumber("subcode", subcode);
        json.WriteString("treatment", treatment);
        json.WriteString("reason", reason);
        json.WriteEndObject();
        return false;
    }
}
