using System.Text.Json;
using System.Text.RegularExpressions;
using Calico.Core.Bgp.Policy;
using Calico.Core.Bgp.Rib;
using Calico.Core.Net;
using Calico.Tests.Core.Bgp.Policy;

namespace Calico.Tests.Actors.Routing;

/// <summary>
/// Asks every filter of the table, and what Calico made of it for BIRD, about routes around each of its terms: both must
/// decide the same.
/// </summary>
[Layer("unit")]
public partial class FilterCaseTests
{
    private static readonly string[] Interfaces = ["eth0", "eth1", "eth.", "iface", "someiface", "some-iface", "vxlan.calico", "cali12345", "x"];

    private enum Verdict
    {
        FallsThrough,
        Accept,
        Reject,
    }

    [SkippableFact]
    public void Every_filter_decides_as_BIRD_does()
    {
        var wrong = new List<string>();
        var asked = 0;
        foreach (var test in Cases.Read("12-bgp-config/cases.json").EnumerateArray())
        {
            var inputs = PeeringBed.Inputs("kube-master", test.GetProperty("input").GetString()!);
            foreach (var (text, version) in Functions(test))
            {
                var head = Head().Match(text);
                var rules = FilterCompiler.Compile([inputs.Filters[head.Groups["filter"].Value]], head.Groups["direction"].Value == "export", version);
                foreach (var (prefix, isLearned, by) in Routes(text, version))
                {
                    asked++;
                    var expected = Bird(text, Cidr.Parse(prefix), isLearned, by);
                    var decided = Ours(rules, prefix, isLearned, by);
                    if (expected != decided)
                        wrong.Add($"{test.GetProperty("id")} {head.Value} {prefix} {(isLearned ? "learned by " + by : "ours")}: {decided}, in BIRD {expected}");
                }
            }
        }

        Assert.True(asked > 1000, $"{asked} routes");
        Assert.True(wrong.Count == 0, string.Join('\n', wrong.Take(20)));
    }

    private static IEnumerable<(string Text, IpVersion Version)> Functions(JsonElement test) =>
        from family in new[] { ("v4", IpVersion.V4), ("v6", IpVersion.V6) }
        where test.GetProperty(family.Item1).TryGetProperty("filterFunctions", out _)
        from function in test.GetProperty(family.Item1).GetProperty("filterFunctions").EnumerateArray()
        select (function.GetString()!, family.Item2);

    // Each network of the text, what is in it and around it, ours and learned over every interface.
    private static IEnumerable<(string Prefix, bool IsLearned, string? By)> Routes(string text, IpVersion version)
    {
        var prefixes = new List<string> { version == IpVersion.V4 ? "203.0.113.0/24" : "2001:db8:9::/64" };
        foreach (Match network in Network().Matches(text))
        {
            var cidr = Cidr.Parse(network.Value).Network;
            prefixes.Add(cidr.ToString());
            prefixes.Add(new Cidr(cidr.Address, cidr.PrefixLength + 4).ToString());
            prefixes.Add(new Cidr(cidr.Address, cidr.PrefixLength - 2).Network.ToString());
        }
        foreach (var prefix in prefixes.Distinct())
        {
            yield return (prefix, false, null);
            yield return (prefix, true, null);
            foreach (var name in Interfaces)
                yield return (prefix, true, name);
        }
    }

    private static Verdict Ours(Calico.Core.Model.ValueList<FilterRule> rules, string prefix, bool isLearned, string? by)
    {
        var bed = new PolicyBed(Interfaces);
        var route = bed.Route(prefix, isLearned ? PolicyBed.External : null, PolicyBed.Internal, by: by);
        foreach (var rule in rules)
        {
            if (rule.Matches(route, bed.Attributes))
                return rule.Decide(route, bed.Attributes) == AttributeTable.None ? Verdict.Reject : Verdict.Accept;
        }
        return Verdict.FallsThrough;
    }

    private static Verdict Bird(string text, Cidr prefix, bool isLearned, string? by)
    {
        foreach (var line in text.Split('\n').Skip(1).Select(l => l.Trim()).Where(l => l.Length > 1))
        {
            var verdict = line.Contains("accept;", StringComparison.Ordinal) ? Verdict.Accept : Verdict.Reject;
            if (!line.StartsWith("if", StringComparison.Ordinal) || Term().Matches(line).All(t => Holds(t, prefix, isLearned, by)))
                return verdict;
        }
        return Verdict.FallsThrough;
    }

    private static bool Holds(Match term, Cidr prefix, bool isLearned, string? by)
    {
        if (term.Groups["pattern"].Success)
            return by is not null && Regex.IsMatch(by, "^" + Regex.Escape(term.Groups["pattern"].Value).Replace("\\*", ".*", StringComparison.Ordinal) + "$");
        if (!term.Groups["net"].Success)
            return isLearned;
        var network = Cidr.Parse(term.Groups["net"].Value).Network;
        return term.Groups["op"].Value switch
        {
            "~" => network.Contains(prefix),
            "!~" => !network.Contains(prefix),
            "=" => network == prefix,
            _ => network != prefix,
        };
    }

    [GeneratedRegex(@"bgp_(?<filter>.+)_(?<direction>import|export)FilterV[46]")]
    private static partial Regex Head();

    [GeneratedRegex(@"[0-9a-f:.]+/\d+")]
    private static partial Regex Network();

    [GeneratedRegex("""net (?<op>!?[~=]|!=) (?<net>[0-9a-f:.]+/\d+)|source ~ \[ RTS_BGP \]|ifname ~ "(?<pattern>[^"]*)\u0022""")]
    private static partial Regex Term();
}
