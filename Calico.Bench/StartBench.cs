using System.Diagnostics;
using System.Globalization;

namespace Calico.Bench;

/// <summary>
/// From exec to exit: calicoctl doing work that needs no datastore, and <c>kubectl version --client</c>, in turns.
/// </summary>
internal static class StartBench
{
    private const int Runs = 51;

    public static int Run(string[] args)
    {
        if (args.Length is 0 or > 2)
        {
            Console.Error.WriteLine("usage: Calico.Bench start CALICOCTL [KUBECTL]");
            return 64;
        }
        string calicoctl = args[0], kubectl = args.Length > 1 ? args[1] : "kubectl";
        (string Name, string Program, string[] Arguments)[] subjects =
        [
            ("calicoctl version --client", calicoctl, ["version", "--client"]),
            ("calicoctl selector", calicoctl, ["selector", "app == 'db' && has(tier)"]),
            ("calicoctl get --help", calicoctl, ["get", "--help"]),
            ("kubectl version --client", kubectl, ["version", "--client"]),
        ];
        var times = subjects.ToDictionary(s => s.Name, _ => new List<double>());
        for (var run = 0; run < Runs; run++)
        {
            foreach (var (name, program, arguments) in subjects)
                times[name].Add(Once(program, arguments));
        }
        var peer = Median(times[subjects[^1].Name]);
        foreach (var (name, _, _) in subjects)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-28} p50 {Median(times[name]),6:f1} ms   ratio {Median(times[name]) / peer:f2}"));
        return 0;
    }

    private static double Once(string program, string[] arguments)
    {
        var started = Stopwatch.GetTimestamp();
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);
}
