using System.Globalization;
using System.Text.Json;
using Xunit.Abstractions;

namespace Calico.Tests.Conformance.Bfd;

/// <summary>
/// A session of 50 ms and 3 with BIRD, in a process that stops for hundreds of milliseconds again and again. Twelve seconds;
/// CALICO_BFD_SOAK_SECONDS makes it longer.
/// </summary>
[Layer("conformance")]
public sealed class BfdSoakTests(ITestOutputHelper output)
{
    private static readonly int Seconds =
        int.TryParse(Environment.GetEnvironmentVariable("CALICO_BFD_SOAK_SECONDS"), CultureInfo.InvariantCulture, out var seconds) ? seconds : 12;

    [SkippableFact]
    public async Task Collections_of_the_whole_heap_on_busy_cores_are_no_failure_to_either_end()
    {
        var report = await RunAsync(ahead: true, Seconds);
        Skip.IfNot(report.SendsAhead, "this kernel has no io_uring");

        Assert.Equal((1L, 0L), (report.Ups, report.Flaps));
        Assert.True(report.HeapMb > 200 && report.Collections > 2, report.ToString());
    }

    [SkippableFact]
    public async Task Pauses_that_are_longer_than_the_detection_time_are_a_failure_where_the_kernel_does_not_send_ahead()
    {
        var report = await RunAsync(ahead: false, 8);
        Skip.If(report.LongestPauseMs < 300, $"no pause was long enough: {report}");

        Assert.True(report.Flaps > 0, report.ToString());
    }

    private async Task<BfdSoak.Report> RunAsync(bool ahead, int seconds)
    {
        Skip.IfNot(File.Exists("/usr/sbin/bird"), "bird is not installed");
        var (status, printed, errors) = await ChildProcess.RunAsync(ChildProcess.Command("bfd-soak", seconds.ToString(CultureInfo.InvariantCulture), ahead ? "true" : "false"));
        Assert.True(status == 0, printed + errors);
        output.WriteLine(printed);
        return JsonSerializer.Deserialize<BfdSoak.Report>(printed.Trim().Split('\n')[^1])!;
    }
}
