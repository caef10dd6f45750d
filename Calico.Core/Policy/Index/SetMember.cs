using System.Globalization;
using Calico.Core.Net;

namespace Calico.Core.Policy.Index;

/// <summary>
/// One member of a set: a network, or (when <see cref="Protocol"/> is not 0) an address with protocol and port.
/// Text is as Calico writes it: <c>10.0.0.0/24</c>, <c>10.0.0.1/32</c>, <c>10.0.0.1,tcp:8080</c>.
/// </summary>
public readonly record struct SetMember(Cidr Net, byte Protocol, ushort Port) : IComparable<SetMember>
{
    public static SetMember Of(Cidr net) => new(net.Network, 0, 0);

    public static SetMember Of(IpAddr address) => new(Cidr.Host(address), 0, 0);

    public static SetMember Of(IpAddr address, byte protocol, ushort port) => new(Cidr.Host(address), protocol, port);

    public bool HasPort => Protocol != 0;

    public IpVersion Version => Net.Version;

    /// <summary>Reads what <see cref="ToString"/> writes; a bare address is its host network.</summary>
    public static bool TryParse(string text, out SetMember member)
    {
        member = default;
        var comma = text.IndexOf(',', StringComparison.Ordinal);
        if (comma < 0)
        {
            if (!Cidr.TryParseOrHost(text, out var net))
                return false;
            member = Of(net);
            return true;
        }
        var colon = text.IndexOf(':', comma);
        if (colon < 0 || !IpAddr.TryParse(text.AsSpan(0, comma), out var address)
            || !IpProtocol.TryParse(text[(comma + 1)..colon], out var protocol)
            || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port))
            return false;
        member = Of(address, protocol, port);
        return true;
    }

    public int CompareTo(SetMember other)
    {
        var byNet = Net.CompareTo(other.Net);
        if (byNet != 0)
            return byNet;
        var byProtocol = Protocol.CompareTo(other.Protocol);
        return byProtocol != 0 ? byProtocol : Port.CompareTo(other.Port);
    }

    public static bool operator <(SetMember a, SetMember b) => a.CompareTo(b) < 0;
    public static bool operator >(SetMember a, SetMember b) => a.CompareTo(b) > 0;
    public static bool operator <=(SetMember a, SetMember b) => a.CompareTo(b) <= 0;
    public static bool operator >=(SetMember a, SetMember b) => a.CompareTo(b) >= 0;

    public override string ToString() =>
        HasPort ? $"{Net.Address},{IpProtocol.NameOf(Protocol)}:{Port}" : Net.ToString();
}
