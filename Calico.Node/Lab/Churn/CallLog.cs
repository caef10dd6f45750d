using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Calico.Node.Lab.Churn;

/// <summary>What one call of the shim came to.</summary>
/// <param name="Code">0 for success, else the error's code; null for a shim that was killed midway.</param>
internal sealed record CallOutcome(string Command, string Node, string Pod, string Container, int? Code, string Text, TimeSpan At, TimeSpan Took)
{
    public const int TryAgainLater = 11;

    public bool Succeeded => Code == 0;
}

/// <summary>Every call and every fault, one JSON object a line, and their counts. Thread-safe.</summary>
internal sealed class CallLog : IDisposable
{
    private readonly Lock _gate = new();
    private readonly StreamWriter _file;
    private readonly long _begun = Stopwatch.GetTimestamp();
    private readonly ConcurrentQueue<CallOutcome> _calls = new();
    private readonly ConcurrentQueue<string> _violations = new();

    public CallLog(string path)
    {
        Path = path;
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        _file = new StreamWriter(path) { AutoFlush = true };
    }

    public string Path { get; }
    public TimeSpan Now => Stopwatch.GetElapsedTime(_begun);
    public int Calls => _calls.Count;

    /// <summary>What must never happen and was seen by a caller.</summary>
    public IReadOnlyList<string> Violations => [.. _violations];

    public void Called(CallOutcome outcome)
    {
        _calls.Enqueue(outcome);
        Write(new
        {
            at = Seconds(outcome.At),
            took = Seconds(outcome.Took),
            outcome.Command,
            outcome.Node,
            outcome.Pod,
            outcome.Container,
            outcome.Code,
            outcome.Text,
        });
    }

    public void Note(string what) => Write(new { at = Seconds(Now), what });

    public void Violation(string what)
    {
        _violations.Enqueue(what);
        Write(new { at = Seconds(Now), violation = what });
    }

    public int Count(Func<CallOutcome, bool> which) => _calls.Count(which);

    /// <summary>A line for each kind of call and one for each error code.</summary>
    public IEnumerable<string> Summary()
    {
        foreach (var command in _calls.GroupBy(c => c.Command).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            var took = command.Where(c => c.Succeeded).Select(c => c.Took).Order().ToList();
            yield return string.Create(CultureInfo.InvariantCulture, $"{command.Key,-6} {command.Count(),6} calls, {took.Count,6} succeeded, ")
                + $"p50 {Quantile(took, 0.5)}, p99 {Quantile(took, 0.99)}, longest {Quantile(took, 1)}";
        }
        foreach (var code in _calls.Where(c => !c.Succeeded).GroupBy(c => c.Code).OrderBy(g => g.Key))
            yield return code.Key is { } number
                ? $"code {number}: {code.Count()} calls; most often: {Commonest(code)}"
                : $"{code.Count()} calls were broken off by killing the shim";
    }

    public void Dispose()
    {
        lock (_gate)
            _file.Dispose();
    }

    // Names and numbers differ from call to call.
    private static string Commonest(IEnumerable<CallOutcome> calls) => calls
        .GroupBy(c => string.Concat(c.Text.Where(ch => !char.IsAsciiDigit(ch)))).MaxBy(g => g.Count())!.First().Text;

    private static string Quantile(List<TimeSpan> ordered, double part) => ordered.Count == 0 ? "-" : string.Create(CultureInfo.InvariantCulture,
        $"{ordered[Math.Min(ordered.Count - 1, (int)(ordered.Count * part))].TotalMilliseconds:0} ms");

    private static double Seconds(TimeSpan time) => Math.Round(time.TotalSeconds, 3);

    private void Write<T>(T line)
    {
        var text = JsonSerializer.Serialize(line);
        lock (_gate)
            _file.WriteLine(text);
    }
}
