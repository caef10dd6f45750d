using System.Diagnostics;
using Spectre.Console;

namespace Calico.Node.Lab;

/// <summary>What the lab tells: a spinner and colours on a terminal, plain lines everywhere else.</summary>
internal sealed class LabOutput(TextWriter writer, bool onTerminal)
{
    public static LabOutput Console { get; } = new(System.Console.Out, !System.Console.IsOutputRedirected);

    public bool OnTerminal => onTerminal;

    /// <summary>Runs one step and says how long it took.</summary>
    public async Task<T> StepAsync<T>(string what, Func<Task<T>> step)
    {
        var started = Stopwatch.GetTimestamp();
        T result;
        if (onTerminal)
        {
            result = await AnsiConsole.Status().StartAsync(Markup.Escape(what) + " …", _ => step());
            AnsiConsole.MarkupLine($"[green]✓[/] {Markup.Escape(what)} [grey]{Since(started)}[/]");
        }
        else
        {
            result = await step();
            writer.WriteLine($"==> {what} ({Since(started)})");
        }
        return result;
    }

    public Task StepAsync(string what, Func<Task> step) => StepAsync(what, async () =>
    {
        await step();
        return true;
    });

    public void Line(string text = "") => writer.WriteLine(text);

    public void Heading(string text)
    {
        if (onTerminal)
            AnsiConsole.MarkupLine($"\n[bold]{Markup.Escape(text)}[/]");
        else
            writer.WriteLine($"\n{text}");
    }

    /// <summary>The outcome of one assertion, on one line.</summary>
    public void Outcome(bool ok, string what, string detail)
    {
        if (onTerminal)
            AnsiConsole.MarkupLine($"{(ok ? "[green]ok    [/]" : "[red]FAILED[/]")} {Markup.Escape(what)} [grey]{Markup.Escape(detail)}[/]");
        else
            writer.WriteLine($"{(ok ? "ok    " : "FAILED")} {what}{(detail.Length > 0 ? $": {detail}" : "")}");
    }

    /// <summary>A table: framed on a terminal, aligned columns without frames in a pipe.</summary>
    public void Table(IReadOnlyList<string> columns, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        if (onTerminal)
        {
            var table = new Table().Border(TableBorder.Rounded);
            foreach (var column in columns)
                table.AddColumn(new TableColumn(Markup.Escape(column)).NoWrap());
            foreach (var row in rows)
                table.AddRow([.. row.Select(Styled)]);
            AnsiConsole.Write(table);
            return;
        }
        var widths = columns.Select((c, i) => Math.Max(c.Length, rows.Count == 0 ? 0 : rows.Max(r => r[i].Length))).ToArray();
        foreach (var row in rows.Prepend(columns))
            writer.WriteLine(string.Join("  ", row.Select((cell, i) => cell.PadRight(widths[i]))).TrimEnd());
    }

    private static string Styled(string cell) => cell switch
    {
        "." or "ok" or "running" or "ready" or "Established" => $"[green]{cell}[/]",
        "X" or "gone" or "not ready" => $"[red]{cell}[/]",
        _ => Markup.Escape(cell),
    };

    private static string Since(long started) => $"{Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s";
}
