using System.Globalization;
using System.Text.RegularExpressions;
using Calico.Kernel.Namespaces;
using Calico.Node.Lab;

namespace Calico.Tests.Lab;

/// <summary>
/// Labs of tests carry the number of the process that made them: two test runs on one machine do not meet, and the next
/// run finds what a killed one left.
/// </summary>
internal static partial class TestLabs
{
    public static LabPlace Place(string purpose) => Place(purpose, Environment.ProcessId.ToString(CultureInfo.InvariantCulture));

    public static async Task SweepAsync()
    {
        foreach (var match in NamedNamespaces.List().Select(n => LeftOver().Match(n)).Where(m => m.Success))
        {
            var (purpose, pid) = (match.Groups["purpose"].Value, match.Groups["pid"].Value);
            if (!Directory.Exists($"/proc/{pid}"))
                await new global::Calico.Node.Lab.Lab(Place(purpose, pid), new LabOutput(TextWriter.Null, onTerminal: false)).DownAsync();
        }
    }

    private static LabPlace Place(string purpose, string pid) =>
        new($"calico-test-{purpose}-{pid}", Path.Combine(Path.GetTempPath(), $"calico-test-{purpose}-{pid}"));

    [GeneratedRegex("^calico-test-(?<purpose>[a-z]+)-(?<pid>[0-9]+)-")]
    private static partial Regex LeftOver();
}
