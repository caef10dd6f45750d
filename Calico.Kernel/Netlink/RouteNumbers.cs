namespace Calico.Kernel.Netlink;

// The numbers of rtnetlink that we use: linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h, fib_rules.h.

internal static class RouteMessageType
{
    public const ushort NewLink = 16;
    public const ushort DelLink = 17;
    public const ushort GetLink = 18;
    public const ushort SetLink = 19;
    public const ushort NewAddress = 20;
    public const ushort DelAddress = 21;
    public const ushort GetAddress = 22;
    public const ushort NewRoute = 24;
    public const ushort DelRoute = 25;
    public const ushort GetRoute = 26;
    public const ushort NewNeighbour = 28;
    public const ushort DelNeighbour = 29;
    public const ushort GetNeighbour = 30;
    public const ushort NewRule = 32;
    public const ushort DelRule = 33;
    public const ushort GetRule = 34;
    public const ushort SetNeighbourTable = 67;
}

internal static class RouteGroup
{
    public const int Link = 1;
    public const int Neighbour = 3;
    public const int Ipv4Address = 5;
    public const int Ipv4Route = 7;
    public const int Ipv6Address = 9;
    public const int Ipv6Route = 11;
}

internal static class AddressFamily
{
    public const byte Unspecified = 0;
    public const byte Ipv4 = 2;
    public const byte Bridge = 7;
    public const byte Ipv6 = 10;

    public static byte Of(Core.Net.IpVersion version) => version == Core.Net.IpVersion.V4 ? Ipv4 : Ipv6;
}

/// <summary>struct rtmsg and RTA_*.</summary>
internal static class RouteAttribute
{
    public const int HeaderLength = 12;
    public const int Destination = 1;
    public const int OutputInterface = 4;
    public const int Gateway = 5;
    public const int Priority = 6;
    public const int PreferredSource = 7;
    public const int Metrics = 8;
    public const int Multipath = 9;
    public const int Table = 15;
    public const int Via = 18;

    public const int MetricMtu = 2;
    public const byte HopOnLink = 4;
    public const uint FlagCloned = 0x200;
    public const uint FlagLookupTable = 0x1000;
    public const byte ScopeNowhere = 255;
}

/// <summary>struct ifinfomsg and IFLA_*.</summary>
internal static class LinkAttribute
{
    public const int HeaderLength = 16;
    public const int Address = 1;
    public const int Name = 3;
    public const int Mtu = 4;
    public const int Link = 5;
    public const int Master = 10;
    public const int Info = 18;
    public const int FamilySpec = 26;
    public const int Group = 27;
    public const int NamespaceFd = 28;
    public const int ExtendedMask = 29;
    public const int TransmitQueues = 31;
    public const int ReceiveQueues = 32;

    public const int InfoKind = 1;
    public const int InfoData = 2;
    public const int VethPeer = 1;

    public const int InetConf = 1;

    public const uint FlagUp = 1;
    public const uint FlagRunning = 0x40;
    public const uint SkipStatistics = 8;
}

/// <summary>IPV4_DEVCONF_* of linux/ip.h: the places of a device's IPv4 settings.</summary>
internal static class Ipv4Setting
{
    public const int Forwarding = 1;
    public const int ProxyArp = 3;
    public const int RpFilter = 8;
    public const int RouteLocalnet = 26;
}

/// <summary>struct ndtmsg, NDTA_* and NDTPA_*: what a device's entries of a neighbour table go by.</summary>
internal static class NeighbourTableAttribute
{
    public const int Name = 1;
    public const int Parameters = 6;
    public const int LinkIndex = 1;
    public const int ProxyDelay = 13;
}

/// <summary>struct ifaddrmsg and IFA_*.</summary>
internal static class InterfaceAddressAttribute
{
    public const int HeaderLength = 8;
    public const int Address = 1;
    public const int Local = 2;
    public const int Flags = 8;

    public const uint FlagNoDad = 2;
    public const uint FlagTentative = 0x40;
}

/// <summary>struct ndmsg and NDA_*.</summary>
internal static class NeighbourAttribute
{
    public const int HeaderLength = 12;
    public const int Destination = 1;
    public const int LinkLayerAddress = 2;
    public const int InterfaceIndex = 8;

    public const ushort StateReachable = 0x02;
    public const ushort StateStale = 0x04;
    public const ushort StateDelay = 0x08;
    public const ushort StateProbe = 0x10;
    public const ushort StateNoArp = 0x40;
    public const ushort StatePermanent = 0x80;

    public const byte FlagSelf = 2;
    public const byte FlagMaster = 4;
    public const byte FlagProxy = 8;
}

/// <summary>struct fib_rule_hdr and FRA_*.</summary>
internal static class RuleAttribute
{
    public const int HeaderLength = 12;
    public const int Destination = 1;
    public const int Source = 2;
    public const int InputInterface = 3;
    public const int Priority = 6;
    public const int Mark = 10;
    public const int SuppressPrefixLength = 14;
    public const int Table = 15;
    public const int MarkMask = 16;
    public const int Protocol = 21;

    public const byte ActionToTable = 1;
    public const uint FlagInvert = 2;
}
