using System.Globalization;
using System.Text.RegularExpressions;
using Calico.Core.Model.Selectors;
using Calico.Core.Net;

namespace Calico.Core.Model.Schema;

/// <summary>Formats of string fields.</summary>
public enum FieldFormat
{
    /// <summary>A DNS-1123 subdomain.</summary>
    Name,

    /// <summary>A selector without <c>global()</c>.</summary>
    Selector,

    /// <summary>A selector that may be <c>global()</c>, alone.</summary>
    NamespaceSelector,

    /// <summary>A strictly masked CIDR, or an address.</summary>
    Net,
    NetV4,
    NetV6,

    /// <summary>A CIDR with or without host bits, or an address.</summary>
    Cidr,
    CidrV4,
    CidrV6,
    Ip,
    IpV4,
    IpV6,

    /// <summary><c>ip</c>, <c>v4:port</c> or <c>[v6]:port</c>.</summary>
    IpPort,
    Mac,

    /// <summary>An interface name or <c>*</c>.</summary>
    Interface,

    /// <summary>An interface name that may end in <c>+</c>, iptables' wildcard.</summary>
    InterfaceFilter,
    IgnoredInterface,
    BgpFilterInterface,

    /// <summary>A standard or large community without leading zeros.</summary>
    BgpCommunity,

    /// <summary>Kubernetes' port name: at most 15 lower-case letters, digits and dashes.</summary>
    PortName,
    ContainerId,
    HostAddress,

    /// <summary>A regular expression.</summary>
    Regex,

    /// <summary>44 base64 characters of a 32-byte key.</summary>
    WireguardKey,

    /// <summary>A duration, or Auto.</summary>
    ConntrackTimeout,
}

/// <summary>Checks strings against formats; null is fine, else what was expected.</summary>
public static partial class Formats
{
    public static string? Problem(FieldFormat format, string text) => format switch
    {
        FieldFormat.Name => When(Name().IsMatch(text) && text.Length <= 253,
            "must be a name of lower-case letters, digits, '-' and '.' that starts and ends with a letter or digit"),
        FieldFormat.Selector => SelectorProblem(text),
        FieldFormat.NamespaceSelector => NamespaceSelectorProblem(text),
        FieldFormat.Net => When(IsNet(text, null), "must be an IP network without bits behind its prefix, such as 10.0.0.0/8"),
        FieldFormat.NetV4 => When(IsNet(text, IpVersion.V4), "must be an IPv4 network such as 10.0.0.0/8"),
        FieldFormat.NetV6 => When(IsNet(text, IpVersion.V6), "must be an IPv6 network such as fd00::/8"),
        FieldFormat.Cidr => When(Net.Cidr.TryParseOrHost(text, out _), "must be an IP address or network"),
        FieldFormat.CidrV4 => When(Net.Cidr.TryParseOrHost(text, out var c4) && c4.IsV4, "must be an IPv4 address or network"),
        FieldFormat.CidrV6 => When(Net.Cidr.TryParseOrHost(text, out var c6) && !c6.IsV4, "must be an IPv6 address or network"),
        FieldFormat.Ip => When(IpAddr.TryParse(text, out _), "must be an IP address"),
        FieldFormat.IpV4 => When(IpAddr.TryParse(text, out var v4) && v4.IsV4, "must be a valid IPv4 address"),
        FieldFormat.IpV6 => When(IpAddr.TryParse(text, out var v6) && v6.IsV6, "must be a valid IPv6 address"),
        FieldFormat.IpPort => When(TryParseIpPort(text, out _, out _), "must be an IP address, IPv4:port or [IPv6]:port"),
        FieldFormat.Mac => When(MacAddress.TryParse(text, out _), "must be a MAC address such as ee:ee:ee:ee:ee:ee"),
        FieldFormat.Interface => When(text == "*" || InterfaceName().IsMatch(text),
            "must be an interface name: 1 to 15 letters, digits and '_', '.', '-'"),
        FieldFormat.InterfaceFilter => When(InterfaceFilter().IsMatch(text), "must be an interface name that may hold '+'"),
        FieldFormat.IgnoredInterface => When(text != "*" && InterfacePattern().IsMatch(text),
            "must be an interface name that may hold '*' but is not '*' alone"),
        FieldFormat.BgpFilterInterface => When(InterfacePattern().IsMatch(text), "must be an interface name that may hold '*'"),
        FieldFormat.BgpCommunity => When(IsCommunity(text) && text.Split(':').All(p => p == "0" || p[0] != '0'),
            "must be a community, 16-bit a:b or 32-bit a:b:c without leading zeros"),
        FieldFormat.PortName => When(IsPortName(text),
            "must be a port name: at most 15 lower-case letters, digits and single '-' inside, with at least one letter"),
        FieldFormat.ContainerId => When(ContainerId().IsMatch(text), "must be letters, digits and '-' inside"),
        FieldFormat.HostAddress => When(HostAddress().IsMatch(text), "must be an address or host name of at most 64 characters"),
        FieldFormat.Regex => RegexProblem(text),
        FieldFormat.WireguardKey => When(IsWireguardKey(text), "must be a 32-byte key in base64"),
        _ => When(text == "Auto" || (ConntrackTimeout().IsMatch(text) && GoDuration.TryParse(text, out _)),
            "must be a duration such as 20s with the units us, ms, s, m and h, or Auto"),
    };

    /// <summary>Reads a peer address; without a port it is 0.</summary>
    public static bool TryParseIpPort(string text, out IpAddr address, out ushort port)
    {
        port = 0;
        if (IpAddr.TryParse(text, out address))
            return true;
        var colon = text.LastIndexOf(':');
        if (colon < 0 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out port) || port == 0)
            return false;
        var host = text.AsSpan(0, colon);
        return host is ['[', .. var inner, ']']
            ? IpAddr.TryParse(inner, out address) && address.IsV6
            : IpAddr.TryParse(host, out address) && address.IsV4;
    }

    /// <summary>A standard community of two 16-bit numbers or a large one of three 32-bit numbers.</summary>
    public static bool IsCommunity(string text)
    {
        var parts = text.Split(':');
        return parts.Length switch
        {
            2 => parts.All(p => ushort.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out _)),
            3 => parts.All(p => uint.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out _)),
            _ => false,
        };
    }

    /// <summary>A DNS label: at most 63 lower-case letters, digits and inner dashes.</summary>
    public static bool IsLabel(string text) => text.Length <= 63 && Label().IsMatch(text);

    /// <summary>A label or annotation key: an optional DNS prefix and a slash, then at most 63 characters.</summary>
    public static bool IsQualifiedName(string text)
    {
        var slash = text.IndexOf('/');
        var name = text[(slash + 1)..];
        return name.Length is > 0 and <= 63 && QualifiedName().IsMatch(name)
            && (slash < 0 || (slash is > 0 and <= 253 && Name().IsMatch(text[..slash])));
    }

    /// <summary>A label value: empty, or at most 63 letters, digits and inner <c>- _ .</c></summary>
    public static bool IsLabelValue(string text) => text.Length == 0 || (text.Length <= 63 && QualifiedName().IsMatch(text));

    private static string? When(bool fine, string expected) => fine ? null : expected;

    private static string? SelectorProblem(string text)
    {
        if (!Selectors.Selector.TryParse(text, out var selector, out var error))
            return $"is no selector: {error.Reason} at character {error.Position + 1}";
        return selector.MentionsGlobal ? "global() can only be used in an EntityRule namespaceSelector" : null;
    }

    private static string? NamespaceSelectorProblem(string text)
    {
        if (!Selectors.Selector.TryParse(text, out var selector, out var error))
            return $"is no selector: {error.Reason} at character {error.Position + 1}";
        return selector.MentionsGlobal && selector.CanonicalText != "global()"
            ? "global() cannot be combined with other selectors"
            : null;
    }

    private static bool IsNet(string text, IpVersion? version) =>
        Net.Cidr.TryParseOrHost(text, out var cidr) && cidr.IsMasked && (version is null || cidr.Version == version);

    private static bool IsPortName(string text) => text.Length is > 0 and <= 15 && PortName().IsMatch(text)
        && !text.Contains("--", StringComparison.Ordinal) && text.AsSpan().ContainsAnyInRange('a', 'z');

    private static bool IsWireguardKey(string text)
    {
        Span<byte> key = stackalloc byte[33];
        return text.Length == 44 && Convert.TryFromBase64String(text, key, out var length) && length == 32;
    }

    // The expression is only compiled, never run on input of its author's choosing; Go's dialect is close to .NET's.
    private static string? RegexProblem(string text)
    {
        try
        {
            _ = new Regex(text, RegexOptions.NonBacktracking);
            return null;
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            return $"is no regular expression: {e.Message}";
        }
    }

    [GeneratedRegex(@"\A[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\z")]
    private static partial Regex Name();

    [GeneratedRegex(@"\A[a-z0-9]([-a-z0-9]*[a-z0-9])?\z")]
    private static partial Regex Label();

    [GeneratedRegex(@"\A[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\z")]
    private static partial Regex QualifiedName();

    [GeneratedRegex(@"\A[a-zA-Z0-9_.-]{1,15}\z")]
    private static partial Regex InterfaceName();

    [GeneratedRegex(@"\A[a-zA-Z0-9_.*-]{1,15}\z")]
    private static partial Regex InterfacePattern();

    [GeneratedRegex(@"\A[a-zA-Z0-9:._+-]{1,15}\z")]
    private static partial Regex InterfaceFilter();

    [GeneratedRegex(@"\A[a-zA-Z0-9:._+-]{1,64}\z")]
    private static partial Regex HostAddress();

    [GeneratedRegex(@"\A[a-z0-9]([-a-z0-9]*[a-z0-9])?\z")]
    private static partial Regex PortName();

    [GeneratedRegex(@"\A[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?\z")]
    private static partial Regex ContainerId();

    [GeneratedRegex(@"\A([0-9]*(\.[0-9]*)?(ms|s|h|m|us))+\z")]
    private static partial Regex ConntrackTimeout();
}
