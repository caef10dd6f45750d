using System.Globalization;
using Calico.Kernel.Namespaces;

namespace Calico.Kernel.Sysctl;

/// <summary>
/// The sysctls of a fake namespace. Those of a link appear with it, with the values of <c>default</c>, move with its
/// name and vanish with it. <c>all/forwarding</c> and <c>all/disable_ipv6</c> reach every link, as in the kernel.
/// </summary>
internal sealed class FakeSysctls
{
    private static readonly (string Path, string Value)[] Global =
    [
        ("core/somaxconn", "4096"),
        ("ipv4/ip_forward", "0"),
        ("ipv4/ip_local_port_range", "32768\t60999"),
        ("ipv4/fib_multipath_hash_policy", "0"),
        ("ipv4/tcp_l3mdev_accept", "0"),
        ("ipv6/fib_multipath_hash_policy", "0"),
        ("ipv6/route/skip_notify_on_dev_down", "0"),
    ];

    private static readonly (string Prefix, string Name, string Value)[] PerLink =
    [
        ("ipv4/conf", "accept_local", "0"), ("ipv4/conf", "accept_redirects", "1"), ("ipv4/conf", "arp_announce", "0"),
        ("ipv4/conf", "arp_filter", "0"), ("ipv4/conf", "arp_ignore", "0"), ("ipv4/conf", "arp_notify", "0"),
        ("ipv4/conf", "forwarding", "0"), ("ipv4/conf", "log_martians", "0"), ("ipv4/conf", "promote_secondaries", "0"),
        ("ipv4/conf", "proxy_arp", "0"), ("ipv4/conf", "proxy_arp_pvlan", "0"), ("ipv4/conf", "route_localnet", "0"),
        ("ipv4/conf", "rp_filter", "0"), ("ipv4/conf", "send_redirects", "1"), ("ipv4/conf", "src_valid_mark", "0"),
        ("ipv6/conf", "accept_dad", "1"), ("ipv6/conf", "accept_ra", "1"), ("ipv6/conf", "accept_redirects", "1"),
        ("ipv6/conf", "addr_gen_mode", "0"), ("ipv6/conf", "autoconf", "1"), ("ipv6/conf", "dad_transmits", "1"),
        ("ipv6/conf", "disable_ipv6", "0"), ("ipv6/conf", "forwarding", "0"), ("ipv6/conf", "keep_addr_on_down", "0"),
        ("ipv6/conf", "proxy_ndp", "0"), ("ipv6/conf", "router_solicitations", "-1"),
        ("ipv4/neigh", "proxy_delay", "80"), ("ipv4/neigh", "gc_stale_time", "60"), ("ipv4/neigh", "retrans_time_ms", "1000"),
        ("ipv6/neigh", "proxy_delay", "80"), ("ipv6/neigh", "gc_stale_time", "60"), ("ipv6/neigh", "retrans_time_ms", "1000"),
    ];

    private readonly FakeNamespaceState _state;
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    public FakeSysctls(FakeNamespaceState state)
    {
        _state = state;
        foreach (var (path, value) in Global)
            _values.Add(path, value);
        foreach (var (prefix, name, value) in PerLink)
        {
            _values.Add($"{prefix}/default/{name}", value);
            if (prefix.EndsWith("conf", StringComparison.Ordinal))
                _values.Add($"{prefix}/all/{name}", value);
        }
    }

    public string? Get(string path) => _values.GetValueOrDefault(path);
    public bool IsIpv6Disabled(string link) => Get($"ipv6/conf/{link}/disable_ipv6") is not (null or "0");

    public Errno Set(string path, string value)
    {
        if (!_values.TryGetValue(path, out var now))
            return Errno.ENOENT;
        var words = value.Split((char[])[' ', '\t', '\n'], StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0 || words.Length != now.Split('\t').Length
            || !Array.TrueForAll(words, w => int.TryParse(w, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _)))
            return Errno.EINVAL;
        Apply(path, string.Join('\t', words));
        return Errno.None;
    }

    public void AddLink(string name)
    {
        foreach (var (prefix, entry, _) in PerLink)
            _values[$"{prefix}/{name}/{entry}"] = _values[$"{prefix}/default/{entry}"];
    }

    public void RemoveLink(string name)
    {
        foreach (var (prefix, entry, _) in PerLink)
            _values.Remove($"{prefix}/{name}/{entry}");
    }

    public void RenameLink(string from, string to)
    {
        foreach (var (prefix, entry, _) in PerLink)
        {
            if (_values.Remove($"{prefix}/{from}/{entry}", out var value))
                _values[$"{prefix}/{to}/{entry}"] = value;
        }
    }

    private void Apply(string path, string value)
    {
        var changed = _values[path] != value;
        _values[path] = value;
        var parts = path.Split('/');
        if (path == "ipv4/ip_forward")
            Apply("ipv4/conf/all/forwarding", value);
        else if (parts is [_, "conf", "all", "forwarding"])
            ForwardEverywhere(parts[0], value);
        else if (parts is ["ipv6", "conf", "all", "disable_ipv6"])
            DisableEverywhere(value);
        else if (parts is ["ipv6", "conf", _, "disable_ipv6"] && changed && _state.Find(parts[2]) is { } link)
            Switch(link, value);
    }

    private void ForwardEverywhere(string family, string value)
    {
        if (family == "ipv4")
            _values["ipv4/ip_forward"] = value;
        _values[$"{family}/conf/default/forwarding"] = value;
        foreach (var link in _state.Links.Values)
            _values[$"{family}/conf/{link.Name}/forwarding"] = value;
    }

    private void DisableEverywhere(string value)
    {
        _values["ipv6/conf/default/disable_ipv6"] = value;
        foreach (var link in _state.Links.Values)
            Apply($"ipv6/conf/{link.Name}/disable_ipv6", value);
    }

    private void Switch(FakeLink link, string disabled)
    {
        if (disabled != "0")
            _state.RemoveV6(link);
        else
            _state.AutoConfigureV6(link);
    }
}
