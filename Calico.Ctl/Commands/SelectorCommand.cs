using System.CommandLine;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Calico.Core.Model;
using Calico.Core.Model.Selectors;

namespace Calico.Ctl.Commands;

/// <summary>selector: shows what a selector means, and whether labels match it; one, or many a line at a time.</summary>
internal static class SelectorCommand
{
    private const int NoMatch = 1;
    private const int Malformed = 2;

    private static readonly JsonWriterOptions OneLine = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Build(CtlContext context)
    {
        var expression = new Argument<string?>("SELECTOR") { Arity = ArgumentArity.ZeroOrOne, Description = "The selector, in quotes." };
        var labels = new Option<string?>("--labels") { Description = "Labels to test, as key=value,key=value." };
        var batch = new Option<bool>("--batch")
        {
            Description = """Read JSON lines {"selector": ..., "labels": {...}} and write a verdict for each: {"match": true} or {"error": ..., "at": 7}.""",
        };
        var command = new ExampleCommand("selector",
            "Parse a selector and test labels. Exit 0 if they match, or none are given; 1 if they do not; 2 if the selector is malformed.",
            """selector 'app == "web" && has(tier)' --labels app=web,tier=front""", "selector --batch < questions.jsonl")
        { expression, labels, batch };
        command.SetAction((parsed, cancellation) => (parsed.GetValue(batch), parsed.GetValue(expression)) switch
        {
            (true, null) => BatchAsync(context, cancellation),
            (false, { } text) => OneAsync(context, text, parsed.GetValue(labels)),
            (true, _) => throw new CtlException("--batch reads selectors from standard input: name none on the command line"),
            _ => throw new CtlException("no selector specified: write one in quotes, or read many with --batch"),
        });
        return command;
    }

    private static async Task<int> OneAsync(CtlContext context, string text, string? labels)
    {
        if (!Selector.TryParse(text, out var selector, out var error))
        {
            await context.Error.WriteLineAsync($"{error}\n  {text}\n  {new string(' ', error.Position)}^");
            return Malformed;
        }
        await context.Out.WriteLineAsync($"canonical: {selector.CanonicalText}");
        await context.Out.WriteLineAsync($"id:        {selector.Id}");
        if (labels is null)
            return CommandLine.Success;
        var isMatch = selector.Evaluate(Labels(labels));
        await context.Out.WriteLineAsync($"match:     {(isMatch ? "yes" : "no")}");
        return isMatch ? CommandLine.Success : NoMatch;
    }

    // One question's mistake is its answer, not the end of the batch; the exit status tells of it.
    private static async Task<int> BatchAsync(CtlContext context, CancellationToken cancellation)
    {
        var status = CommandLine.Success;
        while (await context.In.ReadLineAsync(cancellation) is { } line)
        {
            if (string.IsNullOrWhiteSpace(line))
                continue;
            var (isMatch, error, at) = Answer(line);
            status = error is null ? status : Malformed;
            await context.Out.WriteLineAsync(Verdict(isMatch, error, at));
        }
        return status;
    }

    private static (bool IsMatch, string? Error, int? At) Answer(string line)
    {
        try
        {
            using var question = JsonDocument.Parse(line);
            var labels = question.RootElement.TryGetProperty("labels", out var given) && given.ValueKind != JsonValueKind.Null
                ? StringMap.From(given.EnumerateObject().Select(l => KeyValuePair.Create(l.Name, l.Value.GetString() ?? "")))
                : StringMap.From([]);
            if (!question.RootElement.TryGetProperty("selector", out var text))
                return (false, NoQuestion("it has no selector"), null);
            return Selector.TryParse(text.GetString() ?? "", out var selector, out var error)
                ? (selector.Evaluate(labels), null, null)
                : (false, error.Reason, error.Position);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return (false, NoQuestion(e.Message), null);
        }
    }

    private static string NoQuestion(string reason) => $"the line is no question such as {{\"selector\": \"all()\", \"labels\": {{}}}}: {reason}";

    private static string Verdict(bool isMatch, string? error, int? at)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, OneLine))
        {
            json.WriteStartObject();
            if (error is null)
                json.WriteBoolean("match", isMatch);
            else
                json.WriteString("error", error);
            if (at is { } place)
                json.WriteNumber("at", place);
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static StringMap Labels(string text) => StringMap.From(text.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(pair =>
    {
        var split = pair.IndexOf('=', StringComparison.Ordinal);
        return split > 0
            ? KeyValuePair.Create(pair[..split], pair[(split + 1)..])
            : throw new CtlException($"label '{pair}' is not of the form key=value");
    }));
}
