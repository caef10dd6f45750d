using System.Globalization;
using System.Text.RegularExpressions;

namespace Calico.Tests.Conformance.Bgp.Interop;

/// <summary>What <c>birdc show route PREFIX all protocol NAME</c> prints. It shows no path identifiers.</summary>
internal static partial class BirdText
{
    public static IReadOnlyList<ForeignRoute> Routes(string prefix, string text) =>
        [.. text.Split("Type: ")[1..].Where(p => p.Contains("BGP.next_hop", StringComparison.Ordinal)).Select(p => RouteOf(prefix, p))];

    private static ForeignRoute RouteOf(string prefix, string text)
    {
        string Of(string attribute) => Regex.Match(text, $@"BGP\.{attribute}: (.*)").Groups[1].Value.Trim();
        return new ForeignRoute(prefix, Of("next_hop").Split(' ')[0], Of("as_path"), Joined(Of("community")), Joined(Of("large_community")))
        {
            Originator = Of("originator_id"),
            Clusters = Of("cluster_list"),
            OnlyTo = uint.TryParse(Of("otc"), CultureInfo.InvariantCulture, out var otc) ? otc : null,
            LocalPref = uint.Parse(Of("local_pref"), CultureInfo.InvariantCulture),
        };
    }

    // (65003,1) and (65003, 2, 3)
    private static string Joined(string communities) =>
        string.Join(' ', Parenthesis().Matches(communities).Select(m => m.Groups[1].Value.Replace(" ", "", StringComparison.Ordinal).Replace(',', ':')));

    [GeneratedRegex(@"\(([^)]*)\)")]
    private static partial Regex Parenthesis();
}
